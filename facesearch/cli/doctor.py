"""`facesearch doctor`: check what is installed, reachable and ready for the processes that run here."""

import json
import sys
from dataclasses import asdict
from typing import Final

import click

from facesearch.cli.console import json_option, print_paragraph, reported, settings_from
from facesearch.diagnosis.checks import findings
from facesearch.diagnosis.installed import Role

DETAIL_COLUMN: Final = 23
"""Characters of a line before the detail of a finding."""

_COLOURS: Final = {"ok": "green", "no": "yellow", "FAIL": "red"}


@click.command()
@click.option(
    "--role", type=click.Choice(["gateway", "worker", "all"]), help="What to check for.  [default: what is installed]"
)
@json_option
@reported
def doctor(role: Role | None, as_json: bool) -> None:
    """Check what is installed, reachable and ready.

    Exits with status 1 if something that the service needs is not.
    """
    found = findings(settings_from(), role)
    if as_json:
        listed = list(found)
        click.echo(json.dumps([asdict(finding) for finding in listed], indent=2))
        sys.exit(0 if all(finding.well or not finding.needed for finding in listed) else 1)
    well = True
    for finding in found:
        mark = "ok" if finding.well else "FAIL" if finding.needed else "no"
        line = f"{mark:<5} {finding.subject:<16} {finding.detail}"
        print_paragraph(line, indent=DETAIL_COLUMN, mark=mark, colour=_COLOURS[mark])
        well = well and (finding.well or not finding.needed)
    sys.exit(0 if well else 1)
