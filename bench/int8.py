"""SFace in 8 bits against fp32: what it gains and what it costs, on the labelled photos of ../shared/faces/lfw.

    .venv/bin/python bench/int8.py [--quick]
    .venv/bin/python bench/int8.py ranges

The first way embeds every photo with both (of every fourth person with --quick), as it is and mirrored, and prints JSON
and a table: true accepts where one in 1,000, 10,000 and 100,000 strangers is accepted, what 8 bits lose, and its 95%
interval over people drawn anew; the same for people whose photos the ranges were not measured on, and for 8-bit probes
in an fp32 library; and milliseconds a face, one thread, by turns. The second way measures the ranges of
worker/models/ranges.py on every tenth person.
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import results
from onnx import ModelProto, TensorProto, helper, numpy_helper
from photos import LFW
from seeing import ours

from facesearch.evaluation.metrics import threshold
from shared.settings import Settings
from worker.models import catalog, files
from worker.models.preparation.chain import Chain, read
from worker.models.preparation.graph import unpacked
from worker.models.preparation.int8 import FLOAT_STAGES
from worker.vision.arcface import ArcFace
from worker.vision.service import FaceService
from worker.vision.session import onnxruntime, open_session

FLOATS: Final = "sface-2021dec-int8bq"
BYTES: Final = "sface-2021dec-int8"
MEASURED_ON: Final = 10
"""The ranges come from every so manieth person."""
FARS: Final = (1e-3, 1e-4, 1e-5)
SAMPLED: Final = 4000
"""So many outputs of each convolution are looked at, of each photo."""
DRAWS: Final = 2000
ROUNDS: Final = 60


class Crops:
    """In an embedder's place: keeps the aligned crop."""

    size = 112

    def __init__(self) -> None:
        self.last = np.empty(0)

    def embed(self, crops: np.ndarray) -> np.ndarray:
        self.last = crops
        return np.zeros((len(crops), 1), np.float32)


def crops(paths: list[Path], settings: Settings) -> np.ndarray:
    """The most prominent face of each photo, as the service aligns it."""
    detector = ours(settings).yunet

    def crop(path: Path) -> np.ndarray:
        kept = Crops()
        FaceService(detector, kept).describe_prominent(path.read_bytes())
        return kept.last[0]

    with ThreadPoolExecutor() as threads:
        return np.stack(list(threads.map(crop, paths)))


def embedder(name: str, settings: Settings) -> ArcFace:
    model = catalog.find(name, "embedding")
    return ArcFace(open_session(files.pull(model, settings.models_dir, print)), model)


def vectors(arcface: ArcFace, faces: np.ndarray) -> np.ndarray:
    with ThreadPoolExecutor() as threads:
        return np.concatenate(list(threads.map(arcface.embed, faces[:, None])))


Set = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Vectors of the same faces: fp32's for comparison, then a gallery and probes."""


class Pairs:
    """Every two photos of a set; gallery and probes may be embedded differently."""

    def __init__(self, people: np.ndarray) -> None:
        above = np.triu(np.ones((len(people), len(people)), bool), 1)
        same = people[:, None] == people
        self._same, self._other = same & above, ~same & above
        self._who = np.unique(np.broadcast_to(people, same.shape)[self._same], return_inverse=True)[1]

    def accepted(self, far: float, gallery: np.ndarray, probes: np.ndarray) -> np.ndarray:
        """For each pair of one person: whether it is above the score that this share of strangers is above."""
        scores = gallery @ probes.T
        return scores[self._same] > threshold(np.sort(scores[self._other])[::-1], far)

    def lost(self, far: float, sets: Sequence[Set]) -> dict[str, Any]:
        """Of fp32's pairs of one person, over all sets, in percent."""
        first = sum(self.accepted(far, before, before).astype(int) for before, _, _ in sets)
        then = sum(self.accepted(far, gallery, probes).astype(int) for _, gallery, probes in sets)
        change, count = np.bincount(self._who, first - then), np.bincount(self._who) * len(sets)
        drawn = np.random.default_rng(0).integers(0, len(count), (DRAWS, len(count)))
        spread = change[drawn].sum(axis=1) / count[drawn].sum(axis=1)
        return {
            "fp32": percent(first.mean() / len(sets)),
            "int8": percent(then.mean() / len(sets)),
            "lost": percent(change.sum() / count.sum()),
            "interval": [percent(edge) for edge in np.quantile(spread, [0.025, 0.975])],
        }


