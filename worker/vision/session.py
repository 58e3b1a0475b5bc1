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
    """A Session that runs on ONNX Runtime."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        (only,) = session.get_inputs()
        self._session = session
        self._input: str = only.name
        self._outputs: list[str] = [output.name for output in session.get_outputs()]

    def run(self, images: npt.NDArray[Any]) -> dict[str, Tensor]:
        values = self._session.run(self._outputs, {self._input: images})
        return dict(zip(self._outputs, values, strict=True))


def open_session(path: Path, device: Device = "cpu", threads: int = 1) -> OnnxSession:
    """Load a model file onto a device. threads: for one inference, on the CPU.

    Raises OperatorError if ONNX Runtime cannot load the file, or if the device is not available: another one is never
    used instead.
    """
    _require(device)
    options = onnxruntime.SessionOptions()
    # One job a core keeps all cores busy, and small convolutions lose more to hand-over than they gain: 104 images/s
    # with one thread a job, 56 with ONNX Runtime's own threads.
    options.intra_op_num_threads = threads
    # Both graphs are chains: no two nodes of them can run in parallel.
    options.inter_op_num_threads = 1
    # Idle threads must not spin on cores that other jobs need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=list(_PROVIDERS[device].items()))
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
    return OnnxSession(session)


def _require(device: Device) -> None:
    if next(iter(_PROVIDERS[device])) not in onnxruntime.get_available_providers():
        raise OperatorError(
            f"this ONNX Runtime knows no {device}; install facesearch[gpu] in place of onnxruntime, or set "
            "FACESEARCH_DEVICE=cpu"
        )
    if device == "cuda":
        # CUDA and cuDNN come as wheels, where the dynamic loader does not look.
        onnxruntime.preload_dlls()
