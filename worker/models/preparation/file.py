"""Preparation of a model's file: what a worker loads in place of the published graph."""

from pathlib import Path

import onnx
from onnx import ModelProto

from worker.models.catalog import Embedder, Model
from worker.models.preparation.faces import decode_faces
from worker.models.preparation.graph import checked, prepare, unpacked
from worker.models.preparation.int8 import quantize
from worker.models.preparation.pixels import take_pixels


def prepare_file(model: Model, original: Path, prepared: Path) -> None:
    """Write the prepared graph of the model's file.

    It takes uint8 (N, height, width, 3) BGR. A detector's gives faces.FACES; an embedder's float32 (N, dimension).
    Raises OperatorError if the graph cannot be prepared.
    """
    onnx.save_model(checked(_prepared(model, onnx.load_model(original))), prepared)


def _prepared(model: Model, graph: ModelProto) -> ModelProto:
    if not isinstance(model, Embedder):
        return take_pixels(decode_faces(prepare(graph, dynamic_sides=True)))
    if model.ranges is not None:
        graph = quantize(unpacked(graph), model.ranges)
    return take_pixels(prepare(graph, dynamic_sides=False), model.channels, model.mean, model.scale)
