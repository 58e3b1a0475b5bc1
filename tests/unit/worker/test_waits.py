"""How long threads wait."""

import threading

import pytest

from processes import wait_for
from worker.waits import ProcessorWaits, Waits


def test_a_wait_counts_while_it_lasts_and_afterwards():
    waits, go_on, begun = Waits(), threading.Event(), threading.Event()

    def wait():
        with waits.waiting():
            begun.set()
            go_on.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait()
    wait_for(lambda: waits.seconds(thread.native_id) > 0.01)
    go_on.set()
    thread.join()
    waited = waits.seconds(thread.native_id)
    assert waited > 0.01
    assert waits.seconds(thread.native_id) == waited


def test_what_another_process_waits_counts_for_the_thread_that_it_works_for():
    waits, waited, me = Waits(), 0.0, threading.get_native_id()
    with waits.waiting():
        pass
    own = waits.seconds(me)
    with waits.elsewhere(lambda: waited):
        assert waits.seconds(me) == own
        waited = 3.0
        assert waits.seconds(me) == own + 3
        waited = 4.0
    waited = 100.0
    assert waits.seconds(me) == own + 4
    assert waits.seconds(me + 1) == 0


def test_a_wait_that_ends_by_an_error_counts():
    waits = Waits()
    with pytest.raises(ZeroDivisionError), waits.elsewhere(lambda: 2.0):
        raise ZeroDivisionError
    assert waits.seconds(threading.get_native_id()) == 2


def test_the_waiting_for_a_processor_is_read_until_it_is_closed():
    waits = ProcessorWaits("self")
    first = waits.seconds()
    assert first >= 0
    assert waits.seconds() >= first
    waits.close()
    assert waits.seconds() == 0


def test_a_process_that_is_gone_has_waited_for_nothing():
    waits = ProcessorWaits("no such process")
    assert waits.seconds() == 0
    waits.close()
