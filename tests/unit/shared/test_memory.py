"""How much memory a service may use, from the files of the kernel."""

import os
from pathlib import Path

import pytest

from shared.host.memory import memory_bytes

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MB = 1_000_000


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    (tmp_path / "cgroup").mkdir()
    return tmp_path


def limited(kernel: Path, file: str, text: str) -> None:
    path = kernel / "cgroup" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def found(kernel: Path, own: str = "0::/\n") -> int:
    (kernel / "own").write_text(own)
    return memory_bytes(kernel / "cgroup", kernel / "own")


def test_without_a_limit_it_is_the_memory_of_the_machine(kernel: Path) -> None:
    assert memory_bytes(kernel / "cgroup", kernel / "nothing") == MACHINE
    limited(kernel, "memory.max", "max\n")
    limited(kernel, "memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert found(kernel) == MACHINE


@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
def test_the_limit_in_a_container_that_sees_only_its_own_group(kernel: Path, file: str) -> None:
    limited(kernel, file, "512000000\n")
    assert found(kernel) == 512 * MB
    assert found(kernel, "4:memory:/docker/of-the-host\n0::/docker/of-the-host\n") == 512 * MB


def test_the_lowest_limit_of_the_groups_of_a_service_counts(kernel: Path) -> None:
    limited(kernel, "system.slice/faces.service/memory.max", "max\n")
    limited(kernel, "system.slice/memory.max", "700000000\n")
    limited(kernel, "user.slice/memory.max", "1000\n")
    own = "0::/system.slice/faces.service\n"
    assert found(kernel, own) == 700 * MB
    limited(kernel, "system.slice/faces.service/memory.max", "300000000\n")
    assert found(kernel, own) == 300 * MB


def test_groups_of_version_1_are_found_by_their_controller(kernel: Path) -> None:
    limited(kernel, "memory/a/memory.limit_in_bytes", "400000000\n")
    limited(kernel, "memory/b/memory.limit_in_bytes", "1000\n")
    assert found(kernel, "5:cpu,cpuacct:/b\n4:memory:/a\n") == 400 * MB


def test_this_process_has_some_memory() -> None:
    assert 0 < memory_bytes() <= MACHINE
