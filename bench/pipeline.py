"""The in-process cost of one image by stage, with no queue: what a service on the same cores cannot undercut.

    .venv/bin/python bench/pipeline.py [PHOTO...]

Without photos it takes a packaged portrait. Prints JSON: medians in milliseconds, one thread.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np

from shared.settings import Settings
from worker.faces.decode import decode
from worker.faces.geometry import align
from worker.faces.service import FaceService
from worker.models import catalog, files
from worker.models.arcface import ArcFace
from worker.models.session import open_session
from worker.models.yunet import YuNet

ROUNDS = 40


def median_ms(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return round(statistics.median(times), 2)


def main() -> None:
    settings = Settings()
    detector = catalog.find(settings.detector, "detection")
    embedder = catalog.find(settings.embedder, "embedding")
    yunet = YuNet(open_session(files.prepared_path(detector, settings.models_dir)), settings.detection_score)
    arcface = ArcFace(open_session(files.prepared_path(embedder, settings.models_dir)), embedder)
    service = FaceService(yunet, arcface)
    photos = [Path(name) for name in sys.argv[1:]] or [Path(mpl.get_data_path()) / "sample_data/grace_hopper.jpg"]
    for photo in photos:
        data = photo.read_bytes()
        image = decode(data)
        landmarks = yunet.detect(image)[0].landmarks
        crops = np.stack([align(image, landmarks)])
        stages = {
            "decode": median_ms(lambda data=data: decode(data)),
            "detect": median_ms(lambda image=image: yunet.detect(image)),
            "align": median_ms(lambda image=image, landmarks=landmarks: align(image, landmarks)),
            "embed": median_ms(lambda crops=crops: arcface.embed(crops)),
            "all": median_ms(lambda data=data: service.describe_prominent(data)),
        }
        print(json.dumps({"photo": photo.name, "pixels": list(image.shape[1::-1]), "ms": stages}))


main()
