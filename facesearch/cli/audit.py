"""`facesearch audit`: changes of tenants, keys and face databases, and attempts with a wrong admin key."""

from pathlib import Path

import click

from facesearch.cli.console import data_dir_option, format_time, json_option, print_json, print_table, reported
from facesearch.cli.control import query
from shared import audit as trail


@click.command()
@click.option("--last", default=100, show_default=True, type=click.IntRange(1), help="Number of events.")
@data_dir_option
@json_option
@reported
def audit(last: int, data_dir: Path | None, as_json: bool) -> None:
    """List recent changes of tenants, keys and face databases, and attempts with a wrong admin key. Oldest first.

    The service keeps the last 10000 changes, made through the admin API or by a command, and the last 1000 attempts.
    """
    found = query(data_dir, lambda control: trail.last(control.redis, last))
    if as_json:
        print_json(found)
    else:
        print_table(("WHEN", "ACTION", "WHAT", "BY"), [_row(event) for event in found])


def _row(event: trail.Kept) -> tuple[str, ...]:
    kinds = ("tenant", "facedb", "key", "attempts", "days", "persons")
    subjects = ((kind, getattr(event, kind)) for kind in kinds)
    what = ", ".join(f"{kind} {value}" for kind, value in subjects if value is not None)
    return format_time(event.at), event.action, what, event.by
