"""Decoded images share a budget of memory in order of arrival; a single image of any size is admitted alone."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processes import wait_for
from worker.vision.memory_budget import FREE_BYTES, MemoryBudget
from worker.waits import Waits

CAPACITY = 10 * FREE_BYTES


class Reservation:
    """A thread that reserves memory and holds it until `leave`."""

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
def reserving(memory: MemoryBudget, size: int) -> Iterator[Reservation]:
    held = Reservation(memory, size)
    try:
        yield held
    finally:
        held.leave()


def is_waiting(waits: Waits, held: Reservation) -> bool:
    return waits.seconds(held.number) > 0 and not held.is_in.is_set()


def test_images_that_fit_together_are_admitted_and_the_next_waits() -> None:
    memory = MemoryBudget(CAPACITY, waits := Waits())
    with reserving(memory, 6 * FREE_BYTES) as first, reserving(memory, 4 * FREE_BYTES) as second:
        assert first.is_in.wait(30)
        assert second.is_in.wait(30)
        with reserving(memory, FREE_BYTES) as third:
            wait_for(lambda: is_waiting(waits, third))
            second.leave()
            assert third.is_in.wait(30)


def test_an_image_larger_than_the_budget_is_admitted_alone() -> None:
    memory = MemoryBudget(CAPACITY, waits := Waits())
    with reserving(memory, FREE_BYTES) as small:
        assert small.is_in.wait(30)
        with reserving(memory, 100 * FREE_BYTES) as huge:
            wait_for(lambda: is_waiting(waits, huge))
            small.leave()
            assert huge.is_in.wait(30)


def test_a_large_image_is_not_overtaken_and_small_ones_do_not_wait() -> None:
    memory = MemoryBudget(CAPACITY, waits := Waits())
    with reserving(memory, 5 * FREE_BYTES) as first:
        assert first.is_in.wait(30)
        with reserving(memory, 9 * FREE_BYTES) as large:
            wait_for(lambda: is_waiting(waits, large))
            with reserving(memory, FREE_BYTES) as later, reserving(memory, FREE_BYTES - 1) as small:
                assert small.is_in.wait(30)
                wait_for(lambda: is_waiting(waits, later))
                first.leave()
                assert large.is_in.wait(30)
                assert later.is_in.wait(30)


def test_the_waiting_time_of_a_thread_is_known_while_it_waits_and_afterwards() -> None:
    memory = MemoryBudget(CAPACITY, waits := Waits())
    with reserving(memory, CAPACITY) as first:
        assert first.is_in.wait(30)
        assert waits.seconds(first.number) < 30
        with reserving(memory, CAPACITY) as second:
            wait_for(lambda: waits.seconds(second.number) > 0.2)
            first.leave()
            assert second.is_in.wait(30)
            waited = waits.seconds(second.number)
            assert waited > 0.2
            assert waits.seconds(second.number) == waited


def test_memory_is_returned_after_an_error() -> None:
    memory = MemoryBudget(CAPACITY)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), memory.reserve(CAPACITY):
            raise ZeroDivisionError


@settings(max_examples=30)
@given(st.lists(st.integers(0, 15 * FREE_BYTES), max_size=40))
def test_the_budget_is_never_exceeded_and_every_image_is_admitted(sizes: list[int]) -> None:
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
