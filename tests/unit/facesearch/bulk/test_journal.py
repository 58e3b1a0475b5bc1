"""A journal can be cut anywhere, as by a kill or a full disk, and says then what it said at that point."""

import errno
import os
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facesearch.bulk import journal
from facesearch.bulk.journal import Journal, State, Target, idempotency_key, photo_id
from facesearch.bulk.photos import Photo
from shared.contract import MAX_IMAGE_BYTES, Faces
from shared.errors import OperatorError

TARGET = Target("http://127.0.0.1:8000", "staff")

Step = tuple[str, str]
STEPS = st.lists(st.tuples(st.sampled_from(["sent", "added", "refused"]), st.sampled_from("abc")), max_size=12)


def load(most: int = MAX_IMAGE_BYTES) -> bytes:
    raise NotImplementedError(f"a journal reads no photo, of {most} bytes or fewer")


def do(opened: Journal, step: Step) -> None:
    what, photo = step
    if what == "sent":
        opened.sent(photo, Photo(f"{photo}/\udcff\n.jpg", "Zoë", load), Faces.ONE, None)
    elif what == "added":
        opened.added(photo, ["4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"])
    else:
        opened.refused(photo, "FACE_DETECT_FAILED", "several faces")


def known(state: State) -> tuple[set[str], set[str]]:
    return set(state.added), set(state.unresolved)


@given(STEPS, st.data())
def test_every_prefix_is_a_journal_that_goes_on(steps: list[Step], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "j")
        after, ends = [], []
        with journal.opened(path, TARGET) as opened:
            for step in [None, *steps]:
                if step is not None:
                    do(opened, step)
                after.append(known(opened.state))
                ends.append(path.stat().st_size)
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        complete = sum(end <= cut for end in ends)
        expected = after[complete - 1] if complete else (set(), set())
        assert known(journal.read(path, TARGET)) == expected
        with journal.opened(path, TARGET) as opened:
            assert known(opened.state) == expected
            for step in steps[max(complete - 1, 0) :]:
                do(opened, step)
        assert known(journal.read(path, TARGET)) == after[-1]


def test_what_was_added_is_not_unresolved_and_what_was_sent_keeps_its_first_time(tmp_path: Path) -> None:
    with journal.opened(tmp_path / "j", TARGET) as opened:
        opened.sent("a", Photo("a.jpg", "Ann", load), Faces.ONE, None)
        first = opened.state.unresolved["a"]
        opened.sent("a", Photo("a.jpg", "Ann", load), Faces.ALL, None)
        assert opened.state.unresolved["a"] == first
        opened.added("a", [])
        assert known(opened.state) == ({"a"}, set())


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    with journal.opened(tmp_path / "j", TARGET):
        assert stat.S_IMODE((tmp_path / "j").stat().st_mode) == 0o600


def test_a_missing_one_says_nothing(tmp_path: Path) -> None:
    assert journal.read(tmp_path / "missing", TARGET) == State()


def refused(path: Path, target: Target = TARGET, salt: str | None = None) -> str:
    with pytest.raises(OperatorError) as error, journal.opened(path, target, salt):
        pass
    return str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0", b"a photo\nin lines\n", b'{"journal": "another"}\n', b"[]\n"])
