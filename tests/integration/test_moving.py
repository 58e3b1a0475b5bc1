"""The programs of docs/migration.md, on real services: they compare two services, and add faces with other ids."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from contract.tenants import new_tenant
from portraits import astronaut_png, faceless_png, hopper_jpeg
from service import Service

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "clients/python/examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with photos of two people and of nobody."""
    for name, image in (("cup.png", faceless_png()), ("eileen.png", astronaut_png()), ("grace.jpg", hopper_jpeg())):
        (tmp_path / name).write_bytes(image)
    return tmp_path


def run(program: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / program, *map(str, arguments)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "clients/python/src"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def add(service: Service, key: str, image: bytes, name: str) -> None:
    added = service.http.post("/v1/addface", headers={"X-API-Key": key}, data={"name": name}, files={"img": image})
    assert added.json()["status"] == "OK"


class TestComparing:
    """One service is both: two tenants of it are the old and the new one."""

    def compare(self, service: Service, folder: Path, old: str, new: str) -> subprocess.CompletedProcess[str]:
        both = {"OLD_URL": service.address, "NEW_URL": service.address, "OLD_KEY": old, "NEW_KEY": new}
        return run("compare_services.py", folder, **both)

    def test_a_photo_counts_by_the_name_that_each_accepts(self, service: Service, folder: Path) -> None:
        old, new = (new_tenant(service.broker, own={})[1]["own"] for _ in range(2))
        add(service, old, hopper_jpeg(), "Grace")
        add(service, old, astronaut_png(), "Eileen")
        add(service, new, hopper_jpeg(), "Hopper")
        done = self.compare(service, folder, old, new)
        assert done.stderr == "3 photos: 1 another name, 1 only old, 1 same\n"
        found = {row["photo"]: row for row in rows(done.stdout)}
        assert [found[name]["verdict"] for name in ("cup.png", "eileen.png", "grace.jpg")] == [
            "same",
            "only old",
            "another name",
        ]
        assert found["cup.png"]["new_status"] == "FACE_DETECT_FAILED"
        assert (found["grace.jpg"]["old_name"], found["grace.jpg"]["new_name"]) == ("Grace", "Hopper")
        assert (found["eileen.png"]["old_confidence"], found["eileen.png"]["new_confidence"]) == ("100", "")

    def test_a_refused_key_is_no_outcome(self, service: Service, folder: Path) -> None:
        (folder / "eileen.png").unlink()
        done = self.compare(service, folder, new_tenant(service.broker, own={})[1]["own"], "an-unknown-key")
        assert done.stderr == "2 photos: 2 no outcome\n"
        assert {row["new_status"] for row in rows(done.stdout)} == {"INVALID_REQUEST"}

    def test_without_a_key_it_says_what_to_set(self, folder: Path) -> None:
        done = run("compare_services.py", folder, OLD_URL="http://127.0.0.1:1")
        assert done.stderr == "set OLD_URL to http://… or https://… and OLD_KEY to an API key\n"
        assert done.returncode == 1


def test_faces_are_added_once_with_ids_of_ones_own(service: Service, folder: Path) -> None:
    key = new_tenant(service.broker, own={})[1]["own"]
    (folder / "staff.csv").write_text(
        "file,name,id\ngrace.jpg,Grace,old-1\neileen.png,Eileen,old-2\ncup.png,Cup,old-3\n"
    )
    first, again = (
        run("add_with_ids.py", folder / "staff.csv", FACESEARCH_URL=service.address, FACESEARCH_KEY=key)
        for _ in range(2)
    )
    assert [first.returncode, first.stderr] == [1, ""]
    grace, _, cup = rows(first.stdout)
    assert [row["person_id"] for row in rows(again.stdout)] == [row["person_id"] for row in rows(first.stdout)]
    assert cup["problem"].startswith("FaceNotDetected: ")
    persons = httpx.get(f"{service.address}/v1/persons", headers={"X-API-Key": key}, timeout=150).json()["message"]
    assert [person["external_id"] for person in persons["persons"]] == ["old-1", "old-2"]
    assert persons["persons"][0]["person_id"] == grace["person_id"]
