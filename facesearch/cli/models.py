"""`facesearch models`: the catalogue and the operator's own models on the command line."""

import json
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import click

from facesearch.cli.console import (
    json_option,
    print_paragraph,
    print_table,
    remark,
    reported,
    settings_from,
    worker_only,
)
from facesearch.cli.names import embedders
from facesearch.cli.names import models as all_models
from facesearch.cli.progress import stages
from shared.errors import OperatorError
from worker.models import catalog, custom, files, selection


@click.group()
def models() -> None:
    """Download and list models, and add your own."""


@models.command("pull")
@click.argument("names", nargs=-1, shell_complete=all_models)
@reported
@worker_only
def models_pull(names: tuple[str, ...]) -> None:
    """Download and prepare models: the NAMES given, or those in use."""
    with stages() as shown:
        selection.pull(settings_from(), names, shown.say, shown.show)


@models.command("list")
@json_option
@reported
def models_list(as_json: bool) -> None:
    """List all models with their task, state, calibration and licence."""
    settings = settings_from()
    used = {settings.detector, settings.embedder}
    found = custom.all_models(settings.models_dir)
    if as_json:
        _print_json([model for model in found if isinstance(model, catalog.Model)], used, settings.models_dir)
        for error in found:
            if isinstance(error, OperatorError):
                remark(f"warning: {error}")
        return
    rows = [
        (
            model.name + (" *" if model.name in used else ""),
            model.task,
            "ready" if files.is_ready(model, settings.models_dir) else "not fetched",
            _calibration(model, settings.models_dir),
            "yes" if model.commercial else "no",
            model.licence,
        )
        for model in found
        if isinstance(model, catalog.Model)
    ]
    print_table(("NAME", "TASK", "STATE", "CALIBRATION", "COMMERCIAL USE", "LICENCE"), rows)
    for error in found:
        if isinstance(error, OperatorError):
            print_paragraph(f"\n{error}")
    print_paragraph(f"\n* in use. Folder: {settings.models_dir}")


@models.command("add")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--like",
    metavar="NAME",
    shell_complete=embedders,
    help=f"Preprocessing: that of {' or '.join(custom.PRESETS)}, or of a listed model. Needed but for a file of a "
    "listed model, which is recognised.",
)
@click.option("--name", help="Name of the model.  [default: the file's name]")
@click.option("--channels", type=click.Choice(["RGB", "BGR"]), help="Order of the channels.  [default: as --like]")
@click.option("--mean", type=float, help="Subtracted from each value, which is 0 to 255.  [default: as --like]")
@click.option("--scale", type=float, help="Divisor of the result.  [default: as --like]")
@click.option(
    "--size",
    "input_size",
    type=click.IntRange(8, custom.LARGEST_SIDE),
    help="Side of the crop in pixels.  [default: as --like]",
)
@click.option("--licence", help="Licence of the model, an SPDX expression.")
@click.option("--commercial/--no-commercial", help="Whether the licence allows commercial use.  [default: it does not]")
@click.option(
    "--check",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Check with the photos in this folder, person/photo.",
)
@reported
@worker_only
def models_add(file: Path, check: Path | None, **options: Any) -> None:
    """Check the embedder FILE (ONNX) and copy it into the models folder: your own, or that of a listed model.

    With --check, it must also find altered photos of one face more alike than photos of two people.
    """
    # Models take a second to import; the other commands need not wait for that.
    from facesearch.evaluation.own_model import ModelOptions, add  # noqa: PLC0415 -- see above

    add(settings_from(), file, ModelOptions(**options), check, click.echo, remark)


def _print_json(models: Sequence[catalog.Model], used: Container[str], folder: Path) -> None:
    listed = [
        {
            "name": model.name,
            "task": model.task,
            "in_use": model.name in used,
            "ready": files.is_ready(model, folder),
            "calibration": _calibration(model, folder) if isinstance(model, catalog.Embedder) else None,
            "commercial": model.commercial,
            "licence": model.licence,
        }
        for model in models
    ]
    click.echo(json.dumps(listed, indent=2))


def _calibration(model: catalog.Model, folder: Path) -> str:
    if not isinstance(model, catalog.Embedder):
        return "-"
    if model.calibration is None:
        return "none"
    return "own" if custom.is_own(model, folder) else "built in"
