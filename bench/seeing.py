"""The pipelines that benchmarks compare: ours, with no queue around it, and the one that anybody would write first."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime

from shared.settings import Settings
from worker.faces.decode import configure_opencv
from worker.faces.geometry import align
from worker.faces.service import FaceService
from worker.models import catalog, files
from worker.models.arcface import ArcFace
from worker.models.prepare import _Graph
from worker.models.session import open_session
from worker.models.yunet import YuNet

SIDE = 640


@dataclass(frozen=True)
class Ours:
    """What a worker runs, part by part and whole."""

    yunet: YuNet
    arcface: ArcFace
    service: FaceService


def ours(settings: Settings) -> Ours:
    detector = catalog.find(settings.detector, "detection")
    embedder = catalog.find(settings.embedder, "embedding")
    yunet = YuNet(open_session(files.prepared_path(detector, settings.models_dir)), settings.detection_score)
    arcface = ArcFace(open_session(files.prepared_path(embedder, settings.models_dir)), embedder)
    return Ours(yunet, arcface, FaceService(yunet, arcface))


def naive(settings: Settings) -> Callable[[bytes], np.ndarray]:
    """The straightforward pipeline with the same weights: a full cv2.imdecode, cv2.FaceDetectorYN at the same side of
    640 pixels, and SFace in ONNX Runtime, its weights unpacked (as the fp32 file has them) and nothing else prepared.

    Gives the unit vector of the largest face; raises LookupError where none is found.
    """
    configure_opencv()
    folder = settings.models_dir
    paths: list[Path] = [
        files.original(catalog.find(name, task), folder, print)
        for name, task in ((settings.detector, "detection"), (settings.embedder, "embedding"))
    ]
    detector = cv2.FaceDetectorYN.create(str(paths[0]), "", (SIDE, SIDE), settings.detection_score, 0.3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    graph = _Graph(onnx.load_model(paths[1]))
    graph.fold_constants()
    plain = graph.build(dynamic_sides=False).SerializeToString()
    session = onnxruntime.InferenceSession(plain, options, providers=["CPUExecutionProvider"])
    (name,) = (entry.name for entry in session.get_inputs())

    def describe(data: bytes) -> np.ndarray:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        factor = SIDE / max(image.shape[:2])
        resized = cv2.resize(image, None, fx=factor, fy=factor)
        detector.setInputSize(resized.shape[1::-1])
        rows = detector.detect(resized)[1]
        if rows is None:
            raise LookupError("no face")
        row = max(rows, key=lambda row: row[2] * row[3])
        crop = align(image, row[4:14].reshape(5, 2) / factor)
        blob = np.ascontiguousarray(crop[..., ::-1].transpose(2, 0, 1)[None], np.float32)
        vector = session.run(None, {name: blob})[0][0]
        return np.asarray(vector / np.linalg.norm(vector))

    return describe
