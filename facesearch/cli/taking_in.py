"""The part of `facesearch import` for an exported face database."""

from pathlib import Path

import click
from redis import RedisError

from facesearch.cli.console import remark, settings_from, store_only
from facesearch.cli.control import change, facedb_of, query, record_event
from facesearch.cli.ending import ended_by_signals
from facesearch.cli.progress import progress
from facesearch.embedded import stopped_broker
from facesearch.embedded.broker import describe_failure
from shared.errors import OperatorError


@store_only
def import_facedb(file: Path, tenant: str, facedb: str, data_dir: Path | None) -> None:
    """Add the persons of an exported face database. facedb: "" for the tenant's default; made if there is none."""
    from facesearch.exchange import reading, taking_in  # noqa: PLC0415 -- needs NumPy, for which `--help` need not wait

    settings = settings_from(data_dir=data_dir)
    try:
        with ended_by_signals(), reading.opened(file) as opened:
            opened.check()
            with stopped_broker.connected(settings, remark) as (redis, home):
                if home is not None:
                    raise OperatorError(f"the service on {home} is stopped; start it with `facesearch up`")
                taking_in.require_served(settings, redis, opened.identity)
                _make(data_dir, tenant, facedb)
                found = facedb_of(redis, tenant, facedb)
                record_event(redis, "facedb.import", tenant=tenant, facedb=found.name)
                with progress(opened.about.persons, "persons") as shown:
                    done = taking_in.bring_in(settings, redis, found.collection, opened, shown.reach)
    except RedisError as error:
        raise OperatorError(f"{describe_failure(settings, error)}; import again to go on") from None
    click.echo(f"added         {done.added} persons")
    if done.present:
        click.echo(f"present       {done.present} persons, who stay as they are")
    if done.deleted:
        click.echo(f"deleted       {done.deleted} persons a short time ago, who were left out")
        remark("The same command adds these once their deletion is forgotten, in 6 minutes to a day: docs/export.md.")


def _make(data_dir: Path | None, tenant: str, facedb: str) -> None:
    """Make the facedb if it is named and there is none."""
    if facedb and query(data_dir, lambda control: control.facedb(tenant, facedb)) is None:
        change(
            data_dir,
            "facedb.create",
            lambda control: control.create_facedb(tenant, facedb),
            lambda made: {"tenant": tenant, "facedb": made.name},
        )
        remark(f"facedb {facedb} of tenant {tenant} created")
