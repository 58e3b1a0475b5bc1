"""Which photos a folder, a CSV file and a ZIP file have, under which names, and what is wrong with the rest."""

import os
import struct
import zipfile
from pathlib import Path
from typing import Literal

import pytest

from facesearch.bulk import sources
from facesearch.bulk.photos import Listing, Unusable
from shared.contract import MAX_IMAGE_BYTES
from shared.errors import OperatorError

JPEG = b"\xff\xd8\xff\xe0 not decoded here"
NAMES_FROM = {"folder": None, "file": "file"}


def write(folder: Path, **files: bytes) -> Path:
    """Write files below a folder, by their paths with `__` for `/`."""
    for name, data in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def listed(source: Path, names_from: str = "folder") -> Listing:
    with sources.opened(source, NAMES_FROM[names_from]) as found:
        return found


def named(found: Listing) -> dict[str, str]:
    return {photo.path: photo.name for photo in found.photos}


def loaded(source: Path) -> dict[str, bytes | str]:
    """Return what each photo is or, if it is unusable, its status."""
    results: dict[str, bytes | str] = {}
    with sources.opened(source, None) as found:
        for photo in found.photos:
            try:
                results[photo.path] = photo.load()
            except Unusable as error:
                results[photo.path] = error.status
    return results


def refused(source: Path, names_from: str = "folder") -> str:
    with pytest.raises(OperatorError) as error:
        listed(source, names_from)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_fails_while_the_photos_are_used_is_no_fault_of_the_source(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), sources.opened(write(tmp_path, **{"Ann__1.jpg": JPEG}), None):
        raise BrokenPipeError


