"""Decoded images share bounded memory: first come, first served; one alone always gets it; nobody waits for ever."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processes import wait_for
from worker.vision.memory_budget import FREE_BYTES, MemoryBudget

CAPACITY = 10 * FREE_BYTES


class Holding:
    """A thread that asks for memory, and gives it back when it is told to."""

    def __init__(self, memory: MemoryBudget, size: int) -> None:
        self.is_in, self._leave = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(memory, size))
        self._thread.start()
        wait_for(lambda: self._thread.native_id is not None)
        self.number = self._thread.native_id or 0

    def _run(self, memory: MemoryBudget, size: int) -> None:
        with memory.reserve(size):
            self.is_in.set()
            assert self._leave.wait(30)

    def leave(self) -> None:
        self._leave.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


@contextmanager
def holding(memory: MemoryBudget, size: int) -> Iterator[Holding]:
    held = Holding(memory, size)
    try:
        yield held
    finally:
        held.leave()


def waits(memory: MemoryBudget, held: Holding) -> bool:
    return memory.waited_s(held.number) > 0 and not held.is_in.is_set()


def test_what_fits_together_is_let_in_and_the_next_waits_until_there_is_room() -> None:
    memory = MemoryBudget(CAPACITY)
    with holding(memory, 6 * FREE_BYTES) as first, holding(memory, 4 * FREE_BYTES) as second:
        assert first.is_in.wait(30)
        assert second.is_in.wait(30)
        with holding(memory, FREE_BYTES) as third:
            wait_for(lambda: waits(memory, third))
            second.leave()
            assert third.is_in.wait(30)


def test_an_image_that_is_larger_than_all_of_it_is_let_in_alone() -> None:
    memory = MemoryBudget(CAPACITY)
    with holding(memory, FREE_BYTES) as small:
        assert small.is_in.wait(30)
        with holding(memory, 100 * FREE_BYTES) as huge:
            wait_for(lambda: waits(memory, huge))
            small.leave()
            assert huge.is_in.wait(30)


def test_a_large_one_is_not_overtaken_and_small_ones_wait_for_nobody() -> None:
    memory = MemoryBudget(CAPACITY)
    with holding(memory, 5 * FREE_BYTES) as first:
        assert first.is_in.wait(30)
        with holding(memory, 9 * FREE_BYTES) as large:
            wait_for(lambda: waits(memory, large))
            with holding(memory, FREE_BYTES) as later, holding(memory, FREE_BYTES - 1) as small:
                assert small.is_in.wait(30)
                wait_for(lambda: waits(memory, later))
                first.leave()
                assert large.is_in.wait(30)
                assert later.is_in.wait(30)


def test_how_long_a_thread_has_waited_is_known_while_it_does_and_stays() -> None:
    memory = MemoryBudget(CAPACITY)
    with holding(memory, CAPACITY) as first:
        assert first.is_in.wait(30)
        assert memory.waited_s(first.number) < 30
        with holding(memory, CAPACITY) as second:
            wait_for(lambda: memory.waited_s(second.number) > 0.2)
            first.leave()
            assert second.is_in.wait(30)
            waited = memory.waited_s(second.number)
            assert waited > 0.2
            assert memory.waited_s(second.number) == waited


def test_what_fails_gives_its_room_back() -> None:
    memory = MemoryBudget(CAPACITY)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), memory.reserve(CAPACITY):
            raise ZeroDivisionError


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 15 * FREE_BYTES), max_size=40))
def test_it_is_never_exceeded_and_everybody_gets_in(sizes: list[int]) -> None:
    memory, lock = MemoryBudget(CAPACITY), threading.Lock()
    taken = most = done = 0

    def work(size: int) -> None:
        nonlocal taken, most, done
        share = min(size, CAPACITY) if size >= FREE_BYTES else 0
        with memory.reserve(size):
            with lock:
                taken += share
                most = max(most, taken)
            with lock:
                taken -= share
                done += 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, sizes))
    assert most <= CAPACITY
    assert done == len(sizes)