def percent(share: float) -> float:
    return round(100 * float(share), 2)


def milliseconds(embedders: dict[str, ArcFace], faces: np.ndarray) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in embedders}
    for i in range(ROUNDS):
        for name, arcface in embedders.items():
            start = time.perf_counter()
            arcface.embed(faces[i % len(faces)][None])
            times[name].append(time.perf_counter() - start)
    return {name: round(statistics.median(taken) * 1e3, 2) for name, taken in times.items()}


def compare(settings: Settings, step: int) -> dict[str, Any]:
    names = sorted({path.parent.name for path in LFW.glob("*/*.jpg")})[::step]
    measured_on = set(names[::MEASURED_ON]) if step == 1 else set()
    paths = [path for name in names for path in sorted((LFW / name).glob("*.jpg"))]
    people = np.array([path.parent.name for path in paths])
    faces = crops(paths, settings)
    embedders = {"fp32": embedder(FLOATS, settings), "int8": embedder(BYTES, settings)}
    both = [[vectors(arcface, seen) for arcface in embedders.values()] for seen in (faces, faces[:, :, ::-1])]
    cosines = np.array([(floats * whole).sum(axis=1) for floats, whole in both])
    new = np.array([person not in measured_on for person in people])
    pairs, strangers = Pairs(people), Pairs(people[new])
    return {
        "photos": len(paths),
        "ms_a_face": milliseconds(embedders, faces),
        "cosine": {"mean": round(float(cosines.mean()), 5), "least": round(float(cosines.min()), 4)},
        "all": {far: pairs.lost(far, [(floats, whole, whole) for floats, whole in both]) for far in FARS},
        "not_measured_on": {
            far: strangers.lost(far, [(floats[new], whole[new], whole[new]) for floats, whole in both]) for far in FARS
        },
        "fp32_library": {far: pairs.lost(far, [(floats, floats, whole) for floats, whole in both]) for far in FARS},
    }


def ranges(settings: Settings) -> list[tuple[float, float]]:
    """For each convolution: between what its outputs are best cut off, in units of their channels' reach."""
    names = sorted({path.parent.name for path in LFW.glob("*/*.jpg")})[::MEASURED_ON]
    faces = crops([path for name in names for path in sorted((LFW / name).glob("*.jpg"))], settings)
    original = files.original(catalog.find(FLOATS, "embedding"), settings.models_dir, print)
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
    """Where 255 steps cost prelu(x) the least mean square: a wider range is coarser, a narrower one cuts more off.

    x: (channels, samples).
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
    """The stages in fp32. Outputs: those of their convolutions, from the last stage on that is fp32 in 8 bits too."""
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


def table(found: dict[str, Any]) -> str:
    lines = [f"{'':>16}{'strangers':>14}{'fp32 %':>9}{'int8 %':>9}{'lost':>8}   95% interval"]
    for part in ("all", "not_measured_on", "fp32_library"):
        for far, row in found[part].items():
            low, high = row["interval"]
            lines.append(
                f"{part:>16}{f'1 in {round(1 / far):,}':>14}{row['fp32']:9.2f}{row['int8']:9.2f}{row['lost']:8.2f}"
                f"   {low:.2f} to {high:.2f}"
            )
    ms, cosine = found["ms_a_face"], found["cosine"]
    lines.append(f"{ms['fp32']} -> {ms['int8']} ms a face; cosine {cosine['mean']} on average, {cosine['least']} least")
    return "\n".join(lines)


def main() -> None:
    settings = Settings()
    if sys.argv[1:] == ["ranges"]:
        print("\n".join(f"    {row}," for row in ranges(settings)))
        return
    found = compare(settings, 4 if results.is_quick() else 1)
    results.keep("int8", found)
    print(json.dumps(found))
    print(table(found))


if __name__ == "__main__":
    main()
