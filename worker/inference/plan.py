"""What an inference process loads, as it is told by the process that starts it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from shared.errors import OperatorError
from worker.inference.batches import Batches
from worker.inference.sessions import OpenSession, Sessions, Size
from worker.inference.wire import Model
from worker.vision.geometry import REFINEMENT_SIDE
from worker.vision.passes import COARSE_SIDE, SIDE
from worker.vision.rotations import SCOUT_SIDE, SMALL_SCOUT_SIDE
from worker.vision.session import Device, FixedSessions, Session, open_session
from worker.vision.yunet import candidates, usual_sizes

LANES: Final = {Model.DETECTOR: 3, Model.EMBEDDER: 1, Model.SECOND_EMBEDDER: 1}
"""Most inferences of each model at the same time: coarse passes, full passes and refinements, and embeddings. On an
H200 four at once did 1.2 to 1.8 times what one did."""


@dataclass(frozen=True)
class Plan:
    """detector, embedder: paths of prepared graphs. crop_side: of the embedder's crops in pixels. batch_size: most
    images of an inference. batch_wait_s: longest time in seconds for which an idle model waits for announced callers.
    second, second_side: path and crops of the second embedder; "" and 0 without one.
    """

    detector: str
    embedder: str
    crop_side: int
    device: Device
    batch_size: int
    batch_wait_s: float
    second: str = ""
    second_side: int = 0

    def text(self) -> str:
        """Return the text that `parse` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """Return the plan that `text` gave."""
        return cls(**json.loads(text))


Openers = Callable[[Plan, Model], OpenSession]
"""Returns what opens the sessions of a model."""


def onnx_sessions(plan: Plan, model: Model) -> OpenSession:
    """Return what opens sessions of a model with ONNX Runtime, on the plan's device. Raises OperatorError."""
    paths = {Model.DETECTOR: plan.detector, Model.EMBEDDER: plan.embedder, Model.SECOND_EMBEDDER: plan.second}
    path = Path(paths[model])
    fixed = FixedSessions(path, plan.device)

    def opened(size: Size, rows: int | None) -> Session:
        return open_session(path, plan.device) if rows is None else fixed.open((rows, *size, 3))

    return opened


def open_models(plan: Plan, openers: Openers = onnx_sessions) -> dict[Model, Batches]:
    """Open all sessions and run each of them once. Raises OperatorError if the device is missing or cannot run them."""
    squares = [(side, side) for side in (REFINEMENT_SIDE, SCOUT_SIDE, SMALL_SCOUT_SIDE)]
    sizes = {
        Model.DETECTOR: [*squares, *usual_sizes(COARSE_SIDE), *usual_sizes(SIDE)],
        Model.EMBEDDER: [(plan.crop_side, plan.crop_side)],
    }
    if plan.second:
        sizes[Model.SECOND_EMBEDDER] = [(plan.second_side, plan.second_side)]
    opened = {}
    try:
        for model, usual in sizes.items():
            shortened = {"shortened": candidates} if model is Model.DETECTOR else {}
            opened[model] = Sessions(openers(plan, model), usual, plan.batch_size, **shortened)
            opened[model].try_out()
    except OperatorError:
        raise
    except Exception as error:  # ONNX Runtime's errors share no other base class
        raise OperatorError(
            f"the models do not run on {plan.device}: {' '.join(str(error).split())[:300]}; if its memory is short, "
            "lower FACESEARCH_BATCH_SIZE; FACESEARCH_DEVICE=cpu does without a GPU"
        ) from error
    return {
        model: Batches(sessions.run, plan.batch_size, plan.batch_wait_s, LANES[model])
        for model, sessions in opened.items()
    }