class TestFolder:
    def test_names_are_those_of_the_folders_that_photos_are_in(self, tmp_path: Path) -> None:
        folder = tmp_path / "photos"
        for path in ("Ann/1.jpg", "Ann/2.PNG", "class/Bob/1.jpg"):
            write(folder, **{path.replace("/", "__"): JPEG})
        assert named(listed(folder)) == {"Ann/1.jpg": "Ann", "Ann/2.PNG": "Ann", "class/Bob/1.jpg": "Bob"}

    def test_or_of_the_files(self, tmp_path: Path) -> None:
        for path in ("Ann.jpg", "class/Dr. No.png"):
            write(tmp_path, **{path.replace("/", "__"): JPEG})
        assert named(listed(tmp_path, "file")) == {"Ann.jpg": "Ann", "class/Dr. No.png": "Dr. No"}

    def test_a_photo_in_no_folder_below_has_no_name(self, tmp_path: Path) -> None:
        write(tmp_path, **{"1.jpg": JPEG, "Ann__1.jpg": JPEG})
        found = listed(tmp_path)
        assert named(found) == {"Ann/1.jpg": "Ann"}
        (failure,) = found.failures
        assert (failure.path, failure.status) == ("1.jpg", "INVALID_REQUEST")
        assert "--names file" in failure.reason

    def test_other_files_and_those_of_systems_are_skipped(self, tmp_path: Path) -> None:
        files = {"Ann__1.jpg": JPEG, "Ann__._1.jpg": JPEG, "Ann__.DS_Store": b"x", "Ann__notes.txt": b"x"}
        write(tmp_path, **files, **{".cache__1.jpg": JPEG})
        found = listed(tmp_path)
        assert named(found) == {"Ann/1.jpg": "Ann"}
        assert found.skipped == 4

    def test_a_photo_without_a_suffix_is_one(self, tmp_path: Path) -> None:
        assert named(listed(write(tmp_path, Ann__1=JPEG))) == {"Ann/1": "Ann"}

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        write(tmp_path, **{"Ann__1.jpg": JPEG})
        os.mkfifo(tmp_path / "Ann/2.jpg")
        assert named(listed(tmp_path)) == {"Ann/1.jpg": "Ann"}

    def test_a_folder_name_that_is_no_text_is_shown_with_escapes(self, tmp_path: Path) -> None:
        write(Path(os.fsdecode(os.fsencode(tmp_path / "photos") + b"/\xff")), **{"1.jpg": JPEG})
        assert list(named(listed(tmp_path / "photos"))) == ["\\udcff/1.jpg"]

    def test_what_the_service_would_not_take_is_known_before_it_is_sent(self, tmp_path: Path) -> None:
        largest = JPEG.ljust(MAX_IMAGE_BYTES, b"\0")
        files = {"A__1.jpg": largest, "A__2.jpg": largest + b"\0", "A__3.heic": b"\0\0\0\x18ftypheic", "A__4.jpg": b""}
        results = loaded(write(tmp_path, **files))
        assert results.pop("A/1.jpg") == largest
        assert results == {
            "A/2.jpg": "IMAGE_INVALID_SIZE",
            "A/3.heic": "IMAGE_INVALID_FORMAT",
            "A/4.jpg": "IMAGE_INVALID_FORMAT",
        }

    def test_a_file_that_goes_away_is_unreadable(self, tmp_path: Path) -> None:
        write(tmp_path, **{"Ann__1.jpg": JPEG})
        with sources.opened(tmp_path, None) as found:
            (tmp_path / "Ann/1.jpg").unlink()
            with pytest.raises(Unusable, match="No such file"):
                found.photos[0].load()

    def test_each_folder_is_a_person_if_that_is_asked_for(self, tmp_path: Path) -> None:
        for path in ("a__Ann__1.jpg", "a__Ann__2.jpg", "b__Ann__1.jpg"):
            write(tmp_path, **{path: JPEG})
        with sources.opened(tmp_path, None, person_per_folder=True) as found:
            persons = [(photo.path, photo.name, photo.person) for photo in found.photos]
        assert persons == [
            ("a/Ann/1.jpg", "Ann", "a/Ann"),
            ("a/Ann/2.jpg", "Ann", "a/Ann"),
            ("b/Ann/1.jpg", "Ann", "b/Ann"),
        ]
        assert {photo.person for photo in listed(tmp_path).photos} == {None}

    @pytest.mark.parametrize(("name", "names_from"), [("photos", "file"), ("people.csv", None)])
    def test_where_folders_name_nobody_they_are_no_persons(
        self, tmp_path: Path, name: str, names_from: Literal["file"] | None
    ) -> None:
        write(tmp_path, **{"photos__Ann.jpg": JPEG, "people.csv": b"file,name\n"})
        with (
            pytest.raises(OperatorError, match="--person-per-folder"),
            sources.opened(tmp_path / name, names_from, person_per_folder=True),
        ):
            pass

    def test_an_empty_one_is_an_error(self, tmp_path: Path) -> None:
        assert "has no photos" in refused(tmp_path)


