"""A facedb moves to another model while it is searched: `facesearch facedbs migrate` on a running service."""

import csv
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from homes import command, done, refused
from portraits import astronaut_png, hopper_jpeg, reencode, rotate
from processes import wait_for
from service import UNHURRIED, Service

pytestmark = [pytest.mark.slow, pytest.mark.embedded("it starts on a data directory")]

OLD, NEW = "sface-2021dec-int8bq", "sface-2021dec-int8"
BEFORE = {**UNHURRIED, "FACESEARCH_EMBEDDER": OLD}
BOTH = {**UNHURRIED, "FACESEARCH_EMBEDDER": NEW, "FACESEARCH_SECOND_EMBEDDER": OLD}
THIRD = rotate(hopper_jpeg(), 4)


def call(service: Service, path: str, image: bytes | None = None, **fields: str) -> Any:
    files = {} if image is None else {"img": image}
    answer = service.http.post(f"/v1/{path}", data=fields, files=files).json()
    assert answer["status"] == "OK", answer
    return answer["message"]


def best(service: Service, image: bytes) -> tuple[str, float]:
    match = call(service, "searchface", image)[0]
    return match["name"], match["confidence"]


@contextmanager
def searching(service: Service) -> Iterator[Callable[[], int]]:
    """Search for a person all the time; each search must find her. Yields what returns the number of searches."""
    ending, found = threading.Event(), []

    def search() -> None:
        while not ending.wait(0.1):  # others need the cores, too
            found.append(best(service, hopper_jpeg()))

    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield lambda: len(found)
    finally:
        ending.set()
        thread.join()
    assert set(found) == {("Grace", 100)}


def test_a_facedb_is_migrated_while_it_is_searched(tmp_path: Path) -> None:
    home, photos, missing = tmp_path / "data", tmp_path / "photos", tmp_path / "missing.csv"
    with Service(home, BEFORE) as service:
        (grace,) = call(service, "addface", hopper_jpeg(), name="Grace")
        (eileen,) = call(service, "addface", astronaut_png(), name="Eileen", external_id="customer-7")
        (third,) = call(service, "addface", THIRD, name="Third")
        said = refused("facedbs", "migrate", "default", "--photos", "photos", "--data-dir", home)
        assert "does not exist" in said

    def migrate(*options: object) -> str:
        return done("facedbs", "migrate", "default", *options, "--data-dir", home)

    for folder, image in (("Grace", hopper_jpeg()), ("customer-7", reencode(astronaut_png(), 90)), ("Nobody", THIRD)):
        (photos / folder).mkdir(parents=True)
        (photos / folder / "1.jpg").write_bytes(image)
    (photos / "Grace" / "2.jpg").write_bytes(reencode(astronaut_png(), 80))
    with Service(home, BOTH) as service, searching(service) as searches, Redis.from_url(service.broker) as redis:
        # A command that is killed, and then a worker: what they began goes on.
        arguments = ["facedbs", "migrate", "default", "--photos", str(photos), "--data-dir", str(home)]
        with subprocess.Popen([sys.executable, "-m", "facesearch", *arguments], stdout=subprocess.PIPE) as killed:
            wait_for(lambda: redis.exists("fs:migrations"))
            killed.kill()
        service.child("-m worker").kill()
        result = command(*arguments)
        assert result.exit_code == 1, result.output  # as one person is missing
        assert "persons   3, of whom 1 have no face of the other model" in result.output
        assert "Nobody/1.jpg: nobody in the facedb has this person_id, external_id or name" in result.stderr
        assert "Grace/2.jpg" not in result.stdout  # astronaut is not Grace
        (later,) = call(service, "addface", rotate(astronaut_png(), 3), name="Later")
        said = command("facedbs", "migrate", "default", "--switch", "--missing", missing, "--data-dir", home)
        assert said.exit_code == 1
        assert "1 of 4 persons would not be found any more" in said.stderr
        (row,) = csv.DictReader(missing.read_text(encoding="utf-8").splitlines())
        assert (row["person_id"], row["name"]) == (third["person_id"], "Third")

        (photos / "Nobody").rename(photos / third["person_id"])
        assert "of whom 0 have no face" in migrate("--photos", photos)
        assert "filling" in done("facedbs", "list", "--data-dir", home)
        migrate("--switch")
        assert "switched" in done("facedbs", "list", "--data-dir", home)
        known = {each["person_id"]: each for each in service.http.get("/v1/persons").json()["message"]["persons"]}
        assert known.keys() == {each["person_id"] for each in (grace, eileen, third, later)}
        assert known[eileen["person_id"]]["external_id"] == "customer-7"

        done("backup", tmp_path / "backup", "--data-dir", home, **BOTH)
        assert "nothing is wrong" in done("verify", tmp_path / "backup", **BOTH)
        migrate("--rollback")
        call(service, "delface", person_id=later["person_id"])
        migrate("--switch")
        wait_for(lambda: best(service, astronaut_png())[1] < 100)  # the photo of the new model was compressed
        assert best(service, astronaut_png())[0] == "Eileen"
        migrate("--finish")
        assert sum(facedb["persons"] for facedb in service.http.get("/v1/facedbs").json()["message"]) == len(known) - 1
        assert searches() > 0
