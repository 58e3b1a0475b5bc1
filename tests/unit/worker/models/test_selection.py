"""The embedders that the settings name: both, or one."""

from pathlib import Path

import pytest

from shared.errors import OperatorError
from shared.settings import Settings
from worker.models.catalog import find
from worker.models.selection import all_in_use, calibrations_in_use, second_in_use
from worker.store.opening import configured_spaces

FIRST, SECOND = "sface-2021dec-int8bq", "sface-2021dec-int8"


def settings(folder: Path, second: str | None) -> Settings:
    return Settings(models_dir=folder, embedder=FIRST, second_embedder=second)


def test_without_a_second_embedder_there_is_one(tmp_path: Path) -> None:
    one = settings(tmp_path, None)
    assert second_in_use(one) is None
    assert [model.name for model in all_in_use(one)] == [one.detector, FIRST]
    assert set(calibrations_in_use(one)) == {FIRST}


def test_a_second_embedder_is_in_use_with_its_calibration_and_its_spaces(tmp_path: Path) -> None:
    both = settings(tmp_path, SECOND)
    assert [model.name for model in all_in_use(both)] == [both.detector, FIRST, SECOND]
    assert calibrations_in_use(both) == {name: find(name, "embedding").calibration for name in (FIRST, SECOND)}
    spaces = configured_spaces(both)
    assert {identity.model for identity in spaces.preprocessings} == {FIRST, SECOND}
    assert spaces.preferred.model == FIRST


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (FIRST, "FACESEARCH_SECOND_EMBEDDER is sface-2021dec-int8bq, as FACESEARCH_EMBEDDER"),
        ("nobody", "no embedding model is called"),
        ("arcface-lresnet100", "no calibration"),
        ("w600k-mbf", "FACESEARCH_ACCEPT_NONCOMMERCIAL"),
    ],
)
def test_a_second_embedder_that_cannot_be_used_is_refused(tmp_path: Path, second: str, reason: str) -> None:
    with pytest.raises(OperatorError) as refused:
        second_in_use(settings(tmp_path, second))
    assert reason in str(refused.value)
