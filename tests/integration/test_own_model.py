"""An operator's own embedder is added on the command line, calibrated, and named in the settings."""

import base64
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from portraits import astronaut_png, hopper_jpeg, reencode
from service import Service
from shared.settings import Settings
from worker.models import catalog, custom, files

pytestmark = pytest.mark.slow

NAME = "mine"


def facesearch(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "facesearch", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, check=False)


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of a service whose embedder is SFace as an operator's own file, with SFace's calibration."""
    folder = tmp_path_factory.mktemp("models")
    settings = Settings()
    detector = catalog.find(settings.detector, "detection")
    sface = catalog.find(settings.embedder, "embedding")
    shutil.copy(files.original(detector, settings.models_dir, print), folder)
    made = {"FACESEARCH_MODELS_DIR": str(folder), "FACESEARCH_EMBEDDER": NAME}
    original = str(files.original(sface, settings.models_dir, print))
    options = ("--like", "sface", "--name", NAME, "--licence", sface.licence, "--commercial")
    added = facesearch("models", "add", original, *options, **made)
    assert added.returncode == 0, added.stderr
    return made


def calibrate(variables: dict[str, str]) -> None:
    """Write a calibration as `facesearch calibrate --write` does; its photos are not in the tree."""
    folder = Path(variables["FACESEARCH_MODELS_DIR"])
    sface = catalog.find(Settings().embedder, "embedding")
    custom.write_calibration(custom.find(NAME, "embedding", folder), catalog.calibration_of(sface), folder)


def test_a_service_does_not_start_without_a_calibration(tmp_path: Path, variables: dict[str, str]) -> None:
    result = facesearch("up", "--port", "0", "--data-dir", str(tmp_path), **variables)
    assert result.returncode == 1
    assert re.fullmatch(
        r"facesearch: no calibration .*`facesearch calibrate DIR --model mine --write`.*\n", result.stderr
    )


def test_faces_are_added_and_found(tmp_path: Path, variables: dict[str, str]) -> None:
    calibrate(variables)
    with Service(tmp_path / "data", dict(variables)) as service:
        control = facesearch("facedbs", "create", "people", "--data-dir", str(service.folder), REDIS_URL=service.broker)
        assert control.returncode == 0, control.stderr

        def call(path: str, image: bytes) -> httpx.Response:
            return service.http.post(f"/v1/{path}", data={"facedb": "people", "img": base64.b64encode(image).decode()})

        for image in (astronaut_png(), hopper_jpeg()):
            assert call("addface", image).json()["status"] == "OK"
        (match,) = call("searchface", reencode(hopper_jpeg(), 60)).json()["message"]
        assert match["confidence"] > 95
        collections = (service.folder / "faces").rglob("collection.json")
        assert any(f'"{NAME}:' in path.read_text() for path in collections) or "QDRANT_URL" in service.settings
