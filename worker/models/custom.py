"""Embedders of the operator's own: a description beside a copy of the file, in the models folder.

`<name>.json` describes one; `<name>.calibration.json` holds a calibration that was measured here and replaces that of a
model of the catalogue. `facesearch models add` and `facesearch calibrate` write them. Each has a seal, the digest of
its content, since a description edited by hand would make other embeddings under one name.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import OperatorError
from worker.models import catalog
from worker.models.calibration import Calibration, Point
from worker.models.catalog import MODELS, Embedder, Model, Task
from worker.models.files import replacing

FORMAT_VERSION: Final = 1
"""Version of both file formats. A file of another version is refused."""

NAME: Final = r"[a-z0-9]+(-[a-z0-9]+)*"
"""Pattern of a name, as in the catalogue: identities, files and settings contain names, so no colon, dot or slash."""

LONGEST_NAME: Final = 64

LARGEST_SIDE: Final = 1024
"""Largest side of a crop in pixels; published embedders take 96 to 224."""


@dataclass(frozen=True)
class InputFormat:
    """The input of an embedder: an aligned face. The fields are those of Embedder."""

    input_size: int
    channels: Literal["RGB", "BGR"]
    mean: float
    scale: float


PRESETS: Final = {"arcface": InputFormat(112, "RGB", 127.5, 127.5), "sface": InputFormat(112, "RGB", 0.0, 1.0)}
"""Families of models that --like takes beside the catalogue's names: InsightFace's, and OpenCV's SFace."""

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Name = Annotated[str, Field(pattern=f"^{NAME}$", max_length=LONGEST_NAME)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Sealed(BaseModel):
    """The fields that both files have. The seal is added when it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal[1] = FORMAT_VERSION
    name: _Name
    sha256: _Digest

    def text(self) -> str:
        """Return the content of the file."""
        content = self.model_dump(mode="json")
        return json.dumps({**content, "seal": _seal(content)}, indent=2) + "\n"


class _Description(_Sealed):
    """The fields of an Embedder but for sources and 8-bit ranges, of which it has none."""

    file: Annotated[str, Field(pattern=r"^[^/\x00]+\.onnx$", max_length=200)]
    size: Annotated[int, Field(gt=0)]
    licence: Annotated[str, Field(min_length=1, max_length=200)]
    commercial: bool
    input_size: Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
    channels: Literal["RGB", "BGR"]
    mean: _Finite
    scale: Annotated[_Finite, Field(gt=0)]
    dimension: Annotated[int, Field(ge=2)]
    calibration: list[tuple[_Finite, _Finite]] | None


class _OwnCalibration(_Sealed):
    """A calibration that replaces the catalogue's, for the file with that digest."""

    calibration: list[tuple[_Finite, _Finite]]


_Kind = TypeVar("_Kind", bound=_Sealed)


@overload
def find(name: str, task: Literal["embedding"], folder: Path) -> Embedder: ...
@overload
def find(name: str, task: Task, folder: Path) -> Model: ...
def find(name: str, task: Task, folder: Path) -> Model:
    """Return the model of that name and task, from the catalogue or the models folder, with the calibration in force.

    Raises OperatorError if there is none, listing the known names, and if its description is damaged.
    """
    known = [model.name for model in MODELS if model.task == task]
    if name in known:
        model = catalog.find(name, task)
        return _as_calibrated(model, folder) if isinstance(model, Embedder) else model
    if task == "embedding":
        if name in names(folder):
            return _read(name, folder)
        known += names(folder)
    raise catalog.unknown(name, task, known)


def all_models(folder: Path) -> list[Model | OperatorError]:
    """Return all models of the catalogue, then those described in the folder; in place of an unreadable one, the
    error.
    """
    found: list[Model | OperatorError] = []
    wanted: list[tuple[str, Task]] = [(model.name, model.task) for model in MODELS]
    wanted += [(name, "embedding") for name in names(folder)]
    for name, task in wanted:
        try:
            found.append(find(name, task, folder))
        except OperatorError as error:
            found.append(error)
    return found


def names(folder: Path) -> list[str]:
    """Return the names of the models described in the folder, sorted. A name of the catalogue is the catalogue's."""
    taken = {model.name for model in MODELS}
    return sorted({path.stem for path in folder.glob("*.json") if "." not in path.stem} - taken)


def write(model: Embedder, folder: Path) -> Path:
    """Write the model's description to the folder, replacing an earlier one, and return its path.

    Raises OperatorError if its name is invalid or the catalogue's, a field is out of bounds, or the folder cannot be
    written.
    """
    if any(model.name == known.name for known in MODELS):
        raise OperatorError(f"{model.name} is a model of the catalogue; choose another name with --name")
    try:
        description = _Description(
            name=model.name,
            sha256=model.sha256,
            file=model.file,
            size=model.size or 0,
            licence=model.licence,
            commercial=model.commercial,
            input_size=model.input_size,
            channels=model.channels,
            mean=model.mean,
            scale=model.scale,
            dimension=model.dimension,
            calibration=_listed(model.calibration),
        )
    except ValidationError as error:
        raise OperatorError(f"{model.name!r} cannot be described: {_first(error)}") from None
    return _write(description, folder / f"{model.name}.json")


def write_calibration(model: Embedder, calibration: Calibration, folder: Path) -> Path:
    """Write a calibration: into the description of an own model, else to a file beside the catalogue. Returns the path.

    Raises OperatorError if the folder cannot be written.
    """
    if model.name in names(folder):
        return write(replace(model, calibration=calibration), folder)
    own = _OwnCalibration(name=model.name, sha256=model.sha256, calibration=list(calibration.points))
    return _write(own, _own_calibration(model.name, folder))


def is_own(model: Model, folder: Path) -> bool:
    """Return whether the model's calibration, if it has one, was measured here."""
    return model.name in names(folder) or _own_calibration(model.name, folder).is_file()


def _own_calibration(name: str, folder: Path) -> Path:
    return folder / f"{name}.calibration.json"


def _as_calibrated(model: Embedder, folder: Path) -> Embedder:
    path = _own_calibration(model.name, folder)
    if not path.is_file():
        return model
    own = _parsed(path, _OwnCalibration)
    if (own.name, own.sha256) != (model.name, model.sha256):
        raise _refused(path, f"it is of another model than {model.name}")
    return replace(model, calibration=_calibration(path, own.calibration))


def _read(name: str, folder: Path) -> Embedder:
    path = folder / f"{name}.json"
    read = _parsed(path, _Description)
    if read.name != name:
        raise _refused(path, f"it describes {read.name}")
    fields = read.model_dump(exclude={"format", "calibration"})
    calibration = None if read.calibration is None else _calibration(path, read.calibration)
    return Embedder(**fields, sources=(), calibration=calibration)


def _parsed(path: Path, kind: type[_Kind]) -> _Kind:
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise _refused(path, "it is no JSON") from error
    if not isinstance(content, dict):
        raise _refused(path, "it is no JSON object")
    if content.get("format") != FORMAT_VERSION:
        raise _refused(path, f"it is of format {content.get('format')!r} where this release knows {FORMAT_VERSION}")
    seal = content.pop("seal", None)
    if seal != _seal(content):
        raise _refused(path, "it was edited or damaged, its seal does not fit")
    try:
        # Validated as JSON: strict fields accept a list for a tuple only from there.
        return kind.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise _refused(path, _first(error)) from None


def _calibration(path: Path, points: list[Point]) -> Calibration:
    try:
        return Calibration(tuple(points))
    except ValueError as error:
        raise _refused(path, str(error)) from error


def _refused(path: Path, why: str) -> OperatorError:
    again = "facesearch calibrate --write" if path.name.endswith(".calibration.json") else "facesearch models add"
    return OperatorError(f"{path} cannot be used: {why}; delete it, and make it again with `{again}`")


def _seal(content: dict[str, Any]) -> str:
    """Return the SHA-256, hex, of all fields but the seal, whatever their order and white space."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _first(error: ValidationError) -> str:
    """Return field and message of the first validation error."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'it'}: {first['msg']}"


def _listed(calibration: Calibration | None) -> list[Point] | None:
    return None if calibration is None else list(calibration.points)


def _write(content: _Sealed, path: Path) -> Path:
    """Write the file atomically."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_text(content.text(), encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"cannot write {path}: {error.strerror}") from error
    return path
