"""`facesearch doctor`: check what is installed, reachable and ready for the processes that run here."""

import sys
from typing import Final

import click

from facesearch.cli.console import print_paragraph, reported, settings_from
from facesearch.diagnosis.checks import findings
from facesearch.diagnosis.installed import Role

DETAIL_COLUMN: Final = 23
"""Characters of a line before the detail of a finding."""

_COLOURS: Final = {"ok": "green", "no": "yellow", "FAIL": "red"}


@click.command()
@click.option(
    "--role", type=click.Choice(["gateway", "worker", "all"]), help="What to check for.  [default: what is installed]"
)
@reported
def doctor(role: Role | None) -> None:
    """Check what is installed, reachable and ready.

    Exits with status 1 if something that the service needs is not.
    """
    well = True
    for finding in findings(settings_from(), role):
        mark = "ok" if finding.well else "FAIL" if finding.needed else "no"
        line = f"{mark:<5} {finding.subject:<16} {finding.detail}"
        print_paragraph(line, indent=DETAIL_COLUMN, mark=mark, colour=_COLOURS[mark])
        well = well and (finding.well or not finding.needed)
    sys.exit(0 if well else 1)
