"""The number of cores of a container, from the files of control groups."""

import os
from pathlib import Path

import pytest

from shared.host.cores import cores

ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", ALL),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("150000 100000", min(ALL, 2)),
        ("9900000 100000", ALL),
    ],
)
def test_the_quota_of_version_2(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert cores(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", ALL), ("50000", 1), ("150000", min(ALL, 2))])
def test_the_quota_of_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores(tmp_path) == expected


def test_without_a_readable_quota_all_cores_count(tmp_path: Path) -> None:
    assert cores(tmp_path) == ALL
    (tmp_path / "cpu.max").write_text("nonsense\n")
    assert cores(tmp_path) == ALL
