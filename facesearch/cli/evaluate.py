"""`facesearch evaluate`: measure recognition on the operator's own photos."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facesearch.cli.console import (
    json_option,
    print_paragraph,
    print_table,
    print_text,
    remark,
    reported,
    settings_from,
    worker_only,
)
from facesearch.cli.progress import progress
from shared.errors import OperatorError
from shared.host.cores import cores

if TYPE_CHECKING:
    from facesearch.evaluation.summary import Table


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@json_option
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write a report with plots and tables to this file.",
)
@click.option("--threads", type=click.IntRange(1), help="Photos processed at once.  [default: number of cores]")
@reported
@worker_only
def evaluate(folder: Path, as_json: bool, report_file: Path | None, threads: int | None) -> None:
    """Measure how well the models tell the people on the photos in DIR apart.

    DIR has a folder for each person. Faces are detected and embedded on the CPU as for a search, with the models of the
    settings. Nothing is sent or stored, and no service is needed.
    """
    settings = settings_from()
    # Models take a second to import; other commands need not wait for that.
    from facesearch.evaluation import report, run, summary  # noqa: PLC0415 -- see above

    if report_file is not None:
        # Before minutes of work.
        _require_writable(report_file.parent)
    photos = run.list_photos(folder)
    with progress(len(photos.photos), "photos") as shown:
        found = run.evaluate(settings, photos, threads or cores(), shown.advance, remark)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        _print(summary.summary(found), summary.tables(found))
        if not found.levels:
            click.echo("\nThe model has no calibration, so no confidences: `facesearch calibrate` measures one.")
    if report_file is not None:
        _write(report_file, report.html(found))
        remark(f"report written to {report_file}")


def _print(lines: Iterable[str], tables: Iterable["Table"]) -> None:
    for line in lines:
        print_paragraph(line)
    for table in tables:
        click.echo(f"\n{table.title}\n")
        print_table(table.head, table.rows)
        click.echo()
        print_text(click.wrap_text(table.text, 100))


def _require_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise OperatorError(f"cannot write into {folder}; choose another place with --report")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"cannot write {path}: {error.strerror}; choose another file with --report") from error