class TestTable:
    def table(self, folder: Path, text: str | bytes) -> Path:
        write(folder, **{"photos__1.jpg": JPEG, "2.jpg": JPEG})
        path = folder / "people.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def test_files_are_relative_to_it_and_names_in_a_column(self, tmp_path: Path) -> None:
        text = '\ufeffname,age,file\r\n山田,7,photos/1.jpg\r\n"Lee, Ann",8,2.jpg\r\n,9,2.jpg\r\n'
        found = listed(self.table(tmp_path, text))
        assert [(photo.path, photo.name) for photo in found.photos] == [
            ("photos/1.jpg", "山田"),
            ("2.jpg", "Lee, Ann"),
            ("2.jpg", ""),
        ]
        assert found.photos[0].load() == JPEG

    def test_a_row_that_is_there_twice_counts_once(self, tmp_path: Path) -> None:
        assert len(listed(self.table(tmp_path, "file,name\n2.jpg,A\n2.jpg,A\n2.jpg,B\n")).photos) == 2

    def test_rows_of_one_person_are_told_by_a_column(self, tmp_path: Path) -> None:
        text = "file,name,person\n2.jpg,A,7\nphotos/1.jpg,A,7\nphotos/1.jpg,A,8\n2.jpg,A,\n2.jpg,B,7\n"
        found = listed(self.table(tmp_path, text))
        assert [(photo.path, photo.name, photo.person) for photo in found.photos] == [
            ("2.jpg", "A", "7"),
            ("photos/1.jpg", "A", "7"),
            ("photos/1.jpg", "A", "8"),
            ("2.jpg", "A", None),
        ]
        assert [(each.name, each.reason) for each in found.failures] == [
            ("B", "another name than its person has: line 6, column name")
        ]

    def test_wrong_rows_are_named_by_their_lines(self, tmp_path: Path) -> None:
        found = listed(self.table(tmp_path, "file,name\n2.jpg,A\nmissing.jpg,B\n,C\n2.jpg\nphotos,D\na\0b,E\n"))
        assert len(found.photos) == 1
        assert [(each.name, each.reason) for each in found.failures] == [
            ("B", "no such file: line 3, column file"),
            ("C", "no file: line 4, column file"),
            ("", "no name: line 5, column name"),
            ("D", "no such file: line 6, column file"),
            ("E", "no such file: line 7, column file"),
        ]

    def test_attributes_of_persons_are_in_columns(self, tmp_path: Path) -> None:
        text = (
            "name,external_id,file,metadata,age\n"
            'A,e-1,2.jpg,"{""floor"": 3, ""desk"": ""A""}",7\n'
            "B,,2.jpg,,\n"
            'A,e-1,photos/1.jpg,"{""floor"": 3,""desk"":""A""}",8\n'
        )
        found = listed(self.table(tmp_path, text))
        assert found.failures == ()
        assert found.unused == ("age",)
        metadata = '{"floor":3,"desk":"A"}'
        assert [(photo.person, photo.external_id, photo.metadata) for photo in found.photos] == [
            ("e-1", "e-1", metadata),
            (None, None, None),
            ("e-1", "e-1", metadata),
        ]

    def test_wrong_attributes_are_named_by_row_and_column(self, tmp_path: Path) -> None:
        text = (
            "file,name,person,external_id,metadata\n"
            "2.jpg,A,1,e-1,{}\n"
            "2.jpg,B,,e 2,\n"
            "2.jpg,C,,,[1]\n"
            '2.jpg,D,,,"{""a"": 1, ""a"": 2}"\n'
            "photos/1.jpg,A,1,e-2,{}\n"
            "photos/1.jpg,A,1,e-1,\n"
            "2.jpg,E,2,e-1,\n"
            "2.jpg,F,,e-1,{}\n"
            "2.jpg,Lee, Ann,,,,x\n"
        )
        found = listed(self.table(tmp_path, text))
        assert len(found.photos) == 1
        assert [(each.name, each.reason) for each in found.failures] == [
            ("B", "external_id is not 1 to 128 visible ASCII characters: line 3, column external_id"),
            ("C", "metadata is no JSON object as addface takes it: line 4, column metadata"),
            ("D", "metadata is no JSON object as addface takes it: line 5, column metadata"),
            ("A", "another external_id than its person has: line 6, column external_id"),
            ("A", "another metadata than its person has: line 7, column metadata"),
            ("E", "another person has this external_id: line 8, column external_id"),
            ("F", "another person has this external_id: line 9, column external_id"),
            ("Lee", "more cells than columns; put text with a comma in quotes: line 10"),
        ]

    def test_a_column_that_is_there_twice_is_refused(self, tmp_path: Path) -> None:
        assert "has the column `name` twice" in refused(self.table(tmp_path, "file,name,name\n2.jpg,A,B\n"))

    @pytest.mark.parametrize("head", ["", "photo,name\n", "file;name\n2.jpg;A\n"])
    def test_without_its_columns_it_is_refused(self, tmp_path: Path, head: str) -> None:
        assert "its first line must be `file,name`" in refused(self.table(tmp_path, head))

    def test_another_charset_is_refused(self, tmp_path: Path) -> None:
        assert "is not in UTF-8" in refused(self.table(tmp_path, "file,name\n2.jpg,Zoë\n".encode("latin-1")))

    def test_what_is_no_csv_is_refused(self, tmp_path: Path) -> None:
        assert "is no CSV file, line 2" in refused(self.table(tmp_path, 'file,name\n2.jpg,"A" B\n'))

    def test_names_have_one_place(self, tmp_path: Path) -> None:
        assert "--names is for folders and ZIP files" in refused(self.table(tmp_path, "file,name\n2.jpg,A\n"), "file")


