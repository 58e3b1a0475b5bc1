"""The results of an evaluation as JSON, as tables and as a report."""

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from facesearch.evaluation import summary
from facesearch.evaluation.report import html
from facesearch.evaluation.result import Evaluation, Tally, evaluation
from worker.models.calibration import SFACE, Calibration

MODEL, DETECTOR = "sface:00ff:v1003:128", "yunet:00ff"
SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta"}


def make_evaluation(
    people: int = 120, noise: float = 0.5, calibration: Calibration | None = SFACE, seen: bool = True
) -> Evaluation:
    """Evaluate two photos of each person. seen: every photo has a face, else every fourth has none."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.standard_normal((people, 32)), 2, axis=0)
    vectors += noise * rng.standard_normal(vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if not seen:
        vectors[::4] = np.nan
    names = [f"secret-{number // 2}" for number in range(2 * people)]
    tally = Tally(2 * people, people, 0 if seen else len(vectors[::4]), 0, 3, 1)
    return evaluation(vectors, names, tally, calibration, MODEL, DETECTOR)


@pytest.fixture(scope="module")
def usual() -> Evaluation:
    return make_evaluation()


class Nesting(HTMLParser):
    """Requires that every element is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 -- the parser's
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_json_has_the_rates_and_counts(usual: Evaluation) -> None:
    written = json.loads(json.dumps(usual.as_dict(), allow_nan=False))
    assert (written["photos"], written["people"], written["detected"]) == (240, 120, 240)
    assert (written["model"], written["detector"]) == (MODEL, DETECTOR)
    assert list(written["tar_at_far"]) == ["1e-2", "1e-3", "1e-4", "1e-5"]
    rates = [*written["tar_at_far"].values(), written["eer"], written["rank1"], written["rank10"]]
    rates += [level[kind] for level in written["at_confidence"].values() for kind in ("far", "frr")]
    assert all(isinstance(rate, int | float) and 0 <= rate <= 1 for rate in rates)
    assert list(written["at_confidence"]) == ["80", "90", "95"]
    assert list(written["library"]) == ["1000", "10000", "1000000"]
    assert written["pairs"] == {"genuine": 120, "strangers": 240 * 239 // 2 - 120}


def test_each_rate_follows_from_its_counts_and_lies_in_its_interval(usual: Evaluation) -> None:
    written = usual.as_dict()
    for name, rate in written["tar_at_far"].items():
        assert written["tar_at_far_interval"][name][0] <= rate <= written["tar_at_far_interval"][name][1]
    for level in written["at_confidence"].values():
        assert level["far"] == level["false_accepts"] / level["stranger_pairs"]
        assert level["frr"] == level["false_rejects"] / level["genuine_pairs"]
        for kind in ("far", "frr"):
            assert level[f"{kind}_interval"][0] <= level[kind] <= level[f"{kind}_interval"][1]


def test_a_higher_confidence_accepts_fewer_impostors_and_refuses_more_genuine_pairs(usual: Evaluation) -> None:
    fars, frrs = zip(*((level.far.part, level.frr.part) for level in usual.levels), strict=True)
    assert list(fars) == sorted(fars, reverse=True)
    assert list(frrs) == sorted(frrs)


def test_a_photo_without_a_face_is_refused_at_every_confidence_and_never_identified() -> None:
    written = make_evaluation(noise=0.01, seen=False).as_dict()
    assert written["detected"] == 180
    assert written["without_face"] == 60
    for level in written["at_confidence"].values():
        assert level["false_rejects"] == 60
    assert written["tar_at_far"]["1e-2"] == written["rank10"] == 0.5


def test_without_a_calibration_everything_but_confidences_is_reported() -> None:
    bare = make_evaluation(calibration=None)
    written = bare.as_dict()
    assert written["at_confidence"] == {}
    assert written["library"]["1000"] == {}
    assert written["tar_at_far"] == make_evaluation().as_dict()["tar_at_far"]
    assert [table.title for table in summary.tables(bare)] == ["Verification", "Identification among 120 people"]
    assert html(bare).count("<svg") == 2


def test_the_report_is_well_formed_small_and_complete(usual: Evaluation) -> None:
    text = html(usual)
    assert len(text.encode()) < 300_000
    assert text.startswith("<!DOCTYPE html>")
    nesting = Nesting()
    nesting.feed(text)
    nesting.close()
    assert not nesting.open
    assert not nesting.seen & {"script", "img", "link", "iframe", "object", "image", "use"}
    page = ET.fromstring(text)  # noqa: S314 -- made by this project
    assert page.attrib == {"lang": "en"}
    assert len(page.findall(f".//{SVG}svg")) == 3
    assert all(plot.findtext(f"{SVG}title") for plot in page.findall(f".//{SVG}svg"))
    assert len(page.findall(".//table")) == len(summary.tables(usual)) == 4
    for table in page.findall(".//table"):
        assert len({len(row) for row in table.iter("tr")}) == 1


def test_the_report_loads_nothing_and_names_no_person(usual: Evaluation) -> None:
    text = html(usual)
    assert set(re.findall(r"\w+://[^\"<]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"(src|href|url\(|@import)", text)
    assert "secret" not in text


def test_the_same_evaluation_gives_the_same_report(usual: Evaluation) -> None:
    assert html(usual) == html(make_evaluation())


@pytest.mark.parametrize("noise", [0.0, 0.05, 1, 20])
def test_plots_stay_in_their_frame_for_any_data(noise: float) -> None:
    page = ET.fromstring(html(make_evaluation(people=12, noise=noise, seen=noise != 1)))  # noqa: S314 -- made by this project
    for plot in page.findall(f".//{SVG}svg"):
        _, _, width, height = map(float, plot.attrib["viewBox"].split())
        for path in plot.findall(f"{SVG}path"):
            drawn = path.attrib["d"]
            assert "nan" not in drawn
            assert "inf" not in drawn
            for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", drawn):
                assert 0 <= float(x) <= width
                assert 0 <= float(y) <= height


def test_the_summary_names_skipped_photos_and_uncertain_rates() -> None:
    lines = summary.summary(make_evaluation(seen=False))
    assert any("No face on 60" in line and "refused" in line for line in lines)
    assert any("Left out: 3" in line and "1 that cannot be read" in line for line in lines)
    (accepts, *_) = summary.tables(make_evaluation())
    assert "1 in 10,000: mostly chance" in accepts.text
