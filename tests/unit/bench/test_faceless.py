"""How false faces are counted, and how photos in which a face is no longer found are named."""

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import faceless
import numpy as np
import pytest
from faceless import HEAD, Bench, FalseFace, Pass, Recording, lost, pictures, read_seen, with_face, write_seen

from worker.vision.geometry import TEMPLATE, CropScores, Detection, Pixels
from worker.vision.service import FaceService


def face(score: float) -> Detection:
    return Detection((10, 20, 30, 40), TEMPLATE.copy(), score)


class Eager:
    """A detector that finds a face in every image that is wider than high, with a high score in small passes alone."""

    def detect(self, image: Pixels, side: int) -> list[Detection]:
        if image.shape[1] <= image.shape[0]:
            return []
        return [face(0.95 if side < 400 else 0.85)]

    def best_scores(self, images: list[Pixels]) -> list[float]:
        return [0.95 for _ in images]

    def refine(self, _image: Pixels, detections: list[Detection]) -> list[Detection]:
        return [replace(one, refined_score=one.score) for one in detections]

    def score_crops(self, _image: Pixels, detections: list[Detection]) -> list[CropScores]:
        return [CropScores(1, 1, 1) for _ in detections]


class Constant:
    """An embedder that gives every face the same vector."""

    size = 112

    def embed(self, crops: np.ndarray) -> np.ndarray:
        return np.full((len(crops), 4), 0.5, np.float32)


def png(width: int, height: int) -> bytes:
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return bytes(cv2.imencode(".png", image)[1])


@pytest.fixture
def bench() -> Bench:
    recording = Recording(Eager())
    return Bench(FaceService(recording, Constant()), recording)


def test_a_false_face_is_recorded_with_its_pass_for_search_and_add(bench: Bench) -> None:
    found = bench.faces("pictures/a/1.png", "a", png(120, 80))
    assert found is not None
    assert {(one.call, one.face.score, one.seen) for one in found} == {
        ("search", 0.95, Pass(320, turned=False)),
        ("add", 0.95, Pass(320, turned=False)),
    }
    assert with_face(found, "search") == {"pictures/a/1.png"}
    assert with_face(found, "search", "b") == set()


def test_a_face_that_only_a_rotated_pass_finds_is_recorded_as_turned(bench: Bench) -> None:
    found = bench.faces("1.png", "a", png(80, 120))
    assert found
    assert all(one.seen == Pass(320, turned=True) for one in found)


def test_an_unreadable_picture_does_not_count_as_one_without_a_face(bench: Bench) -> None:
    assert bench.faces("1.png", "a", b"no image") is None
    assert bench.faces("1.png", "a", png(100, 100)) == []


def test_the_score_of_a_photo_without_a_face_is_0(bench: Bench) -> None:
    assert bench.score(png(120, 80)) == 0.95
    assert bench.score(png(100, 100)) == 0


def test_false_faces_are_written_with_box_and_landmarks(tmp_path: Path) -> None:
    seen = FalseFace("pictures/a/1.png", "a", "add", face(0.85), Pass(640, turned=True))
    faceless.kept_faces(tmp_path, [seen])
    with (tmp_path / "false_faces.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert set(row) == set(HEAD)
    assert (row["call"], row["score"], row["side"], row["turned"], row["roll"]) == ("add", "0.85", "640", "1", "0")
    assert [float(row[name]) for name in ("x", "y", "width", "height")] == [10, 20, 30, 40]
    assert float(row["nose_x"]) == pytest.approx(TEMPLATE[2, 0], abs=0.1)


def test_pictures_are_those_of_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("file,package,path\n1.png,a,x\n2.png,a,cat\n3.png,b,y\n")
    assert pictures(tmp_path, "", 1) == [("1.png", "a"), ("2.png", "a"), ("3.png", "b")]
    assert pictures(tmp_path, "", 2) == [("1.png", "a"), ("3.png", "b")]
    assert pictures(tmp_path, "cat", 1) == [("2.png", "a")]
    with pytest.raises(FileNotFoundError):
        pictures(tmp_path / "elsewhere", "", 1)


def test_lost_photos_are_those_that_had_a_face_before_and_have_none_now(tmp_path: Path) -> None:
    before = {("1", "as it comes"): 0.9, ("1", "mirrored"): 0.8, ("2", "as it comes"): 0.0}
    write_seen(tmp_path / "seen.csv", before)
    assert read_seen(tmp_path / "seen.csv") == before
    after = {("1", "as it comes"): 0.7, ("1", "mirrored"): 0.0, ("2", "as it comes"): 0.0, ("3", "as it comes"): 0.0}
    assert lost(before, after) == [("1", "mirrored")]
    assert faceless.seen_by_change(after)["as it comes"] == {"photos": 3, "found": 1}