class TestArchive:
    def archive(self, folder: Path, how: int = zipfile.ZIP_DEFLATED, **files: bytes) -> Path:
        path = folder / "photos.ZIP"
        with zipfile.ZipFile(path, "w", how) as file:
            for name, data in files.items():
                file.writestr(name.replace("__", "/"), data)
        return path

    def test_names_are_those_of_the_folders_in_it(self, tmp_path: Path) -> None:
        files = {"all__Ann__1.jpg": JPEG, "all__Zoë__1.jpg": JPEG, "all__notes.txt": b"x"}
        path = self.archive(tmp_path, **files, **{"__MACOSX__all__Ann__._1.jpg".replace("__M", "__M"): JPEG})
        assert named(listed(path)) == {"all/Ann/1.jpg": "Ann", "all/Zoë/1.jpg": "Zoë"}

    def test_a_path_that_leads_outside_is_only_a_name(self, tmp_path: Path) -> None:
        path = self.archive(tmp_path, **{"..__..__evil.jpg": JPEG, "__etc__evil.jpg": JPEG})
        before = sorted(tmp_path.rglob("*"))
        assert set(loaded(path).values()) == {JPEG}
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_bomb_is_not_decompressed(self, tmp_path: Path) -> None:
        path = self.archive(tmp_path, **{"A__1.jpg": JPEG.ljust(64 * MAX_IMAGE_BYTES, b"\0")})
        assert loaded(path) == {"A/1.jpg": "IMAGE_INVALID_SIZE"}

    def test_a_bomb_that_claims_to_be_small_is_cut(self, tmp_path: Path) -> None:
        path = self.archive(tmp_path, **{"A__1.jpg": JPEG.ljust(64 * MAX_IMAGE_BYTES, b"\0")})
        data = bytearray(path.read_bytes())
        struct.pack_into("<I", data, data.rindex(b"PK\1\2") + 24, 100)  # the uncompressed size in the directory
        path.write_bytes(data)
        assert loaded(path) == {"A/1.jpg": "UNREADABLE"}

    def test_damaged_and_encrypted_members_are_unreadable(self, tmp_path: Path) -> None:
        path = self.archive(tmp_path, zipfile.ZIP_STORED, **{"A__1.jpg": JPEG, "A__2.jpg": JPEG})
        data = bytearray(path.read_bytes())
        data[data.index(b"decoded")] ^= 1
        struct.pack_into("<H", data, data.rindex(b"PK\1\2") + 8, 1)  # the flags of the last one
        path.write_bytes(data)
        assert loaded(path) == {"A/1.jpg": "UNREADABLE", "A/2.jpg": "UNREADABLE"}

    def test_ways_of_compression_that_may_take_any_memory_are_not_read(self, tmp_path: Path) -> None:
        path = self.archive(tmp_path, zipfile.ZIP_LZMA, **{"A__1.jpg": JPEG})
        assert loaded(path) == {"A/1.jpg": "UNREADABLE"}

    def test_what_is_no_zip_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "photos.zip"
        path.write_bytes(b"PK\3\4 and no more")
        assert "is no ZIP file, or a damaged one" in refused(path)


def test_anything_else_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "missing")
    (tmp_path / "photo.jpg").write_bytes(JPEG)
    assert "neither a folder nor a .csv or .zip file" in refused(tmp_path / "photo.jpg")
