"""`facesearch calibrate`: measure what the confidences of a model mean, on the operator's own photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from facesearch.cli import names
from facesearch.cli.console import (
    print_paragraph,
    print_table,
    print_text,
    remark,
    reported,
    settings_from,
    worker_only,
)
from facesearch.cli.progress import progress, stages
from shared.host.cores import cores
from worker.models import catalog, custom
from worker.models.selection import detector_in_use, pull_each

if TYPE_CHECKING:
    from facesearch.evaluation.calibrate import Measurement
    from facesearch.evaluation.fitting import Level

_HEAD: Final = ("CONFIDENCE", "STANDS FOR", "COSINE", "ERROR", "MEASURED BY", "FAR", "FRR")

_LEGEND: Final = """\
STANDS FOR: the FAR, the part of impostor pairs that reach the confidence, which it means. MEASURED BY: count of these
photos' pairs, or tail where there are too few: the cosine is extrapolated from the distribution of the others. ERROR:
one standard error of the cosine, by the choice of people; deviations up to two of them are chance. FAR: as measured on
these photos. FRR: genuine pairs that do not reach the confidence."""


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--model", "name", help="Name of the embedder.  [default: the one in use]", shell_complete=names.embedders
)
@click.option("--write", is_flag=True, help="Save the table in the models folder, replacing the previous one.")
@click.option("--threads", type=click.IntRange(1), help="Photos processed at once.  [default: number of cores]")
@reported
@worker_only
def calibrate(folder: Path, name: str | None, write: bool, threads: int | None) -> None:
    """Measure an embedder's table from cosine to confidence on the photos in DIR.

    DIR has a folder for each person. 250 people are enough, 30 of them with two photos; a thousand are better.
    """
    settings = settings_from()
    # Models take a second to import; other commands need not wait for that.
    from facesearch.evaluation.calibrate import measure  # noqa: PLC0415 -- see above
    from facesearch.evaluation.run import list_photos  # noqa: PLC0415 -- see above

    model = custom.find(name or settings.embedder, "embedding", settings.models_dir)
    catalog.permitted(model, settings.accept_noncommercial)
    photos = list_photos(folder)
    with stages() as shown:
        pull_each([detector_in_use(settings), model], settings.models_dir, shown.say, shown.show)
    with progress(len(photos.photos), "photos") as shown:
        measured = measure(settings, model, photos, threads or cores(), shown.advance, remark)
    _print(model, measured)
    if write:
        path = custom.write_calibration(model, measured.calibration(), settings.models_dir)
        print_paragraph(f"\nKept in {path}. Workers that start now use it; faces stay as they are.")
    else:
        click.echo("\nNot kept: --write does.")


def _print(model: catalog.Embedder, measured: "Measurement") -> None:
    print_paragraph(
        f"{model.name}: {measured.faces:,} faces on {measured.photos:,} photos of {measured.people:,} people; "
        f"{measured.genuine:,} genuine pairs, {measured.impostors:,} impostor pairs"
    )
    click.echo()
    print_table(_HEAD, map(_row, measured.levels))
    click.echo()
    print_text(_LEGEND)


def _row(level: "Level") -> tuple[str, ...]:
    return (
        str(level.confidence),
        _one_in(level.far),
        f"{level.cosine:.4f}",
        f"{level.error:.4f}",
        "count" if level.counted else "tail",
        _one_in(level.accepted),
        f"{level.refused:.2%}",
    )


def _one_in(part: float) -> str:
    if part >= 0.1:
        return f"{part:.0%}"
    return f"1 in {1 / part:,.0f}" if part else "none"
