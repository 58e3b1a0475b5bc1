"""`facesearch export`: a whole face database as one file."""

from pathlib import Path

import click
from redis import RedisError

from facesearch.cli import names
from facesearch.cli.console import data_dir_option, remark, reported, settings_from, store_only
from facesearch.cli.control import facedb_of, record_event
from facesearch.cli.ending import ended_by_signals
from facesearch.cli.progress import stages
from facesearch.embedded import stopped_broker
from facesearch.embedded.broker import describe_failure
from shared.errors import OperatorError


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@names.tenant_option
@click.option(
    "--facedb", help="Name of the face database; left out, the tenant's default.", shell_complete=names.facedbs
)
@data_dir_option
@reported
@store_only
def export(file: Path, tenant: str, facedb: str | None, data_dir: Path | None) -> None:
    """Write a face database into the new FILE. The service may be running or stopped.

    The file has the embeddings, ids, names and what is attached to persons, and can be read with NumPy and JSON alone
    (docs/export.md). `facesearch import FILE` takes it into another service. It recognises people: keep it as you keep
    the service's data.
    """
    from facesearch.exchange import taking_out  # noqa: PLC0415 -- needs NumPy, for which `--help` need not wait

    settings = settings_from(data_dir=data_dir)
    file = file.expanduser().absolute()
    try:
        with ended_by_signals(), stopped_broker.connected(settings, remark) as (redis, home):
            found = facedb_of(redis, tenant, facedb)
            record_event(redis, "facedb.export", tenant=tenant, facedb=found.name)
            with stages() as shown:
                made = taking_out.export(settings, redis, home, found.collection, found.name, file, shown.show)
    except RedisError as error:
        raise OperatorError(f"{describe_failure(settings, error)}; nothing was exported") from None
    size = file.stat().st_size / 1e6
    click.echo(f"{file}: {made.persons} persons with {made.faces} faces, {size:.1f} MB")
