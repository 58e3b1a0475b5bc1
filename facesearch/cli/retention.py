"""`facesearch facedbs retention`: for how many days the faces of a face database are kept."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli import names
from facesearch.cli.console import (
    data_dir_option,
    format_time,
    json_option,
    print_json,
    print_paragraph,
    reported,
    yes_option,
)
from facesearch.cli.control import author, change, query
from facesearch.cli.jobs import asked
from shared.control import MOST_DAYS, Control, Retention

if TYPE_CHECKING:
    from shared.aged_persons import Aged
    from shared.operator_jobs import OperatorJobs


@click.command("retention")
@click.argument("name", shell_complete=names.facedbs)
@names.tenant_option
@click.option("--days", type=click.IntRange(1, MOST_DAYS), help="Keep each face for N days from its add.", metavar="N")
@click.option("--off", is_flag=True, help="Keep faces for good.")
@data_dir_option
@yes_option
@json_option
@reported
def retention(
    name: str, tenant: str, days: int | None, off: bool, data_dir: Path | None, yes: bool, as_json: bool
) -> None:
    """Show or set for how many days faces of the face database NAME are kept. Older ones are deleted by a worker.

    Before --days deletes faces that are too old already, it says how many and asks; a worker must run for that.
    """
    if off and days is not None:
        raise click.UsageError("--days and --off exclude each other")
    if off:
        change(
            data_dir,
            "facedb.retention-off",
            lambda control: control.remove_retention(tenant, name),
            lambda _: {"tenant": tenant, "facedb": name},
        )
        found = None
    elif days is not None:
        if not yes:
            _confirm(name, tenant, days, data_dir)
        found = _set(name, tenant, days, data_dir)
    else:
        found = query(data_dir, lambda control: control.retention(tenant, name))
    if not as_json:
        print_paragraph(_sentence(name, tenant, found))
    elif found is None:
        click.echo("null")
    else:
        print_json(found)


def _set(name: str, tenant: str, days: int, data_dir: Path | None) -> Retention:
    async def put(control: Control) -> Retention:
        return await control.set_retention(tenant, name, days, author())

    return change(
        data_dir, "facedb.retention", put, lambda made: {"tenant": tenant, "facedb": name, "days": str(made.days)}
    )


def _confirm(name: str, tenant: str, days: int, data_dir: Path | None) -> None:
    """Ask before faces go at once. Raises click.Abort, and OperatorError without a worker."""

    async def count(jobs: "OperatorJobs") -> "Aged":
        from shared.aged_persons import aged  # noqa: PLC0415 -- it loads Celery, as facesearch/cli/jobs.py says

        return await aged(jobs, tenant, name, days)

    going = asked(data_dir, count)
    if going:
        click.confirm(
            f"{going} of facedb {name} of tenant {tenant} would lose faces older than {_days(days)} now, for good. "
            "Go on?",
            abort=True,
            err=True,
        )


def _days(days: int) -> str:
    return f"{days:,} day{'' if days == 1 else 's'}"


def _sentence(name: str, tenant: str, found: Retention | None) -> str:
    where = f"facedb {name} of tenant {tenant}"
    if found is None:
        return f"{where} keeps faces for good."
    return (
        f"{where} keeps faces for {_days(found.days)}, since {format_time(found.since)}; a worker deletes older ones, "
        "the first within seconds and then once an hour."
    )
