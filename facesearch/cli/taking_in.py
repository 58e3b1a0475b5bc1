"""The part of `facesearch import` for an exported face database."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from redis import RedisError

from facesearch.cli.console import LINE_EVERY_S, remark, settings_from, store_only
from facesearch.cli.control import change, facedb_of, query, record_event
from facesearch.cli.ending import ended_by_signals
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
                with _progress(opened.about.persons) as advance:
                    done = taking_in.bring_in(settings, redis, found.collection, opened, advance)
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


@contextmanager
def _progress(persons: int) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the number of persons so far: a bar on a terminal, elsewhere a line from time to time."""
    if sys.stderr.isatty():
        with click.progressbar(length=persons, label="persons", file=sys.stderr) as bar:
            yield lambda so_far: bar.update(so_far - bar.pos)
        return
    shown = time.monotonic()

    def advance(so_far: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= LINE_EVERY_S:
            shown = time.monotonic()
            remark(f"{so_far} of {persons} persons")

    yield advance
