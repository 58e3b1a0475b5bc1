"""A data directory of release 0.1 is served unchanged: tests/data/make_data_of_0_1.py says how it was made."""

import base64
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homes import command, done
from portraits import astronaut_png, hopper_jpeg
from processes import wait_for
from service import UNHURRIED, Service

pytestmark = pytest.mark.embedded("it starts on a data directory")

ARCHIVE = Path(__file__).parents[1] / "data" / "data_of_0_1.tar.xz"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the archive: the data directory is in `data`, and the person_id of each face in `faces.json`."""
    folder = tmp_path_factory.mktemp("0.1")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def faces(unpacked: Path) -> dict[str, str]:
    return json.loads((unpacked / "faces.json").read_text())


@pytest.fixture(scope="module")
def service(unpacked: Path) -> Iterator[Service]:
    with Service(unpacked / "data", UNHURRIED) as service:
        yield service


def call(service: Service, name: str, image: bytes | None = None, **fields: str) -> dict[str, Any]:
    encoded = {} if image is None else {"img": base64.b64encode(image).decode()}
    return service.http.post(f"/v1/{name}", data=fields | encoded).json()


def found(service: Service, image: bytes, **fields: str) -> dict[str, tuple[str, float]]:
    """Return name and confidence of each match by its person_id."""
    answer = call(service, "searchface", image, **fields)
    assert answer["status"] == "OK", answer
    return {match["person_id"]: (match["name"], match["confidence"]) for match in answer["message"]}


def test_verify_finds_no_damage_before_the_first_start(unpacked: Path) -> None:
    result = command("verify", "--data-dir", unpacked / "data")
    assert "4 persons in 3 collections; nothing is wrong" in result.stdout
    assert result.exit_code == 0


def test_the_facedbs_are_listed_without_the_dropped_one(service: Service) -> None:
    listed = json.loads(done("facedbs", "list", "--json", "--data-dir", service.folder))
    assert [facedb["name"] for facedb in listed] == ["default", "staff"]
    assert call(service, "searchface", astronaut_png(), facedb="gone")["status"] == "INVALID_REQUEST"
    wait_for(lambda: not list((service.folder / "faces").glob("default.gone.*")))


def test_the_key_of_callers_finds_faces_by_the_photos_of_their_adds(service: Service, faces: dict[str, str]) -> None:
    assert service.key == "test-key-of-0.1-" + "0" * 16
    matches = found(service, hopper_jpeg())
    assert matches[faces["grace"]] == ("Grace", 100)
    name, confidence = matches[faces["unnamed"]]
    assert name == "ID0"
    assert 95 <= confidence < 100
    assert set(matches) == {faces["grace"], faces["unnamed"]}
    assert found(service, astronaut_png(), facedb="staff") == {faces["eileen"]: ("Eileen", 100)}


def test_a_deleted_face_stays_deleted(service: Service, faces: dict[str, str]) -> None:
    assert call(service, "searchface", astronaut_png())["status"] == "NO_SIMILAR_FACE"
    assert call(service, "delface", person_id=faces["deleted"])["status"] == "PERSON_ID_NOT_EXIST"


def test_automatic_names_continue_and_a_face_can_be_deleted(service: Service, faces: dict[str, str]) -> None:
    (added,) = call(service, "addface", astronaut_png())["message"]
    assert added["name"] == "ID1"
    for person_id in (added["person_id"], faces["unnamed"]):
        assert call(service, "delface", person_id=person_id)["status"] == "OK"
    assert set(found(service, hopper_jpeg())) == {faces["grace"]}


def test_the_usage_of_its_day_is_kept(service: Service) -> None:
    rows = json.loads(done("usage", "--json", "--data-dir", service.folder))["rows"]
    its_day = min(row["day"] for row in rows)
    counted = {row["call"]: row["count"] for row in rows if (row["day"], row["status"]) == (its_day, "OK")}
    # On that same day the requests of the tests above count too.
    assert counted["addface"] >= 5
    assert counted["delface"] >= 1
    assert counted["searchface"] >= 1
