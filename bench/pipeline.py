"""Measure the in-process cost of one image, with no queue.

    .venv/bin/python bench/pipeline.py [--quick]

Milliseconds of each stage of a search by kind of photo, medians of one thread; searches and adds a second of one thread
and of all; and the naive pipeline on the same photos, interleaved: how many times as long it takes, and whether it
finds the same faces. With the labelled photos, a long run also measures how well both recognise people. Prints JSON,
then a table.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import photos
import pybase64
import results
from floor import Floor, floor, run
from recognition import Pipeline, Recognize, Recognized, open_naive_pipeline, open_pipeline

from facesearch.evaluation.metrics import true_accept_rate
from facesearch.evaluation.pairs import compare
from shared.errors import FaceNotDetected
from shared.host.cores import cores
from shared.settings import Settings
from worker.vision.decode import decode
from worker.vision.geometry import align, most_prominent, overlap
from worker.vision.passes import COARSE_SIDE, SIDE

SAME_FACE: Final = 0.5
"""Least overlap (intersection over union) of two boxes of one face, as is usual in detection."""

FARS: Final = (1e-3, 1e-4)
CALLS: Final = ("searchface", "addface")


def ms(work: Callable[[], object], rounds: int) -> float:
    """Return the median time of a call in milliseconds."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times) * 1e3, 3)


def by_stage(pipeline: Pipeline, store: Floor, data: bytes, rounds: int) -> dict[str, float]:
    """Return milliseconds by stage. detect_all: the full pass of an add, in place of detect. all: a whole search."""
    image, text = decode(data), pybase64.b64encode(data)
    found = pipeline.yunet.detect(image, COARSE_SIDE)
    prominent = most_prominent(found, (image.shape[1], image.shape[0]))
    (refined,) = pipeline.yunet.refine(image, [prominent])
    crops = np.stack([align(image, refined.landmarks)])
    face = pipeline.service.embed_most_prominent(data)
    return {
        "base64": ms(lambda: pybase64.b64decode(text, validate=True), rounds),
        "decode": ms(lambda: decode(data), rounds),
        "detect": ms(lambda: pipeline.yunet.detect(image, COARSE_SIDE), rounds),
        "refine": ms(lambda: pipeline.yunet.refine(image, [prominent]), rounds),
        "align": ms(lambda: align(image, refined.landmarks), rounds),
        "embed": ms(lambda: pipeline.arcface.embed(crops), rounds),
        "store": ms(lambda: store.matches(face), rounds),
        "all": ms(lambda: store.searchface(text), rounds),
        "detect_all": ms(lambda: pipeline.yunet.detect(image, SIDE), rounds),
    }


def against_naive(pipeline: Pipeline, plain: Recognize, images: Sequence[bytes], rounds: int) -> dict[str, Any]:
    """Return the median ratio of the naive pipeline's time to ours, interleaved, and the number of images on which both
    find the same face.
    """
    ratios, same = [], 0
    for data in images:
        for turn in range(rounds):
            start = time.perf_counter()
            theirs = plain(data)
            between = time.perf_counter()
            pipeline.service.embed_most_prominent(data)
            ratios.append((between - start) / (time.perf_counter() - between))
            if not turn:
                same += overlap(theirs.box, pipeline.recognize(data).box) >= SAME_FACE
    return {"naive_ratio": round(statistics.median(ratios), 2), "images": len(images), "same_face": same}


def recognised(settings: Settings, pipeline: Pipeline) -> dict[str, Any]:
    """Return the TAR at each FAR of the naive pipeline and ours on all labelled photos."""
    paths = sorted(photos.LFW.glob("*/*.jpg"))

    def share(number: int) -> list[tuple[Recognized | None, Recognized | None]]:
        plain = open_naive_pipeline(settings)
        images = [path.read_bytes() for path in paths[number :: cores()]]
        return [(_recognized(plain, image), _recognized(pipeline.recognize, image)) for image in images]

    seen: list[tuple[Recognized | None, Recognized | None]] = [(None, None)] * len(paths)
    with ThreadPoolExecutor(cores()) as pool:
        for number, part in enumerate(pool.map(share, range(cores()))):
            seen[number :: cores()] = part
    people = [path.parent.name for path in paths]
    nothing = np.full(pipeline.embedder.dimension, np.nan)
    found: dict[str, Any] = {"photos": len(paths), "people": len(set(people))}
    for name, faces in zip(("naive", "ours"), zip(*seen, strict=True), strict=True):
        compared = compare([nothing if face is None else face.vector for face in faces], people)
        found[name] = {
            "seen": sum(face is not None for face in faces),
            **{f"tar_at_{far:g}": round(true_accept_rate(compared, far), 5) for far in FARS},
        }
    pairs = [(theirs, own) for theirs, own in seen if theirs and own]
    return found | {"same_face": sum(overlap(theirs.box, own.box) >= SAME_FACE for theirs, own in pairs)}


def _recognized(recognize: Recognize, image: bytes) -> Recognized | None:
    try:
        return recognize(image)
    except (LookupError, FaceNotDetected):
        return None


def measure(
    pipeline: Pipeline,
    plain: Recognize,
    whole: Floor,
    kinds: Mapping[str, Sequence[bytes]],
    calls: Sequence[str],
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """Return everything but recognition. rounds: of a stage, and of a photo that is the only one of its kind."""
    threads = sorted({1, cores()})
    return {
        "photos": photos.source(),
        "stages_ms": {kind: by_stage(pipeline, whole, images[0], rounds) for kind, images in kinds.items()},
        "against_naive": {
            kind: against_naive(pipeline, plain, images, 1 if len(images) > 1 else rounds)
            for kind, images in kinds.items()
        },
        "floor": [
            {"call": call, "threads": count, **run(getattr(whole, call), kinds["small"], count, seconds)}
            for call in calls
            for count in threads
        ],
    }


def show(found: Mapping[str, Any]) -> None:
    for kind, stages in found["stages_ms"].items():
        shown = "  ".join(f"{stage} {value:.2f}" for stage, value in stages.items())
        print(f"{kind:9} {shown} ms")
    for kind, against in found["against_naive"].items():
        faces = f"the same face on {against['same_face']} of {against['images']}"
        print(f"{kind:9} naive takes x{against['naive_ratio']}, {faces}")
    for speed in found["floor"]:
        shown = f"{speed['per_second']:.1f}/s, {speed['cpu_ms']:.2f} ms of CPU each"
        print(f"{speed['call']}, {speed['threads']} thread(s): {shown}")
    recognition = found.get("recognition", {})
    for name in ("naive", "ours") if recognition else ():
        tars = "  ".join(f"{key} {value:.4f}" for key, value in recognition[name].items() if key != "seen")
        print(f"{name}: a face on {recognition[name]['seen']} of {recognition['photos']}  {tars}")
    if recognition:
        print(f"the same face on {recognition['same_face']}")


def main() -> None:
    quick = results.is_quick()
    settings, kinds = Settings(), photos.photos()
    pipeline = open_pipeline(settings)
    with floor(pipeline, kinds["small"]) as whole:
        found = measure(pipeline, open_naive_pipeline(settings), whole, kinds, CALLS, *((6, 1) if quick else (24, 5)))
    if not quick and photos.LFW.is_dir():
        found["recognition"] = recognised(settings, pipeline)
    print(json.dumps(found))
    results.keep("pipeline", found)
    show(found)


if __name__ == "__main__":
    main()
