"""The pipelines that benchmarks compare: the worker's, without a queue, and a straightforward one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import onnx

from shared.settings import Settings
from worker.models import catalog, custom, files
from worker.models.preparation.graph import unpacked
from worker.vision.arcface import ArcFace
from worker.vision.decode import configure_opencv, decode
from worker.vision.geometry import Box, Detection, align, most_prominent
from worker.vision.service import FaceService
from worker.vision.session import onnxruntime, open_session
from worker.vision.yunet import YuNet

SIDE: Final = 640


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so no ==
class Recognized:
    """The most prominent face of an image. vector: float32 (dimension,), length 1. box: as parts of the image's sides,
    comparable at any decoded size.
    """

    vector: np.ndarray
    box: Box


Recognize = Callable[[bytes], Recognized]
"""Raises LookupError, or shared.errors.FaceNotDetected, if no face is found."""


@dataclass(frozen=True)
class Pipeline:
    """A worker's pipeline, in parts and as a whole."""

    yunet: YuNet
    arcface: ArcFace
    service: FaceService
    embedder: catalog.Embedder

    def recognize(self, data: bytes) -> Recognized:
        """Return the most prominent face. Decodes a second time to learn the size: not to be timed."""
        face = self.service.embed_most_prominent(data)
        return Recognized(face.vector, _part(face.detection, decode(data)))


def open_pipeline(settings: Settings) -> Pipeline:
    detector = custom.find(settings.detector, "detection", settings.models_dir)
    embedder = custom.find(settings.embedder, "embedding", settings.models_dir)
    yunet = YuNet(open_session(files.prepared_path(detector, settings.models_dir)))
    arcface = ArcFace(open_session(files.prepared_path(embedder, settings.models_dir)), embedder)
    service = FaceService(yunet, arcface, least_score=settings.detection_score, max_pixels=settings.max_pixels)
    return Pipeline(yunet, arcface, service, embedder)


def open_naive_pipeline(settings: Settings) -> Recognize:
    """Return the straightforward pipeline with the same weights: a full cv2.imdecode, cv2.FaceDetectorYN at a side of
    640 pixels, and SFace in ONNX Runtime, with weights dequantised (as in the fp32 file) and nothing else prepared.

    Of several faces it takes the one that the worker's pipeline takes, so that only recognition is compared. Not
    thread-safe.
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
    plain = unpacked(onnx.load_model(paths[1])).SerializeToString()
    session = onnxruntime.InferenceSession(plain, options, providers=["CPUExecutionProvider"])
    (name,) = (entry.name for entry in session.get_inputs())

    def recognize(data: bytes) -> Recognized:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        factor = SIDE / max(image.shape[:2])
        resized = cv2.resize(image, None, fx=factor, fy=factor)
        detector.setInputSize(resized.shape[1::-1])
        rows = detector.detect(resized)[1]
        if rows is None:
            raise LookupError("no face")
        found = [Detection(tuple(row[:4].tolist()), row[4:14].reshape(5, 2), float(row[14])) for row in rows]
        face = most_prominent(found, resized.shape[1::-1])
        crop = align(image, face.landmarks / factor)
        blob = np.ascontiguousarray(crop[..., ::-1].transpose(2, 0, 1)[None], np.float32)
        vector = session.run(None, {name: blob})[0][0]
        return Recognized(np.asarray(vector / np.linalg.norm(vector)), _part(face, resized))

    return recognize


def _part(face: Detection, image: np.ndarray) -> Box:
    height, width = image.shape[:2]
    x, y, wide, high = face.box
    return x / width, y / height, wide / width, high / height
