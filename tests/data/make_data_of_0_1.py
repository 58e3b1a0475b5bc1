"""Write data_of_0_1.tar.xz beside this file: a data directory as release 0.1 leaves it when it is stopped.

Run it with the code and the tests of release 0.1 (commit 8fff362):

    cd CHECKOUT_OF_0_1 && PYTHONPATH=$PWD:$PWD/tests python .../tests/data/make_data_of_0_1.py

The archive holds vectors, names and test keys; no photo, no host name, and no key that works anywhere else.
tests/integration/test_data_of_0_1.py reads it.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from facesearch.own_broker import serving

from portraits import astronaut_png, hopper_jpeg, reencode
from service import UNHURRIED, Service

ARCHIVE = Path(__file__).with_name("data_of_0_1.tar.xz")
KEYS = {"api-key": "test-key-of-0.1-" + "0" * 16, "admin-key": "test-admin-key-of-0.1-" + "0" * 16}

MADE_BY_EVERY_START = ("run", "images")

WITH_HOST_NAME = ("fs:audit*", "fs:worker*")
"""Patterns of keys whose values hold the name of the machine."""


def facesearch(home: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "facesearch", *arguments, "--data-dir", str(home)], check=True)


def add(http: httpx.Client, image: bytes, **fields: str) -> str:
    """Return the person_id of the one face."""
    answer = http.post("/v1/addface", data=fields, files={"img": image}).json()
    assert answer["status"] == "OK", answer
    return answer["message"][0]["person_id"]


def fill(home: Path) -> dict[str, str]:
    """Return the person_id of each face by what it is."""
    with Service(home, UNHURRIED) as service:
        for name in ("staff", "gone"):
            facesearch(home, "facedbs", "create", name)
        http = service.http
        faces = {
            "grace": add(http, hopper_jpeg(), name="Grace"),
            "unnamed": add(http, reencode(hopper_jpeg())),
            "deleted": add(http, astronaut_png(), name="Deleted"),
            "eileen": add(http, astronaut_png(), name="Eileen", facedb="staff"),
            "dropped": add(http, astronaut_png(), facedb="gone"),
        }
        assert http.post("/v1/delface", data={"person_id": faces["deleted"]}).json()["status"] == "OK"
        facesearch(home, "facedbs", "drop", "gone", "--yes")
        assert http.post("/v1/searchface", files={"img": hopper_jpeg()}).json()["status"] == "OK"
    return faces


def detach(home: Path) -> None:
    """Remove what holds the name of this machine from the control data, let dropped collections be due whatever the
    clock says, and rewrite the append-only file.
    """
    with serving(home / "valkey") as redis:
        for pattern in WITH_HOST_NAME:
            for key in redis.scan_iter(pattern):
                redis.delete(key)
        for collection in redis.zrange("fs:dropped", 0, -1):
            redis.zadd("fs:dropped", {collection: 0})
        redis.bgrewriteaof()
        while any(redis.info("persistence")[f"aof_rewrite_{state}"] for state in ("in_progress", "scheduled")):
            time.sleep(0.1)
        print(*sorted(key.decode() for key in redis.scan_iter()), sep="\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "data"
        home.mkdir(mode=0o700)
        for name, key in KEYS.items():
            (home / name).write_text(key + "\n")
        (home / "lock").touch()
        (Path(folder) / "faces.json").write_text(json.dumps(fill(home), indent=2) + "\n")
        detach(home)
        for log in (home / "valkey").glob("*.log"):
            log.unlink()
        (home / "faces" / ".lock").write_text("")
        for name in MADE_BY_EVERY_START:
            shutil.rmtree(home / name)
        tar = ["tar", "--create", "--xz", "--sparse", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"]
        subprocess.run([*tar, f"--file={ARCHIVE}", f"--directory={folder}", "data", "faces.json"], check=True)


if __name__ == "__main__":
    main()
