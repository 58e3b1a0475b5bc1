"""Inference with ONNX Runtime. This is the only file that imports it; benchmarks and tests take it from here, so that
its telemetry is always off.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from shared.errors import OperatorError
from shared.observability import telemetry

telemetry.refuse()

import onnxruntime  # noqa: E402 -- its telemetry starts on import unless it is off before

Images = npt.NDArray[np.uint8]
"""Input of a prepared graph: uint8, shape (N, height, width, 3), BGR, C-contiguous."""

Tensor = npt.NDArray[np.float32]
"""An output of a prepared graph: float32, with a row for each image."""

Shape = tuple[int, ...]

Device = Literal["cpu", "cuda"]

_PROVIDERS: Final[Mapping[Device, dict[str, dict[str, str]]]] = {
    "cpu": {"CPUExecutionProvider": {}},
    "cuda": {
        # The default search for algorithms takes eight times as long for each new shape, and finds none that are faster
        # (figures by others: github.com/sgl-project/sglang-omni/pull/2176, github.com/PaddlePaddle/PaddleX/pull/5057).
        # TF32, which is on by default, rounds factors to 10 bits: other vectors than on a CPU by more than rounding.
        "CUDAExecutionProvider": {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"},
        # Operators without a CUDA kernel, mostly on shapes, run on the CPU.
        "CPUExecutionProvider": {},
    },
}

_ERRORS_ONLY = 3


class Session(Protocol):
    """A loaded model with one input. May be called from several threads at once."""

    def run(self, images: Images) -> dict[str, Tensor]:
        """Return the outputs by name. images: of the size that the graph declares."""


class OnnxSession:
    """A Session that runs on ONNX Runtime. shape: of its input, with the names of axes that are free."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        (only,) = session.get_inputs()
        self._session = session
        self._input: str = only.name
        self.shape: list[int | str] = only.shape
        self._outputs: list[str] = [output.name for output in session.get_outputs()]

    def run(self, images: npt.NDArray[Any]) -> dict[str, Tensor]:
        values = self._session.run(self._outputs, {self._input: images})
        return dict(zip(self._outputs, values, strict=True))


class FixedSession:
    """A Session for images of one shape, whose input and outputs keep their places in the device's memory.

    CUDA needs that for a graph: all kernels of an inference are then launched at once, where one by one they take
    longer to launch than to run. To be used by one thread at a time.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, shape: Shape, outputs: Mapping[str, Shape], device: Device
    ) -> None:
        """shape: of the images. outputs: shapes by name."""
        (only,) = session.get_inputs()
        make = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        self._session = session
        self._input = make(shape, np.uint8, device)
        self._outputs = {name: make(output, np.float32, device) for name, output in outputs.items()}
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(only.name, self._input)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self, images: Images) -> dict[str, Tensor]:
        """Return the outputs by name, in new memory. Raises ValueError for another shape."""
        if list(images.shape) != self._input.shape():
            raise ValueError(f"images of shape {images.shape} where {self._input.shape()} is needed")
        self._input.update_inplace(np.ascontiguousarray(images))
        self._session.run_with_iobinding(self._binding)
        # On a CPU an array would share the memory of the value.
        return {name: value.numpy().copy() for name, value in self._outputs.items()}


class FixedSessions:
    """Opens fixed sessions of one model file. On a GPU each is a CUDA graph, which is recorded in its first inference:
    until that is over, nothing else may use the GPU.
    """

    def __init__(self, path: Path, device: Device) -> None:
        """Raises OperatorError as open_session does."""
        self._path = path
        self._device = device
        self._plain = open_session(path)

    def open(self, shape: Shape) -> FixedSession:
        """Return a session for images of that shape. Raises OperatorError as open_session does."""
        row = {name: output.shape[1:] for name, output in self._plain.run(np.zeros((1, *shape[1:]), np.uint8)).items()}
        # With every size known, what computes shapes is folded away: a CUDA graph must not have a node on the CPU.
        sizes = {name: size for name, size in zip(self._plain.shape, shape, strict=True) if isinstance(name, str)}
        extra = {"enable_cuda_graph": "1"} if self._device == "cuda" else {}
        session = _opened(self._path, self._device, 1, sizes, extra)
        return FixedSession(session, shape, {name: (shape[0], *rest) for name, rest in row.items()}, self._device)


def open_session(path: Path, device: Device = "cpu", threads: int = 1) -> OnnxSession:
    """Load a model file onto a device. threads: for one inference, on the CPU.

    Raises OperatorError if ONNX Runtime cannot load the file, or if the device is not available: another one is never
    used instead.
    """
    return OnnxSession(_opened(path, device, threads, {}, {}))


def _opened(
    path: Path, device: Device, threads: int, sizes: Mapping[str, int], extra: Mapping[str, str]
) -> onnxruntime.InferenceSession:
    """Return ONNX Runtime's session. sizes: of free axes by name. extra: options of the device's provider."""
    _require(device)
    options = onnxruntime.SessionOptions()
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    # One job a core keeps all cores busy, and small convolutions lose more to hand-over than they gain: 104 images/s
    # with one thread a job, 56 with ONNX Runtime's own threads.
    options.intra_op_num_threads = threads
    # Both graphs are chains: no two nodes of them can run in parallel.
    options.inter_op_num_threads = 1
    # Idle threads must not spin on cores that other jobs need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    providers = dict(_PROVIDERS[device])
    first = next(iter(providers))
    providers[first] = {**providers[first], **extra}
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=list(providers.items()))
    except Exception as error:  # ONNX Runtime's errors have no other common base
        raise OperatorError(
            f"cannot load the model {path}: {' '.join(str(error).split())[:300]}; "
            "delete the file and run `facesearch models pull`"
        ) from error
    # ONNX Runtime falls back to the CPU if a provider fails to start.
    if session.get_providers()[0] != next(iter(_PROVIDERS[device])):
        raise OperatorError(
            f"the model {path} cannot run on {device}: its driver or libraries do not work here; `nvidia-smi` tells "
            "whether there is a GPU, FACESEARCH_DEVICE=cpu does without"
        )
    return session


def _require(device: Device) -> None:
    if next(iter(_PROVIDERS[device])) not in onnxruntime.get_available_providers():
        raise OperatorError(
            f"this ONNX Runtime knows no {device}; install facesearch[gpu] in place of onnxruntime, or set "
            "FACESEARCH_DEVICE=cpu"
        )
    if device == "cuda":
        # CUDA and cuDNN come as wheels, where the dynamic loader does not look.
        onnxruntime.preload_dlls()
