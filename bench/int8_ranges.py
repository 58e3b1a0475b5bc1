"""Measure the ranges of worker/models/ranges.py on the labelled photos of ../shared/faces/lfw.

    .venv/bin/python bench/int8_ranges.py

Prints a pair of numbers for each convolution from the second on, measured on every tenth person. What 8 bits gain and
cost is in docs/decisions/0010-int8.md.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper
from photos import LFW
from recognition import open_pipeline

from shared.settings import Settings
from worker.models import catalog, files
from worker.models.preparation.chain import Chain, read
from worker.models.preparation.graph import unpacked
from worker.models.preparation.int8 import FLOAT_STAGES
from worker.vision.service import FaceService
from worker.vision.session import onnxruntime

MODEL: Final = "sface-2021dec-int8bq"
EVERY: Final = 10
"""One person in this many is measured."""
SAMPLED: Final = 4000
"""Outputs of each convolution that are sampled from each photo."""


class Crops:
    """An embedder that keeps the aligned crop instead of embedding it."""

    size = 112

    def __init__(self) -> None:
        self.last = np.empty(0)

    def embed(self, crops: np.ndarray) -> np.ndarray:
        self.last = crops
        return np.zeros((len(crops), 1), np.float32)


def crops(paths: list[Path], settings: Settings) -> np.ndarray:
    """Return the most prominent face of each photo as the service aligns it: uint8 (photos, 112, 112, 3)."""
    detector = open_pipeline(settings).yunet

    def crop(path: Path) -> np.ndarray:
        kept = Crops()
        FaceService(detector, kept).embed_most_prominent(path.read_bytes())
        return kept.last[0]

    with ThreadPoolExecutor() as threads:
        return np.stack(list(threads.map(crop, paths)))


def ranges(settings: Settings) -> list[tuple[float, float]]:
    """Return for each convolution the best least and largest output, in units of its channels' reach."""
    names = sorted({path.parent.name for path in LFW.glob("*/*.jpg")})[::EVERY]
    faces = crops([path for name in names for path in sorted((LFW / name).glob("*.jpg"))], settings)
    original = files.original(catalog.find(MODEL, "embedding"), settings.models_dir, print)
    chain = read(unpacked(onnx.load_model(original))).equalised(FLOAT_STAGES - 1)
    session = onnxruntime.InferenceSession(watching(chain).SerializeToString(), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    rng = np.random.default_rng(0)
    seen: list[list[np.ndarray]] = [[] for _ in session.get_outputs()]
    for face in faces:
        image = np.ascontiguousarray(face[..., ::-1].transpose(2, 0, 1)[None], np.float32)
        for values, (outputs,) in zip(seen, session.run(None, {given.name: image}), strict=True):
            pixels = rng.integers(0, outputs[0].size, max(1, SAMPLED // len(outputs)))
            values.append(outputs.reshape(len(outputs), -1)[:, pixels])
    stages = chain.stages[FLOAT_STAGES - 1 :]
    return [best_range(np.concatenate(x, axis=1), s.slope) for x, s in zip(seen, stages, strict=True)]


def best_range(x: np.ndarray, slope: np.ndarray) -> tuple[float, float]:
    """Return the range in which quantising x to 255 steps gives prelu(x) the least mean square error.

    x: (channels, samples). A wider range is coarser, a narrower one clips more.
    """

    def prelu(values: np.ndarray) -> np.ndarray:
        return np.where(values > 0, values, values * slope[:, None])

    def cost(low: float, high: float) -> float:
        step = (high - low) / 255
        zero = round(-low / step)
        rounded = (np.clip(np.rint(x / step) + zero, 0, 255) - zero) * step
        return float(np.square(prelu(rounded) - prelu(x)).mean())

    parts = np.linspace(0.2, 1, 33)
    lows, highs = x.min() * parts, x.max() * parts
    low, high = lows[-1], highs[-1]
    for _ in range(3):
        low = min(lows, key=lambda value: cost(value, high))
        high = min(highs, key=lambda value: cost(low, value))
    return round(float(low), 3), round(float(high), 3)


def watching(chain: Chain) -> ModelProto:
    """Return the stages as an fp32 graph that outputs every convolution from stage FLOAT_STAGES - 1 on."""
    nodes, weights, outputs = [], [], []

    def weight(value: np.ndarray | float) -> str:
        weights.append(numpy_helper.from_array(np.asarray(value, np.float32), f"w{len(weights)}"))
        return weights[-1].name

    nodes.append(helper.make_node("Sub", [chain.source, weight(chain.mean)], ["centred"]))
    nodes.append(helper.make_node("Mul", ["centred", weight(chain.factor)], ["y0"]))
    for i, stage in enumerate(chain.stages):
        parts = [f"y{i}", weight(stage.weight), weight(stage.bias)]
        nodes.append(helper.make_node("Conv", parts, [f"x{i}"], **stage.attributes))
        nodes.append(helper.make_node("PRelu", [f"x{i}", weight(stage.slope.reshape(-1, 1, 1))], [f"y{i + 1}"]))
        if i >= FLOAT_STAGES - 1:
            outputs.append(helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, None))
    image = helper.make_tensor_value_info(chain.source, TensorProto.FLOAT, [1, 3, chain.side, chain.side])
    graph = helper.make_graph(nodes, "watching", [image], outputs, weights)
    opsets = [helper.make_opsetid("", chain.opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))


def main() -> None:
    print("\n".join(f"    {row}," for row in ranges(Settings())))


if __name__ == "__main__":
    main()
