"""A service with facedbs of several ways of preprocessing: each keeps that of its first face, whatever comes later."""

import base64
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from homes import command, done, ours, with_preprocessing
from portraits import astronaut_png, hopper_jpeg
from service import UNHURRIED, Service

pytestmark = [pytest.mark.slow, pytest.mark.embedded("it starts on a data directory")]

ARCHIVE = Path(__file__).parents[1] / "data" / "data_of_0_1.tar.xz"
MIRROR = {"FACESEARCH_MIRROR_FACES": "true"}
FACEDBS = {"default": 3, "new": ours().version % 1000, "mirrored": 4, "restored": 4}
"""Version of the preprocessing of each facedb: one of release 0.1, and those made in the steps below."""


def call(service: Service, path: str, *images: bytes, **fields: str) -> Any:
    encoded = [base64.b64encode(image).decode() for image in images]
    names = ("img",) if len(images) < 2 else ("img1", "img2")
    answer = service.http.post(f"/v1/{path}", data=fields | dict(zip(names, encoded, strict=False))).json()
    assert answer["status"] == "OK", answer
    return answer["message"]


def kept_as(folder: Path, facedb: str) -> str:
    """Return the identity that the store keeps for a facedb."""
    (path,) = (folder / "faces").glob(f"default.{facedb}.*/collection.json")
    return json.loads(path.read_text())["identity"]


def require(service: Service, *facedbs: str) -> None:
    """Require that each of these facedbs has its preprocessing, and finds a face by its photo and by another one."""
    for facedb in facedbs:
        assert kept_as(service.folder, facedb) == str(with_preprocessing(FACEDBS[facedb])), facedb
        found = call(service, "searchface", hopper_jpeg(), facedb=facedb)
        assert found[0]["confidence"] == 100, facedb
    assert call(service, "facecompare", hopper_jpeg(), hopper_jpeg())["similarity"] == 100
    state = service.http.get("/readyz", params={"verbose": "1"}).json()["message"]
    assert state["facedbs"] == "ok", state


def begin(service: Service, facedb: str) -> None:
    """Make a facedb with two faces in it."""
    done("facedbs", "create", facedb, "--data-dir", service.folder)
    call(service, "addface", hopper_jpeg(), name="Grace", facedb=facedb)
    call(service, "addface", astronaut_png(), name="Eileen", facedb=facedb)


def test_each_facedb_keeps_its_preprocessing(tmp_path: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / "data"
    with Service(home, UNHURRIED) as service:
        begin(service, "new")
        call(service, "addface", astronaut_png(), name="Eileen")
        require(service, "default", "new")
    with Service(home, UNHURRIED | MIRROR) as service:
        begin(service, "mirrored")
        require(service, "default", "new", "mirrored")
        done("backup", tmp_path / "backup", "--data-dir", home)
        assert "none is refused" in command("doctor", FACESEARCH_DATA_DIR=str(home)).stdout
    assert "nothing is wrong" in done("verify", tmp_path / "backup")
    assert "nothing is wrong" in done("verify", "--data-dir", home)

    # Without the setting, whose absence concerns new facedbs alone.
    with Service(home, UNHURRIED) as service:
        require(service, "default", "new", "mirrored")
    done("restore", tmp_path / "backup", "--data-dir", tmp_path / "restored")
    with Service(tmp_path / "restored", UNHURRIED | MIRROR) as service:
        begin(service, "restored")
        require(service, *FACEDBS)
