"""`facesearch verify`: check a data directory or a backup, and print a remedy for each problem."""

import json
import sys
from pathlib import Path

import click

from facesearch.cli.console import backup_only, data_dir_option, json_option, print_result, reported, settings_from
from facesearch.cli.progress import stages


@click.command()
@click.argument(
    "folder", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False, readable=False), required=False
)
@data_dir_option
@json_option
@reported
@backup_only
def verify(folder: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Check the backup in DIR or, without DIR, the data directory.

    The service of a data directory must be stopped. Prints a line for each problem, with its remedy, and exits with
    status 1 if there is any.
    """
    from facesearch.backup.verification import Verification  # noqa: PLC0415 -- needs NumPy, as `backup` does

    problems: list[str] = []
    with stages() as shown:

        def say(problem: str) -> None:
            shown.end()
            print_result(problem)

        verification = Verification(settings_from(data_dir=data_dir), problems.append if as_json else say, shown.show)
        if folder is None:
            verification.data_directory()
        else:
            verification.backup(folder.expanduser().absolute())
    if as_json:
        found = {"persons": verification.persons, "collections": verification.collections}
        listed = [problem.removeprefix("wrong: ") for problem in problems]
        click.echo(json.dumps({"subject": str(verification.subject), **found, "problems": listed}, indent=2))
    else:
        click.echo(verification.summary())
    sys.exit(1 if verification.problems else 0)
