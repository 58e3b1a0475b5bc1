"""Adding an embedder's file to the models folder, once it is checked: the operator's own, or one that the catalogue
knows and that was not fetched by this program.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal, TypeVar

from facesearch.evaluation.run import list_photos
from facesearch.evaluation.separation import check_separation
from shared.errors import OperatorError
from shared.progress import Say
from shared.settings import Settings
from worker.models import catalog, custom, files
from worker.models.custom import PRESETS, InputFormat
from worker.models.selection import detector_in_use, pull_each
from worker.runtime import open_faces
from worker.vision.embedder_check import check_embedder

_Number = TypeVar("_Number", int, float)

NO_LICENCE: Final = "LicenseRef-unknown"
"""Licence of a model whose licence is not given: it counts as not for commercial use."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The options of `models add`; None where --like decides, or the catalogue. licence: SPDX expression."""

    like: str | None = None
    name: str | None = None
    channels: Literal["RGB", "BGR"] | None = None
    mean: float | None = None
    scale: float | None = None
    input_size: int | None = None
    licence: str | None = None
    commercial: bool = False


def add(settings: Settings, file: Path, options: ModelOptions, check: Path | None, say: Say, remark: Say) -> None:
    """Check the file, and keep it: as what it is in the catalogue unless the options give it another name, else with a
    description. check: a folder of people with their photos. say: called with lines of the result. remark: called with
    lines about the progress.

    Raises OperatorError if a name is taken or unknown, or the file does not work as described; then the folder is
    unchanged.
    """
    if not file.is_file():
        raise OperatorError(f"there is no file {file}")
    if file.suffix != ".onnx":
        raise OperatorError(f"the name of {file} does not end in .onnx")
    digest = files.sha256(file)
    known = _known(settings, file, digest, options)
    for model, found in known or [_own(settings, file, digest, options)]:
        for line in found:
            say(f"ok    {line}")
        if check is None:
            say("not checked: whether it knows people again; --check DIR tells, on photos of yours")
        else:
            say(f"ok    {_check_on_photos(settings, file, model, check, remark)}")
        files.keep(model, file, settings.models_dir, remark)
        files.pull(model, settings.models_dir, remark)
        if known:
            say(f"\n{model.name} of the catalogue is ready, as if it had been fetched. Its licence is {model.licence}.")
        else:
            # Last, so that a described model is always there.
            say(f"\n{model.name} is described in {custom.write(model, settings.models_dir)}")
            if not model.commercial:
                say("It counts as not for commercial use; --licence and --commercial say otherwise.")
        if model.calibration is None:
            say(
                f"Next: `facesearch calibrate DIR --model {model.name} --write`, then FACESEARCH_EMBEDDER={model.name}."
            )


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


def _known(
    settings: Settings, file: Path, digest: str, options: ModelOptions
) -> list[tuple[catalog.Embedder, list[str]]]:
    """Return the embedders of the catalogue that are made of the file and may have the name, each with a line for each
    check that passed; several, if one is its 8-bit form.
    """
    known = []
    for entry in catalog.embedders_of(digest):
        if options.name not in {None, entry.name}:
            continue
        if _input_format(options, _input_of(entry), settings.models_dir) != _input_of(entry):
            raise OperatorError(
                f"{file} is the file of {entry.name} in the catalogue, which takes another input than these options "
                "say; leave them out, or choose another name with --name"
            )
        catalog.permitted(entry, settings.accept_noncommercial)
        # What runs in 8 bits is not what the file gives.
        _, found = (entry, []) if entry.ranges else check_embedder(file, entry)
        model = custom.find(entry.name, "embedding", settings.models_dir)
        known.append((model, [f"its sha256 is that of {entry.name} in the catalogue", *found]))
    return known


def _own(settings: Settings, file: Path, digest: str, options: ModelOptions) -> tuple[catalog.Embedder, list[str]]:
    """Return the file as an embedder of the operator's own, and a line for each check that passed."""
    name = options.name or re.sub("[^a-z0-9]+", "-", file.stem.lower()).strip("-")
    _require_free(name, file, digest)
    if options.like is None:
        raise OperatorError(
            f"{file} is no file of the catalogue (sha256 {digest}): say with --like what it takes, as "
            f"{' or '.join(PRESETS)}, or as a model that `facesearch models list` names"
        )
    kind = _input_format(options, _input_like(options.like, settings.models_dir), settings.models_dir)
    if kind.scale <= 0:
        raise OperatorError(f"values are divided by --scale, which must be above 0, not {kind.scale}")
    model = catalog.Embedder(
        name=name,
        file=file.name,
        sha256=digest,
        size=file.stat().st_size,
        sources=(),
        licence=options.licence or NO_LICENCE,
        commercial=options.commercial,
        input_size=kind.input_size,
        channels=kind.channels,
        mean=kind.mean,
        scale=kind.scale,
        dimension=0,
    )
    model, found = check_embedder(file, model)
    return _with_calibration(model, settings.models_dir), found


def _input_format(options: ModelOptions, otherwise: InputFormat, folder: Path) -> InputFormat:
    """Return the input that the options describe. otherwise: what they leave open."""
    kind = otherwise if options.like is None else _input_like(options.like, folder)
    return InputFormat(
        _or_default(options.input_size, kind.input_size),
        options.channels or kind.channels,
        _or_default(options.mean, kind.mean),
        _or_default(options.scale, kind.scale),
    )


def _input_like(like: str, folder: Path) -> InputFormat:
    if like in PRESETS:
        return PRESETS[like]
    try:
        return _input_of(custom.find(like, "embedding", folder))
    except OperatorError as error:
        raise OperatorError(f"--like: {error}; or a family: {', '.join(PRESETS)}") from error


def _input_of(model: catalog.Embedder) -> InputFormat:
    return InputFormat(model.input_size, model.channels, model.mean, model.scale)


def _require_free(name: str, file: Path, digest: str) -> None:
    if not re.fullmatch(custom.NAME, name) or len(name) > custom.LONGEST_NAME:
        raise OperatorError(
            f"{name!r} is no name of a model: up to {custom.LONGEST_NAME} small letters and digits, joined by "
            "hyphens; say --name"
        )
    if name in PRESETS or any(name == model.name for model in catalog.MODELS):
        raise OperatorError(
            f"{name} is a name of the built-in catalogue, and {file} (sha256 {digest}) is not its file; choose another "
            "with --name"
        )


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
