"""Whatever is done to a call log, its check finds it; what a kill or the age of files leaves is no problem."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from call_logs import GATEWAYS, Writer, write_two
from facesearch.call_log.verification import Report, verify
from gateway.call_log.retention import expired
from shared.call_log.chain import Seal, parse
from shared.call_log.heads import Head

KEYED = Seal(b"a key that is kept elsewhere")
DAYS = 180


@pytest.fixture(scope="module", params=["with a key", "without a key"])
def written(request: pytest.FixtureRequest) -> Iterator[tuple[dict[str, bytes], Seal, list[Head]]]:
    """The files of a call log by name, its seal and its heads."""
    seal = KEYED if request.param == "with a key" else Seal()
    with TemporaryDirectory() as folder:
        heads = write_two(Path(folder), seal)
        yield {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}, seal, heads


Written = tuple[dict[str, bytes], Seal, list[Head]]


def check(files: dict[str, bytes], seal: Seal, heads: list[Head] | None) -> Report:
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return verify([Path(folder)], seal, heads, DAYS)


def lines_of(files: dict[str, bytes]) -> list[tuple[str, int]]:
    """Return each line of a log by its file and its number from 0."""
    return [(name, number) for name, content in files.items() for number in range(content.count(b"\n"))]


def with_lines(files: dict[str, bytes], changed: dict[tuple[str, int], bytes]) -> dict[str, bytes]:
    """Return the files with other lines, line breaks included, in place of some; none for an empty one."""
    return {
        name: b"".join(
            changed.get((name, number), line) for number, line in enumerate(content.splitlines(keepends=True))
        )
        for name, content in files.items()
    }


def line(files: dict[str, bytes], place: tuple[str, int]) -> bytes:
    return files[place[0]].splitlines(keepends=True)[place[1]]


class TestWhatIsDoneToALog:
    def test_nothing_is_wrong_with_one_that_nobody_touched(self, written: Written) -> None:
        files, seal, heads = written
        assert len(files) == 4
        report = check(files, seal, heads)
        assert (report.problems, report.remarks) == ([], [])
        assert (report.chains, report.entries) == (2, 24 + 4 + 2)

    @settings(max_examples=40)
    @given(st.data())
    def test_a_changed_byte_is_found(self, written: Written, data: st.DataObject) -> None:
        files, seal, heads = written
        name = data.draw(st.sampled_from(sorted(files)))
        position = data.draw(st.integers(0, len(files[name]) - 1))
        other = data.draw(st.integers(0, 255).filter(lambda byte: byte != files[name][position]))
        changed = files[name][:position] + bytes([other]) + files[name][position + 1 :]
        assert check(files | {name: changed}, seal, heads).problems

    @settings(max_examples=40)
    @given(st.data())
    def test_removed_lines_are_found(self, written: Written, data: st.DataObject) -> None:
        files, seal, heads = written
        gone = data.draw(st.sets(st.sampled_from(lines_of(files)), min_size=1))
        assert check(with_lines(files, dict.fromkeys(gone, b"")), seal, heads).problems

    @settings(max_examples=40)
    @given(st.data())
    def test_swapped_lines_are_found(self, written: Written, data: st.DataObject) -> None:
        files, seal, heads = written
        one, two = data.draw(st.lists(st.sampled_from(lines_of(files)), min_size=2, max_size=2, unique=True))
        swapped = {one: line(files, two), two: line(files, one)}
        assert check(with_lines(files, swapped), seal, heads).problems

    @settings(max_examples=40)
    @given(st.data())
    def test_a_repeated_line_is_found(self, written: Written, data: st.DataObject) -> None:
        files, seal, heads = written
        source, place = (data.draw(st.sampled_from(lines_of(files))) for _ in range(2))
        inserted = {place: line(files, place) + line(files, source)}
        assert check(with_lines(files, inserted), seal, heads).problems

    @settings(max_examples=40)
    @given(st.data())
    def test_a_file_that_was_cut_off_is_found(self, written: Written, data: st.DataObject) -> None:
        files, seal, heads = written
        name = data.draw(st.sampled_from(sorted(files)))
        length = data.draw(st.integers(0, len(files[name]) - 1))
        assert check(files | {name: files[name][:length]}, seal, heads).problems

    @settings(max_examples=40)
    @given(st.data())
    def test_removed_files_are_found(self, written: Written, data: st.DataObject) -> None:
        files, seal, heads = written
        gone = data.draw(st.sets(st.sampled_from(sorted(files)), min_size=1))
        left = {name: content for name, content in files.items() if name not in gone}
        assert check(left, seal, heads).problems

    @settings(max_examples=40)
    @given(st.data())
    def test_files_under_other_names_are_found(self, written: Written, data: st.DataObject) -> None:
        files, seal, heads = written
        names = data.draw(st.permutations(sorted(files)))
        assume(names != sorted(files))
        assert check(dict(zip(names, files.values(), strict=True)), seal, heads).problems

    def test_a_chain_that_is_added_is_found(self, written: Written, tmp_path: Path) -> None:
        files, seal, heads = written
        stranger = Writer(tmp_path, "00000000000c")
        stranger.call(call="searchface", key="k1")
        stranger.end()
        (added,) = tmp_path.iterdir()
        old = added.read_bytes().replace(b'"at":"20', b'"at":"19')
        assert check(files | {added.name: old}, seal, heads).problems


class TestAChainThatIsMadeAnew:
    """By somebody who can write the files, and who knows the format."""

    def test_the_head_shows_it_where_hashes_are_without_a_key(self, tmp_path: Path) -> None:
        for name in ("true", "forged"):
            (tmp_path / name).mkdir()
        heads = write_two(tmp_path / "true", Seal())
        write_two(tmp_path / "forged", Seal(), "k2")
        report = verify([tmp_path / "forged"], Seal(), heads, DAYS)
        assert len(report.problems) == 2
        assert all("is not the one that its head names: the chain was made anew" in each for each in report.problems)
        assert not verify([tmp_path / "forged"], Seal(), None, DAYS).problems, "nobody can tell without heads"

    @pytest.mark.parametrize("seal", [Seal(), Seal(b"another key than the gateway's")], ids=["no key", "another key"])
    def test_it_cannot_be_without_the_key(self, tmp_path: Path, seal: Seal) -> None:
        write_two(tmp_path, seal)
        problems = verify([tmp_path], KEYED, None, DAYS).problems
        assert any("is FACESEARCH_CALL_LOG_KEY the gateway's?" in each for each in problems)
        for path in tmp_path.iterdir():
            path.write_bytes(path.read_bytes().replace(seal.name.encode(), KEYED.name.encode()))
        assert any("the hash is wrong" in each for each in verify([tmp_path], KEYED, None, DAYS).problems)

    def test_chains_of_former_keys_are_checked_by_these(self, tmp_path: Path) -> None:
        old, new = (Writer(tmp_path, gateway, seal) for gateway, seal in zip(GATEWAYS, (Seal(), KEYED), strict=True))
        old.turn()
        heads = [old.end(), new.end()]
        assert verify([tmp_path], KEYED, heads, DAYS).problems
        assert verify([tmp_path], KEYED, heads, DAYS, [Seal(b"an older one"), Seal()]).problems == []

    def test_a_seal_does_not_show_its_key(self) -> None:
        assert "kept elsewhere" not in repr(KEYED) + KEYED.name


class TestWhatAKillLeaves:
    @settings(max_examples=40)
    @given(cut=st.integers(1, 100))
    def test_an_incomplete_last_line_after_the_head_is_a_remark(self, cut: int) -> None:
        with TemporaryDirectory() as folder:
            writer = Writer(Path(folder), GATEWAYS[0])
            writer.call(call="searchface")
            head = writer.head()
            writer.call(call="delface", key="k" * 100)
            writer.end(orderly=False)
            (path,) = Path(folder).iterdir()
            path.write_bytes(path.read_bytes()[:-cut])
            report = verify([Path(folder)], Seal(), [head], DAYS)
            assert report.problems == []
            assert [each.partition(": ")[2] for each in report.remarks] == [
                "is incomplete, as where a gateway was killed while it wrote"
            ]
            assert report.entries == 2

    def test_entries_after_the_head_are_none(self, tmp_path: Path) -> None:
        writer = Writer(tmp_path, GATEWAYS[0])
        head = writer.head()
        writer.call(call="searchface")
        writer.end(orderly=False)
        assert verify([tmp_path], Seal(), [head], DAYS) == Report(chains=1, entries=2)

    def test_a_chain_that_has_just_begun_may_have_no_head_yet(self, tmp_path: Path) -> None:
        Writer(tmp_path, GATEWAYS[0]).end(orderly=False)
        report = verify([tmp_path], Seal(), [], DAYS)
        assert report.problems == []
        assert report.remarks == [f"chain 20261101T000000Z-{GATEWAYS[0]}: has no head yet"]


class TestFilesThatWereRemovedForTheirAge:
    def aged(self, folder: Path, gone: int, *, recorded: int) -> list[Head]:
        """Write a chain of four files, remove the first `gone` and record the first `recorded` as removed in another
        chain. Returns the heads.
        """
        old, present = (Writer(folder, gateway) for gateway in GATEWAYS)
        for number in range(3):
            old.call(number=number)
            old.turn()
        head = old.end()
        found = [
            each for each in expired(folder, datetime.now(UTC) + timedelta(days=1)) if each.file.chain == head.chain
        ]
        assert [each.file.number for each in found] == [1, 2, 3, 4]
        for each in found[:recorded]:
            present.files.append("removed", each.fields())
        for each in found[:gone]:
            each.path.unlink()
        return [head, present.end()]

    @pytest.mark.parametrize("gone", range(5))
    def test_are_missed_by_nobody(self, tmp_path: Path, gone: int) -> None:
        heads = self.aged(tmp_path, gone, recorded=gone)
        assert verify([tmp_path], Seal(), heads, DAYS).problems == []

    def test_may_still_be_there_where_the_gateway_was_killed_before(self, tmp_path: Path) -> None:
        assert verify([tmp_path], Seal(), self.aged(tmp_path, 1, recorded=3), DAYS).problems == []

    @pytest.mark.parametrize("gone", range(1, 5))
    def test_are_problems_where_no_entry_says_so(self, tmp_path: Path, gone: int) -> None:
        (problem,) = verify([tmp_path], Seal(), self.aged(tmp_path, gone, recorded=gone - 1), DAYS).problems
        assert "missing" in problem

    def test_a_head_that_is_older_than_the_log_is_kept_says_nothing(self, tmp_path: Path) -> None:
        before = datetime.now(UTC) - timedelta(days=DAYS + 1)
        gone = Head(chain="20250101T000000Z-00000000000a", number=5, hash="0" * 64, at=before, host="desk")
        report = verify([tmp_path], Seal(), [gone], DAYS)
        assert (report.problems, len(report.remarks)) == ([], 1)

    def test_only_whole_beginnings_of_chains_are_old(self, tmp_path: Path) -> None:
        """What is younger stays, and all that follows it."""
        writer = Writer(tmp_path, GATEWAYS[0])
        writer.turn()
        writer.end()
        first = min(tmp_path.iterdir())
        border = parse(first.read_bytes().splitlines()[-1]).at
        assert expired(tmp_path, border) == []
        first.write_bytes(b"")  # of a process that was killed at its beginning, and as old as its file is
        assert expired(tmp_path, border) == []
        assert [each.fields().get("last") for each in expired(tmp_path, datetime.now(UTC) + timedelta(days=1))] == [
            None,
            3,
        ]
