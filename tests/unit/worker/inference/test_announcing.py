"""Sessions get their callers announced before a call; events reach the wrapped observer."""

from contextlib import contextmanager

import pytest

from worker.inference.announcing import AnnouncingObserver


class Recorder:
    """An observer or a batched model that records its calls."""

    def __init__(self):
        self.calls = []

    @contextmanager
    def stage(self, name):
        self.calls.append(f"{name} begins")
        try:
            yield
        finally:
            self.calls.append(f"{name} ends")

    def found(self, faces):
        self.calls.append(f"{faces} found")

    def embedded(self, faces):
        self.calls.append(f"{faces} embedded")

    def announce(self):
        self.calls.append("announced")

    def withdraw(self):
        self.calls.append("withdrawn")


@pytest.fixture
def observer():
    return Recorder()


@pytest.fixture
def models():
    return {"detect": Recorder(), "align": Recorder()}


def test_a_caller_is_announced_to_a_model_when_its_stage_begins(observer, models):
    announcing = AnnouncingObserver(observer, models)
    with announcing.stage("decode"):
        pass
    assert models["detect"].calls == []
    with announcing.stage("detect"):
        assert models["detect"].calls == ["announced"]
        assert models["align"].calls == []
    with announcing.stage("align"):
        assert models["align"].calls == ["announced"]
    assert models["detect"].calls == ["announced"]


def test_a_caller_that_fails_is_withdrawn_from_all_models(observer, models):
    with pytest.raises(ValueError, match="too small"), AnnouncingObserver(observer, models).stage("detect"):
        raise ValueError("too small")
    assert models["detect"].calls == ["announced", "withdrawn"]
    assert models["align"].calls == ["withdrawn"]
    assert observer.calls == ["detect begins", "detect ends"]


def test_the_wrapped_observer_gets_all_events_except_embedded(observer, models):
    announcing = AnnouncingObserver(observer, models)
    with announcing.stage("embed"):
        announcing.found(3)
        announcing.embedded(3)
    assert observer.calls == ["embed begins", "3 found", "embed ends"]


def test_a_caller_without_items_is_withdrawn(observer, models):
    announcing = AnnouncingObserver(observer, models)
    with announcing.stage("align"):
        pass
    announcing.embedded(3)
    assert models["align"].calls == ["announced"]
    announcing.embedded(0)
    assert models["align"].calls == ["announced", "withdrawn"]
