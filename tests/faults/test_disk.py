"""A filled disk takes no more data of any process."""

import errno
from pathlib import Path

import pytest

from faults.disk import MIB, disk, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


def test_a_disk_is_full_until_it_is_freed(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with disk(folder, 4) as small:
        small.fill(2 * MIB)
        assert small.free_bytes == pytest.approx(2 * MIB, abs=65_536)
        with small.filled(), pytest.raises(OSError, match=r"No space") as caught:
            (folder / "more").write_bytes(b"x" * 65_536)
        assert caught.value.errno == errno.ENOSPC
        (folder / "more").write_bytes(b"x" * 65_536)
    assert not list(folder.iterdir()), "nothing is left of it"
