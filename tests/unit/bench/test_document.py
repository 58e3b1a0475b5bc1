"""Documents show the results of the last runs."""

import re

import pytest
import results
from chart import PATH, svg
from document import DOCUMENTS, KEPT, PART, PARTS, figure, rewritten, table


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, object]]:
    return {name: results.kept(name) for name in KEPT}


def test_documents_show_the_results_of_the_last_runs(found: dict[str, dict[str, object]]) -> None:
    for document in DOCUMENTS:
        text = document.read_text()
        assert text == rewritten(text, found), f"{document.name}: run .venv/bin/python bench/document.py"


def test_each_part_is_in_exactly_one_document() -> None:
    named = [match[2] for document in DOCUMENTS for match in PART.finditer(document.read_text())]
    assert sorted(named) == sorted(PARTS)


def test_the_chart_shows_the_last_runs(found: dict[str, dict[str, object]]) -> None:
    drawn = PATH.read_text()
    assert drawn == svg(found["scale"], found["service"]), "run: .venv/bin/python bench/document.py"
    assert len(drawn) < 60_000


def test_a_text_without_parts_is_unchanged() -> None:
    assert rewritten("# Nothing\n\nmeasured\n", {}) == "# Nothing\n\nmeasured\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0473, "0.0473"), (3.14159, "3.14"), (21.239, "21.2"), (142.4, "142"), (1234.5, "1,234"), (0, "0"), (8, "8")],
)
def test_figures_have_three_significant_digits(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_tables_are_markdown() -> None:
    lines = table(("a", "b"), [("x", "1"), ("y", "2")])
    assert lines == "| a | b |\n| --- | --: |\n| x | 1 |\n| y | 2 |\n"
    assert re.fullmatch(r"(\|.*\|\n)+", lines)
