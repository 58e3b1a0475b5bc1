"""Adding an operator's own embedder to the models folder, once it is checked."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal, TypeVar

from facesearch.evaluation.run import list_photos
from facesearch.evaluation.separation import check_separation
from shared.errors import OperatorError
from shared.settings import Settings
from worker.models import catalog, custom, files
from worker.models.custom import PRESETS, InputFormat
from worker.models.fetch import Say
from worker.models.selection import detector_in_use, pull_each
from worker.runtime import open_faces
from worker.vision.embedder_check import check_embedder

_Number = TypeVar("_Number", int, float)

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


def add(settings: Settings, file: Path, options: ModelOptions, check: Path | None, say: Say, remark: Say) -> None:
    """Check the file, and keep it with its description. check: a folder of people with their photos. say: called with
    lines of the result. remark: called with lines about the progress.

    Raises OperatorError if a name is taken or unknown, or the file does not work as described; then the folder is
    unchanged.
    """
    model, found = _checked(settings, file, options)
    for line in found:
        say(f"ok    {line}")
    if check is None:
        say("not checked: whether it knows people again; --check DIR tells, on photos of yours")
    else:
        say(f"ok    {_check_on_photos(settings, file, model, check, remark)}")
    files.keep(model, file, settings.models_dir, remark)
    files.pull(model, settings.models_dir, remark)
    # Last, so that a described model is always there.
    say(f"\n{model.name} is described in {custom.write(model, settings.models_dir)}")
    if not model.commercial:
        say("It counts as not for commercial use; --licence and --commercial say otherwise.")
    if model.calibration is None:
        say(f"Next: `facesearch calibrate DIR --model {model.name} --write`, then FACESEARCH_EMBEDDER={model.name}.")


def _check_on_photos(settings: Settings, file: Path, model: catalog.Embedder, check: Path, remark: Say) -> str:
    """Return a line with the result of a check on photos. Raises OperatorError if the model fails it."""
    pull_each([detector_in_use(settings)], settings.models_dir, remark)
    # Apart from the models folder: a model that fails is not kept.
    with TemporaryDirectory(prefix="facesearch-") as name:
        files.keep(model, file, Path(name), remark)
        graph = files.pull(model, Path(name), remark)
        # It is checked before it may be used, so its licence does not matter yet.
        faces = open_faces(settings.model_copy(update={"accept_noncommercial": True}), model, graph)
        photos = ((photo.person, photo.path.read_bytes()) for photo in list_photos(check).photos)
        return str(check_separation(faces, photos, settings.max_pixels))


def _checked(settings: Settings, file: Path, options: ModelOptions) -> tuple[catalog.Embedder, list[str]]:
    """Return the file as an embedder, and a line for each check that passed."""
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


def _input_format(like: str, folder: Path) -> InputFormat:
    if like in PRESETS:
        return PRESETS[like]
    try:
        model = custom.find(like, "embedding", folder)
    except OperatorError as error:
        raise OperatorError(f"--like: {error}; or a family: {', '.join(PRESETS)}") from error
    return InputFormat(model.input_size, model.channels, model.mean, model.scale)


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
