"""Sessions are announced callers before these call; the other observer is called as ever."""

from contextlib import contextmanager

import pytest

from worker.vision.batch_observer import BatchObserver


class Heard:
    """An observer, or a model, that keeps what it is told."""

    def __init__(self):
        self.told = []

    @contextmanager
    def stage(self, name):
        self.told.append(f"{name} begins")
        try:
            yield
        finally:
            self.told.append(f"{name} ends")

    def found(self, faces):
        self.told.append(f"{faces} found")

    def embedded(self, faces):
        self.told.append(f"{faces} embedded")

    def announce(self):
        self.told.append("announced")

    def withdraw(self):
        self.told.append("withdrawn")


@pytest.fixture
def observer():
    return Heard()


@pytest.fixture
def models():
    return {"detect": Heard(), "align": Heard()}


def test_a_model_hears_of_a_caller_when_its_stage_begins(observer, models):
    announcing = BatchObserver(observer, models)
    with announcing.stage("decode"):
        pass
    assert models["detect"].told == []
    with announcing.stage("detect"):
        assert models["detect"].told == ["announced"]
        assert models["align"].told == []
    with announcing.stage("align"):
        assert models["align"].told == ["announced"]
    assert models["detect"].told == ["announced"]


def test_who_fails_is_expected_by_no_model_any_more(observer, models):
    with pytest.raises(ValueError, match="too small"), BatchObserver(observer, models).stage("detect"):
        raise ValueError("too small")
    assert models["detect"].told == ["announced", "withdrawn"]
    assert models["align"].told == ["withdrawn"]
    assert observer.told == ["detect begins", "detect ends"]


def test_the_other_observer_hears_all_but_what_the_model_tells_it(observer, models):
    announcing = BatchObserver(observer, models)
    with announcing.stage("embed"):
        announcing.found(3)
        announcing.embedded(3)
    assert observer.told == ["embed begins", "3 found", "embed ends"]


def test_who_brings_nothing_after_all_is_expected_by_no_model_any_more(observer, models):
    announcing = BatchObserver(observer, models)
    with announcing.stage("align"):
        pass
    announcing.embedded(3)
    assert models["align"].told == ["announced"]
    announcing.embedded(0)
    assert models["align"].told == ["announced", "withdrawn"]