def test_a_file_that_is_none_is_not_touched(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j").write_bytes(content)
    assert "is no journal of an import" in refused(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == content


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"id": "a"}', '{"id": "a", "sent": "now", "file": "", "name": ""}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    with journal.opened(tmp_path / "j", TARGET):
        pass
    with (tmp_path / "j").open("a") as file:
        file.write(f"{line}\n")
    assert "is damaged in line 2" in refused(tmp_path / "j")


def test_that_of_another_target_is_refused(tmp_path: Path) -> None:
    with journal.opened(tmp_path / "j", TARGET):
        pass
    for target in (Target("http://127.0.0.1:8001", "staff"), Target(TARGET.service, "")):
        assert "into facedb staff at http://127.0.0.1:8000" in refused(tmp_path / "j", target)


def test_that_of_another_release_is_refused(tmp_path: Path) -> None:
    with journal.opened(tmp_path / "j", TARGET):
        pass
    (tmp_path / "j").write_text((tmp_path / "j").read_text().replace('"version": 1', '"version": 2'))
    assert "of another release" in refused(tmp_path / "j")


def test_two_imports_do_not_share_it(tmp_path: Path) -> None:
    with journal.opened(tmp_path / "j", TARGET):
        assert "another import writes the journal" in refused(tmp_path / "j")


def test_one_that_cannot_be_written_names_the_option(tmp_path: Path) -> None:
    assert "--journal" in refused(tmp_path / "missing/j")


def test_a_salt_is_for_a_new_one_and_stays(tmp_path: Path) -> None:
    with journal.opened(tmp_path / "j", TARGET, "salt"):
        pass
    assert journal.read(tmp_path / "j", TARGET).salt == "salt"
    assert "without --anew" in refused(tmp_path / "j", salt="another")
    with journal.opened(tmp_path / "j", TARGET) as opened:
        assert opened.state.salt == "salt"


def test_a_device_is_none(tmp_path: Path) -> None:
    (tmp_path / "j").symlink_to(os.devnull)
    assert "is no journal of an import" in refused(tmp_path / "j")
    with pytest.raises(OperatorError, match="is no journal of an import"):
        journal.read(tmp_path / "j", TARGET)


def test_a_full_disk_is_an_error_for_the_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    assert "No space left on device" in refused(tmp_path / "j")


class TestPersonsOfSeveralFaces:
    PERSONS = Target(TARGET.service, TARGET.facedb, persons=True)

    def photo(self, number: int) -> Photo:
        return Photo(f"Ann/{number}.jpg", "Ann", load, "Ann")

    def test_the_person_of_the_first_photo_is_known_after_an_interruption(self, tmp_path: Path) -> None:
        with journal.opened(tmp_path / "j", self.PERSONS) as opened:
            opened.sent("a", self.photo(1), Faces.ONE, None)
            opened.added("a", ["an id"])
            opened.sent("b", self.photo(2), Faces.ONE, "an id")
        found = journal.read(tmp_path / "j", self.PERSONS)
        assert (found.persons, found.faces) == ({"Ann": "an id"}, {"Ann": 1})
        assert (found.unresolved["b"].person, found.unresolved["b"].to) == ("Ann", "an id")

    def test_a_refused_photo_makes_no_person(self, tmp_path: Path) -> None:
        with journal.opened(tmp_path / "j", self.PERSONS) as opened:
            opened.sent("a", self.photo(1), Faces.ONE, None)
            opened.refused("a", "FACE_DETECT_FAILED", "no face")
            assert (opened.state.persons, opened.state.faces) == ({}, {})

    def test_persons_of_one_face_and_of_several_have_journals_of_their_own(self, tmp_path: Path) -> None:
        for first, second in ((TARGET, self.PERSONS), (self.PERSONS, TARGET)):
            path = tmp_path / str(first.persons)
            with journal.opened(path, first):
                pass
            with pytest.raises(OperatorError, match="name another one with --journal"), journal.opened(path, second):
                pass

    def test_a_photo_of_another_person_is_another_photo(self) -> None:
        assert len({photo_id("", "Ann", "1.jpg", b"", person) for person in (None, "Ann", "Bob")}) == 3
        assert len({idempotency_key("", "photo", Faces.ONE, to) for to in (None, "an id", "another")}) == 3


@given(st.lists(st.tuples(st.text(), st.text(), st.text(), st.binary()), min_size=2, max_size=2, unique=True))
def test_ids_tell_photos_apart_and_keys_ways_of_adding_them(photos: list[tuple[str, str, str, bytes]]) -> None:
    ids = [photo_id(*photo) for photo in photos]
    assert len({*ids, photo_id(*photos[0])}) == 2
    keys = {idempotency_key(salt, photo, faces) for salt in ("", "s") for photo in ids for faces in Faces}
    assert len(keys) == 12
    assert all(len(key) <= 255 and key.isascii() and key.isprintable() for key in keys)


def test_ids_are_the_same_on_every_machine_and_in_every_release() -> None:
    assert photo_id("staff", "Ann", "Ann/1.jpg", b"image") == "32496565b4b8df72346b3ae168273bf1"
    assert (
        idempotency_key("", "0" * 32, Faces.ONE)
        == "import-117566f0f5310eb2fe591f142a9ad62cc4cf0eb6ef4a2f36b0bbad57133ab7c1"
    )
