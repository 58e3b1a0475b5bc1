"""`facesearch doctor`: check what is installed, reachable and ready for the processes that run here."""

import sys
from typing import Final

import click

from facesearch.cli.console import print_paragraph, reported, settings_from
from facesearch.diagnosis.checks import findings
from facesearch.diagnosis.installed import Role

DETAIL_COLUMN: Final = 23
"""Characters of a line before the detail of a finding."""


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
        print_paragraph(f"{mark:<5} {finding.subject:<16} {finding.detail}", indent=DETAIL_COLUMN)
        well = well and (finding.well or not finding.needed)
    sys.exit(0 if well else 1)
