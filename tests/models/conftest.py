"""The real weights, as `make test` and `make test-all` pull them into the models folder."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.settings import Settings
from worker.models import catalog, files
from worker.vision.arcface import ArcFace
from worker.vision.decode import configure_opencv
from worker.vision.service import FaceService
from worker.vision.session import open_session
from worker.vision.yunet import YuNet


@dataclass(frozen=True)
class Weights:
    """The default models: prepared graphs, and the originals that OpenCV reads."""

    detector: Path
    detector_original: Path
    embedder: Path
    embedder_original: Path
    entry: catalog.Embedder


@pytest.fixture(scope="session")
def weights() -> Weights:
    settings = Settings()
    folder = settings.models_dir
    detector = catalog.find(settings.detector, "detection")
    embedder = catalog.find(settings.embedder, "embedding")
    return Weights(
        files.pull(detector, folder, print),
        files.original(detector, folder, print),
        files.pull(embedder, folder, print),
        files.original(embedder, folder, print),
        embedder,
    )


@pytest.fixture(scope="session")
def yunet(weights: Weights) -> YuNet:
    configure_opencv()
    return YuNet(open_session(weights.detector))


@pytest.fixture(scope="session")
def arcface(weights: Weights) -> ArcFace:
    return ArcFace(open_session(weights.embedder), weights.entry)


@pytest.fixture(scope="session")
def faces(yunet: YuNet, arcface: ArcFace) -> FaceService:
    return FaceService(yunet, arcface)
