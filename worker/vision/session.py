"""What executes a model: ONNX Runtime, behind a seam of our own. The one file that imports it: whatever else needs it,
benchmarks and tests, takes it from here, so that it never runs before it was told to report nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from shared.errors import OperatorError
from shared.observability import telemetry

telemetry.refuse()

import onnxruntime  # noqa: E402 -- it reports from the moment of its import, unless it was told not to

Tensor = npt.NDArray[np.float32]

Device = Literal["cpu", "cuda"]

_PROVIDERS: Final[Mapping[Device, dict[str, dict[str, str]]]] = {
    "cpu": {"CPUExecutionProvider": {}},
    "cuda": {
        # The default search for algorithms takes eight times as long for each new shape, and finds none that are faster
        # (others' figures: github.com/sgl-project/sglang-omni/pull/2176, github.com/PaddlePaddle/PaddleX/pull/5057).
        "CUDAExecutionProvider": {"cudnn_conv_algo_search": "HEURISTIC"},
        # What CUDA has no kernel for, shapes by and large, runs on the CPU.
        "CPUExecutionProvider": {},
    },
}

_ERRORS_ONLY = 3


class Session(Protocol):
    """A loaded model with one input. May be called from several threads at once."""

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        """Outputs by name. tensor: float32, C-contiguous, of the shape the graph declares."""


class OnnxSession:
    """A Session on ONNX Runtime."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        (only,) = session.get_inputs()
        self._session = session
        self._input: str = only.name
        self._outputs: list[str] = [output.name for output in session.get_outputs()]

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        values = self._session.run(self._outputs, {self._input: tensor})
        return dict(zip(self._outputs, values, strict=True))


def open_session(path: Path, device: Device = "cpu", threads: int = 1) -> OnnxSession:
    """Load the model file onto the device. threads: within one call, on the CPU.

    Raises OperatorError when ONNX Runtime cannot load the file, or when the device is not there: it is never another
    one than was asked for.
    """
    _require(device)
    options = onnxruntime.SessionOptions()
    # One job per core already keeps all cores busy, and small convolutions lose more to hand-over than they gain:
    # measured 104 images/s with a thread a job against 56 with ONNX Runtime's own threads.
    options.intra_op_num_threads = threads
    # Both graphs are chains: nothing in them runs side by side.
    options.inter_op_num_threads = 1
    # Idle threads must not burn the cores that other jobs need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=list(_PROVIDERS[device].items()))
    except Exception as error:  # its errors share no other base class
        raise OperatorError(
            f"cannot load the model {path}: {' '.join(str(error).split())[:300]}; "
            "delete the file and run `facesearch models pull`"
        ) from error
    # ONNX Runtime goes on with the CPU where a provider fails to start.
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
