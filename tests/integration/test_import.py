"""`facesearch import` on a real service: every photo is added once, however often it is interrupted."""

import asyncio
import csv
import io
import json
import os
import signal
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import SecretStr

from contract.tenants import new_tenant
from facesearch.bulk import journal, run, sources
from facesearch.bulk.adding import Patience
from facesearch.bulk.journal import Target
from facesearch.bulk.options import Options
from facesearch.bulk.report import Tally
from portraits import astronaut_png, faceless_png, hopper_jpeg, reencode, side_by_side
from processes import two_free_ports, wait_for
from service import UNHURRIED, Service
from shared.contract import MAX_IMAGE_BYTES
from shared.control import Scope
from shared.errors import OperatorError

PHOTOS = 12
"""Photos of one person: fewer than a search lists."""


def photos(folder: Path, count: int = PHOTOS) -> Path:
    """Write different photos of one person, each under a name of its own."""
    for number in range(count):
        (folder / f"Grace{number}").mkdir(parents=True)
        (folder / f"Grace{number}/1.jpg").write_bytes(reencode(hopper_jpeg(), 60 + number))
    return folder


NAMES = sorted(f"Grace{number}" for number in range(PHOTOS))


class Importer:
    """Runs the command against a service, with a key of a tenant of its own."""

    def __init__(self, service: Service, folder: Path, **limits: object) -> None:
        self.service = service
        self.key = new_tenant(service.broker, own=dict(limits), adding={"scopes": frozenset({Scope.ADD})})[1]
        self._file = folder / f"key-{uuid.uuid4().hex}"
        self._file.write_text(self.key["own"])

    def command(self, source: Path, *options: object, url: str | None = None) -> list[str]:
        where = ("--url", url or self.service.address, "--key-file", self._file)
        return [sys.executable, "-m", "facesearch", "import", str(source), *map(str, (*where, *options))]

    def run(self, source: Path, *options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(source, *options), capture_output=True, text=True, timeout=110, check=False)

    def start(self, source: Path, *options: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(source, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def names(self, image: bytes | None = None) -> list[str]:
        """Return the names of all faces like the one in the image, sorted."""
        answer = self.service.http.post(
            "/v1/searchface", files={"img": image or hopper_jpeg()}, headers={"X-API-Key": self.key["own"]}
        ).json()
        return sorted(each["name"] for each in answer["message"]) if answer["status"] == "OK" else []


@pytest.fixture
def importer(service: Service, tmp_path: Path) -> Importer:
    return Importer(service, tmp_path)


def rows_of(report: Path) -> list[dict[str, str]]:
    with report.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lines(journal: Path, word: str) -> int:
    return journal.read_text().count(f'"{word}"') if journal.exists() else 0


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line with which a command failed."""
    assert done.returncode == 1, done.stdout
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("facesearch: "))
    assert "Traceback" not in done.stderr
    return line


class TestWhatIsAdded:
    def test_every_photo_once_and_nothing_the_second_time(self, importer: Importer, tmp_path: Path) -> None:
        source = photos(tmp_path / "photos")
        first = importer.run(source)
        assert first.returncode == 0, first.stderr
        assert f"added         {PHOTOS} photos, {PHOTOS} faces" in first.stdout
        assert importer.names() == NAMES
        second = importer.run(source)
        assert second.returncode == 0, second.stderr
        assert "added         0 photos" in second.stdout
        assert f"added before  {PHOTOS} photos" in second.stdout
        assert importer.names() == NAMES

    def test_what_cannot_be_added_is_reported_and_tried_again(self, importer: Importer, tmp_path: Path) -> None:
        source = photos(tmp_path / "photos", 1)
        for name, data in {
            "two": side_by_side(hopper_jpeg(), astronaut_png()),
            "none": faceless_png(),
            "large": hopper_jpeg().ljust(MAX_IMAGE_BYTES + 1, b"\0"),
            "gif": b"GIF89a",
        }.items():
            (source / name).mkdir()
            (source / name / "1.jpg").write_bytes(data)
        report = tmp_path / "report.csv"
        done = importer.run(source, "--report", report)
        assert done.returncode == 1
        rows = {row["name"]: (row["file"], row["status"], row["reason"]) for row in rows_of(report)}
        assert rows == {
            "two": ("two/1.jpg", "FACE_DETECT_FAILED", "several faces"),
            "none": ("none/1.jpg", "FACE_DETECT_FAILED", "no face, or none that is shown well enough"),
            "large": ("large/1.jpg", "IMAGE_INVALID_SIZE", "image larger than 2M: --shrink makes it smaller"),
            "gif": ("gif/1.jpg", "IMAGE_INVALID_FORMAT", "it is no JPEG, PNG or BMP"),
        }
        assert "1 x several faces" in done.stdout
        again = importer.run(source, "--faces", "all", "--shrink", "--report", report)
        assert "added         2 photos, 3 faces" in again.stdout
        assert "              1 of them made smaller" in again.stdout
        assert importer.names() == ["Grace0", "large", "two"]
        assert {row["name"] for row in rows_of(report)} == {"none", "gif"}

    def test_names_that_the_service_does_not_take_are_known_before(self, importer: Importer, tmp_path: Path) -> None:
        source = photos(tmp_path / "photos", 1)
        (source / "Grace0").rename(source / "Grace Hopper")
        (source / "Ann").mkdir()
        (source / "Ann/1.png").write_bytes(astronaut_png())
        done = importer.run(source)
        assert done.returncode == 1
        assert "Grace Hopper/1.jpg: name not taken: this service takes names of at most 128 letters" in done.stderr
        assert importer.names() == []
        assert importer.names(astronaut_png()) == ["Ann"]

    def test_a_dry_run_adds_nothing_and_its_output_can_be_imported(self, importer: Importer, tmp_path: Path) -> None:
        source = photos(tmp_path / "photos", 2)
        dry = importer.run(source, "--dry-run")
        assert dry.returncode == 0, dry.stderr
        assert [row["name"] for row in csv.DictReader(io.StringIO(dry.stdout))] == ["Grace0", "Grace1"]
        assert importer.names() == []
        assert not list(tmp_path.glob("*.jsonl"))
        (source / "list.csv").write_text(dry.stdout)
        assert importer.run(source / "list.csv").returncode == 0
        assert importer.names() == ["Grace0", "Grace1"]

    def test_a_zip_file_into_a_facedb(self, importer: Importer, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
            file.writestr("Grace.jpg", hopper_jpeg())
        done = importer.run(tmp_path / "photos.zip", "--names", "file", "--facedb", "default")
        assert done.returncode == 0, done.stderr
        assert importer.names() == ["Grace"]
        assert (tmp_path / "photos.zip.default.import.jsonl").exists()


class TestInterruptions:
    @pytest.mark.parametrize("word", ["sent", "added"])
    def test_killed_twice_the_same_is_added(self, importer: Importer, tmp_path: Path, word: str) -> None:
        source, journal = photos(tmp_path / "photos"), tmp_path / "journal"
        for after in (1, 6):
            with importer.start(source, "--journal", journal) as process:
                wait_for(lambda after=after: lines(journal, word) >= after or process.poll() is not None)
                process.kill()
        done = importer.run(source, "--journal", journal)
        assert done.returncode == 0, done.stderr
        assert importer.names() == NAMES

    def test_what_was_sent_is_resolved_by_the_same_request(self, importer: Importer, tmp_path: Path) -> None:
        """Also with other options: a photo that was added and whose answer was lost is not added in another way."""
        source, journal = photos(tmp_path / "photos", 1), tmp_path / "journal"
        assert importer.run(source, "--journal", journal).returncode == 0
        sent = journal.read_text().splitlines(keepends=True)[:2]
        journal.write_text("".join(sent))
        done = importer.run(source, "--journal", journal, "--faces", "all")
        assert "added         1 photos" in done.stdout
        assert importer.names() == ["Grace0"]

    def test_without_its_journal_an_import_of_the_same_day_adds_nothing(
        self, importer: Importer, tmp_path: Path
    ) -> None:
        source, journal = photos(tmp_path / "photos", 2), tmp_path / "journal"
        importer.run(source, "--journal", journal)
        journal.unlink()
        done = importer.run(source, "--journal", journal)
        assert done.returncode == 0, done.stderr
        assert "added before  2 photos within a day, by an import whose journal is not here" in done.stdout
        assert importer.names() == ["Grace0", "Grace1"]
        anew = importer.run(source, "--journal", tmp_path / "another", "--anew")
        assert "added         2 photos" in anew.stdout
        assert importer.names() == ["Grace0", "Grace0", "Grace1", "Grace1"]

    def test_what_was_sent_too_long_ago_is_left_to_the_operator(self, importer: Importer, tmp_path: Path) -> None:
        source, journal = photos(tmp_path / "photos", 1), tmp_path / "journal"
        importer.run(source, "--journal", journal)
        head, sent, _ = journal.read_text().splitlines()
        journal.write_text("\n".join((head, json.dumps(json.loads(sent) | {"sent": 0}), "")))
        done = importer.run(source, "--journal", journal)
        assert done.returncode == 1
        assert "whether it was added is not known" in done.stderr
        assert importer.names() == ["Grace0"]
        assert importer.run(source, "--journal", journal, "--send-uncertain").returncode == 0

    def test_ctrl_c_ends_after_the_photos_on_their_way(self, importer: Importer, tmp_path: Path) -> None:
        source, journal = photos(tmp_path / "photos"), tmp_path / "journal"
        with importer.start(source, "--journal", journal, "--workers", "1") as process:
            wait_for(lambda: lines(journal, "sent") >= 2)
            process.send_signal(signal.SIGINT)
            output, error = process.communicate(timeout=110)
        assert process.returncode == 1
        assert f"The same command goes on with the rest, by the journal {journal}" in error
        assert "not done" in output
        assert "Traceback" not in error
        assert lines(journal, "sent") == lines(journal, "added")
        assert importer.run(source, "--journal", journal).returncode == 0
        assert importer.names() == NAMES


class TestPersonsOfSeveralFaces:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """Photos of Grace Hopper as if they were of four people, three of each."""
        for number in range(12):
            (tmp_path / f"photos/Grace{number // 3}").mkdir(parents=True, exist_ok=True)
            path = tmp_path / f"photos/Grace{number // 3}/{number}.jpg"
            path.write_bytes(reencode(hopper_jpeg(), 60 + number))
        return tmp_path / "photos"

    def persons(self, importer: Importer) -> list[tuple[str, int]]:
        """Return the names of all persons, and how many faces each has."""
        answer = importer.service.http.get("/v1/persons", headers={"X-API-Key": importer.key["own"]}).json()
        return sorted((person["name"], person["faces"]) for person in answer["message"]["persons"])

    ALL: ClassVar = [(f"Grace{number}", 3) for number in range(4)]

    def test_a_photo_that_shows_others_too_is_reported(self, importer: Importer, source: Path, tmp_path: Path) -> None:
        (source / "Grace1/a.png").write_bytes(side_by_side(hopper_jpeg(), astronaut_png()))
        (source / "Grace1/z.png").write_bytes(side_by_side(hopper_jpeg(), astronaut_png()))
        report = tmp_path / "report.csv"
        done = importer.run(source, "--person-per-folder", "--report", report)
        assert done.returncode == 1
        assert "added         12 photos, 12 faces" in done.stdout
        assert "              4 new persons of them" in done.stdout
        assert [(row["file"], row["reason"]) for row in rows_of(report)] == [
            ("Grace1/a.png", "several faces"),
            ("Grace1/z.png", "several faces"),
        ]
        assert self.persons(importer) == self.ALL

    def test_killed_twice_the_same_persons_have_the_same_faces(
        self, importer: Importer, source: Path, tmp_path: Path
    ) -> None:
        journal = tmp_path / "journal"
        for after in (2, 6):
            with importer.start(source, "--person-per-folder", "--journal", journal) as process:
                wait_for(lambda after=after: lines(journal, "sent") >= after or process.poll() is not None)
                process.kill()
        done = importer.run(source, "--person-per-folder", "--journal", journal)
        assert done.returncode == 0, done.stderr
        assert self.persons(importer) == self.ALL
        journal.unlink()
        again = importer.run(source, "--person-per-folder", "--journal", journal)
        assert "added before  12 photos within a day" in again.stdout
        assert self.persons(importer) == self.ALL

    def test_a_csv_file_names_persons_in_a_column(self, importer: Importer, source: Path) -> None:
        dry = importer.run(source, "--person-per-folder", "--dry-run")
        (source / "list.csv").write_text(dry.stdout)
        assert importer.run(source / "list.csv").returncode == 0
        assert self.persons(importer) == self.ALL
        assert "--faces all is not for persons" in complaint(importer.run(source / "list.csv", "--faces", "all"))

    def test_a_csv_file_has_external_ids_by_which_nobody_is_added_twice(
        self, importer: Importer, source: Path, tmp_path: Path
    ) -> None:
        """Also from other files, without a journal, and beyond the time for which the service remembers a request."""

        def table(name: str, numbers: Sequence[int], files: str) -> Path:
            with (source / name).open("w", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(("external_id", "name", "file", "metadata", "team"))
                for number in numbers:
                    path = files.format(number=number, person=number // 3)
                    rows.writerow((f"e-{number // 3}", f"Grace{number // 3}", path, '{"floor": 3}', "blue"))
            return source / name

        first = table("first.csv", range(6), "Grace{person}/{number}.jpg")
        dry = importer.run(first, "--dry-run")
        assert dry.stdout.splitlines()[0] == "file,name,external_id,metadata"
        assert "columns that do not matter: team" in dry.stderr
        done = importer.run(first)
        assert done.returncode == 0, done.stderr
        assert self.persons(importer) == self.ALL[:2]
        answer = importer.service.http.get("/v1/persons", headers={"X-API-Key": importer.key["own"]}).json()
        attached = [(person["external_id"], person["metadata"]) for person in answer["message"]["persons"]]
        assert sorted(attached) == [("e-0", {"floor": 3}), ("e-1", {"floor": 3})]

        (source / "Grace0").rename(source / "G0")
        for number in range(1, 4):
            (source / f"Grace{number}").rename(source / f"G{number}")
        again = importer.run(table("second.csv", range(12), "G{person}/{number}.jpg"))
        assert again.returncode == 0, again.stderr
        assert "present       6 photos of persons whose external_id is there" in again.stdout
        assert self.persons(importer) == self.ALL

        key = tmp_path / "key"
        key.write_text(importer.key["adding"])
        assert "use a key with the scopes add and search" in complaint(
            importer.run(source / "second.csv", "--key-file", key)
        )


class TestLoadAndOutage:
    def test_a_key_with_limits_gets_everything_in(self, service: Service, tmp_path: Path) -> None:
        importer = Importer(service, tmp_path, rate=4, concurrency=1)
        done = importer.run(photos(tmp_path / "photos"))
        assert done.returncode == 0, done.stderr
        assert importer.names() == NAMES

    def test_answers_of_always_200_are_told_apart(self, service: Service, tmp_path: Path) -> None:
        importer = Importer(service, tmp_path, rate=4, http_status="always-200")
        assert importer.run(photos(tmp_path / "photos", 6)).returncode == 0
        assert importer.names() == [f"Grace{number}" for number in range(6)]

    @pytest.mark.slow
    def test_a_service_that_comes_back_is_waited_for(self, tmp_path: Path) -> None:
        port = two_free_ports()
        source, journal = photos(tmp_path / "photos"), tmp_path / "journal"
        settings = UNHURRIED | {"FACESEARCH_API_KEY": uuid.uuid4().hex}

        def service() -> Service:
            return Service(tmp_path / "data", dict(settings), port=port)

        with service() as first:
            importer = Importer(first, tmp_path)
            process = importer.start(source, "--journal", journal, "--workers", "2")
            wait_for(lambda: lines(journal, "added") >= 2 or process.poll() is not None)
            os.kill(first.child("gateway").pid, signal.SIGKILL)
        with service() as second:
            importer.service = second
            _, error = process.communicate(timeout=300)
            assert process.returncode == 0, error
            assert importer.names() == NAMES

    async def test_a_service_that_is_gone_ends_the_import_in_one_line(self, tmp_path: Path) -> None:
        source, target = photos(tmp_path / "photos"), Target(f"http://127.0.0.1:{two_free_ports()}", "")
        options = Options(target.service, SecretStr("a key"), "", patience=Patience(0, 0, 0, 0))
        tally = Tally()
        with (
            pytest.raises(OperatorError, match="no photo was answered"),
            sources.opened(source, None) as found,
            journal.opened(tmp_path / "journal", target) as opened,
        ):
            await run.add_all(options, found, opened, tally, asyncio.Event(), lambda: None, [].append)
        assert (tally.added, tally.left, tally.is_complete) == (0, PHOTOS, False)


class TestRefusals:
    @pytest.fixture
    def refused(self, importer: Importer, tmp_path: Path) -> Callable[..., str]:
        source = photos(tmp_path / "photos", 1)

        def run(*options: object) -> str:
            line = complaint(importer.run(source, *options))
            assert importer.names() == []
            return line

        return run

    def test_where_no_service_answers(self, refused: Callable[..., str]) -> None:
        line = refused("--url", f"http://127.0.0.1:{two_free_ports()}")
        assert "(Connection refused)" in line
        assert "start it with `facesearch up`, or name it with --url" in line

    @pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://127.0.0.1/faces", "*", ""])
    def test_what_is_no_address(self, refused: Callable[..., str], url: str) -> None:
        assert "--url must be http://HOST" in refused("--url", url)

    def test_an_unknown_key(self, refused: Callable[..., str], tmp_path: Path) -> None:
        (tmp_path / "wrong").write_text("an unknown key")
        line = refused("--key-file", tmp_path / "wrong")
        assert "refuses to add photos" in line
        assert line.endswith("name a file with a key of this service with --key-file")
        assert "an unknown key" not in line

    @pytest.mark.parametrize("content", [None, "", "two\nlines", "schlüssel"])
    def test_a_file_without_a_key(self, refused: Callable[..., str], tmp_path: Path, content: str | None) -> None:
        if content is not None:
            (tmp_path / "wrong").write_text(content)
        assert f"no API key in {tmp_path / 'wrong'}" in refused("--key-file", tmp_path / "wrong")

    def test_an_unknown_facedb(self, refused: Callable[..., str]) -> None:
        assert "facedb" in refused("--facedb", "missing")
        assert "--facedb must be" in refused("--facedb", "a b")

    def test_a_report_that_cannot_be_written(self, refused: Callable[..., str], tmp_path: Path) -> None:
        assert "--report" in refused("--report", tmp_path / "missing/report.csv")
