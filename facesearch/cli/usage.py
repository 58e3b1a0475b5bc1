"""`facesearch usage`: counters of answered requests, as a table, CSV or JSON."""

import json
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import IO

import click

from facesearch.cli import names
from facesearch.cli.console import data_dir_option, json_option, print_table, remark, reported, terminal_columns
from facesearch.cli.control import query
from shared.usage import Period, Usage, as_csv, as_dict, read, totals

_DAY = click.DateTime(["%Y-%m-%d"])
_TARIFF = {True: "charged", False: "free"}


@click.command()
@click.option("--from", "first", type=_DAY, metavar="YYYY-MM-DD", help="First day, in UTC.")
@click.option("--to", "last", type=_DAY, metavar="YYYY-MM-DD", help="Last day, in UTC; included.")
@click.option(
    "--tenant", help="Only this tenant; '?' stands for requests without a valid API key.", shell_complete=names.tenants
)
@click.option("--csv", "csv_file", type=click.File("w", encoding="utf-8"), help="Write CSV to this file; - is stdout.")
@json_option
@data_dir_option
@reported
def usage(
    first: datetime | None,
    last: datetime | None,
    tenant: str | None,
    csv_file: IO[str] | None,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Print how many requests were answered, and how many of them are charged.

    There is a row for each day, tenant, API key, call and status.
    """
    period = Period(_date(first), _date(last))
    rows = query(data_dir, lambda control: read(control.redis, period, tenant))
    if csv_file is not None:
        csv_file.write(as_csv(rows))
    elif as_json:
        click.echo(json.dumps(as_dict(rows), indent=2))
    else:
        _print_tables(rows)


def _print_tables(rows: Sequence[Usage]) -> None:
    """Print a row for each counter, and one for each tenant's total."""
    if not rows:
        remark("nothing was used in this period")
        return
    # Both name the key; beside each other they leave too little of 80 columns to the rest.
    merged = terminal_columns() is not None
    lines = [
        (
            str(row.day),
            row.tenant,
            *_key(row, merged=merged),
            row.call,
            row.status,
            _TARIFF[row.charged],
            str(row.count),
        )
        for row in rows
    ]
    key = ("KEY",) if merged else ("KEY", "NAME")
    print_table(("DAY", "TENANT", *key, "CALL", "STATUS", "TARIFF", "REQUESTS"), lines)
    click.echo()
    sums = [(tenant, str(total.charged), str(total.free)) for tenant, total in totals(rows).items()]
    print_table(("TENANT", "CHARGED", "FREE"), sums)


def _key(row: Usage, *, merged: bool) -> tuple[str, ...]:
    return (f"{row.key_name} {row.key}".strip(),) if merged else (row.key, row.key_name)


def _date(when: datetime | None) -> date | None:
    return None if when is None else when.date()
