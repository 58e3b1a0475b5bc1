"""Write measured figures into documents, from the last long runs in bench/results: the tables and the chart
of docs/performance.md and docs/performance-parts.md, and figures of the README.

    .venv/bin/python bench/document.py

A test compares them with the results.
"""

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import chart
import results
from summaries import small_searches

ROOT: Final = Path(__file__).parents[1]
DOCUMENTS: Final = (ROOT / "docs/performance.md", ROOT / "docs/performance-parts.md", ROOT / "README.md")
NAMES: Final = ("pipeline", "service", "store", "scale", "overload", "fairness")
"""The benchmarks that `make bench` runs, in this order."""

KEPT: Final = (*NAMES, "recall")
"""Those whose results documents show: also one that takes long, and that a Qdrant server may be given to."""

PART: Final = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end of measured -->\n)", re.DOTALL)

Found = Mapping[str, Any]
"""The result of a benchmark, as bench/results has it."""

KINDS: Final = {
    "small": "250 by 250",
    "portrait": "512 by 600",
    "2mp": "2 megapixels",
    "12mp": "12 megapixels",
}
CALLS: Final = {"searchface": "search", "addface": "add"}
VECTORS: Final = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "amx_int8": "AMX"}
"""Names of vector instructions by the kernel's flags."""


def rewritten(document: str, found: Mapping[str, Found]) -> str:
    """Return the document with each of its parts made from the results. Raises KeyError on an unknown part."""
    return PART.sub(lambda match: match[1] + PARTS[match[2]](found) + match[3], document)


def machine(found: Mapping[str, Found]) -> str:
    """Return a line for each machine that results are from; after a full run it is one."""
    runs: dict[str, list[str]] = {}
    for name, result in found.items():
        runs.setdefault(f"{_machine(result)}, {result['day']}", []).append(f"`{name}`")
    return "".join(f"- {', '.join(names)}: {text}\n" for text, names in runs.items())


def _machine(result: Found) -> str:
    made = result["machine"]
    return f"{made['cores']} cores of an {made['cpu']} ({_vectors(made)}), Python {made['python']}, {made['system']}"


def _vectors(made: Found) -> str:
    return ", ".join(VECTORS[name] for name in made["vectors"]) or "no vectors"


def bars(found: Mapping[str, Found]) -> str:
    loads, small = small_searches(found["service"]["loads"]), found["pipeline"]["against_naive"]["small"]
    recognition, stored = found["pipeline"].get("recognition"), _by_faces(found)
    goodput = min(load["goodput"] for load in found["overload"]["loads"])
    slowest = max(load["p99_ms"] / load["deadline_s"] / 1e3 for load in found["overload"]["loads"])
    rows = [
        ("floor over the naive pipeline", "≥ 2.2", f"{small['naive_ratio']:.2f}", small["naive_ratio"] >= 2.2),
        *_recognition_bars(recognition),
        *(
            (
                f"efficiency of searches, {n} callers",
                "≥ 0.85",
                f"{loads[n]['efficiency']:.2f}",
                loads[n]["efficiency"] >= 0.85,
            )
            for n in (8, 32)
        ),
        (
            "median answer to one caller, beyond the floor",
            "≤ 5 ms",
            f"{loads[1]['p50_overhead_ms']:.1f} ms",
            loads[1]["p50_overhead_ms"] <= 5,
        ),
        *(
            (
                f"50 best of {faces:,} faces: p99; recall",
                f"≤ {most} ms; ≥ {least}",
                f"{stored[faces]['top50']['p99_ms']:.1f} ms; {stored[faces]['top50']['recall']:.4f}",
                stored[faces]["top50"]["p99_ms"] <= most and stored[faces]["top50"]["recall"] >= least,
            )
            for faces, most, least in ((100_000, 10, 0.99), (1_000_000, 25, 0.98))
        ),
        ("goodput at 4 times the peak", "≥ 0.9 of it", f"{goodput:.2f}", goodput >= 0.9),
        ("p99 of what is accepted then", "< the deadline", f"{100 * slowest:.0f} % of it", slowest < 1),
    ]
    return table(("", "wanted", "measured", "reached"), ((*row[:3], "yes" if row[3] else "**no**") for row in rows))


def _recognition_bars(recognition: Found | None) -> list[tuple[str, str, str, bool]]:
    if recognition is None:
        return []
    same, photos = recognition["same_face"], recognition["photos"]
    theirs, own = (recognition[name]["tar_at_0.0001"] for name in ("naive", "ours"))
    return [
        ("photos on which both find the same face", "all", f"{same:,} of {photos:,}", same == photos),
        ("true accepts at 1 false in 10,000", f"≥ {100 * theirs:.2f} %, as naive", f"{100 * own:.2f} %", own >= theirs),
    ]


def stages(found: Mapping[str, Found]) -> str:
    """Return a table of milliseconds by kind of photo."""
    taken, against = found["pipeline"]["stages_ms"], found["pipeline"]["against_naive"]
    names = ("base64", "decode", "detect", "refine", "align", "embed", "store", "all", "detect_all")
    rows = [
        (KINDS[kind], *(figure(of_kind[name]) for name in names), f"{against[kind]['naive_ratio']:.2f} times")
        for kind, of_kind in taken.items()
    ]
    return table(("photo", *names[:-1], "detect at 640", "naive"), rows)


def recognition(found: Mapping[str, Found]) -> str:
    measured = found["pipeline"].get("recognition")
    if measured is None:
        return "Not measured in the last run: the labelled photos were not there.\n"
    rows = [
        (
            name,
            f"{measured[name]['seen']:,}",
            *(f"{100 * measured[name][f'tar_at_{far}']:.2f} %" for far in ("0.001", "0.0001")),
        )
        for name in ("naive", "ours")
    ]
    header = ("pipeline", f"faces found on {measured['photos']:,} photos of {measured['people']:,} people")
    return table((*header, "TAR at FAR 1e-3", "at 1e-4"), rows)


def floor(found: Mapping[str, Found]) -> str:
    rows = [
        (
            CALLS[run["call"]],
            str(run["threads"]),
            figure(run["per_second"]),
            figure(run["cpu_ms"]),
            figure(run["p50_ms"]),
        )
        for run in found["pipeline"]["floor"]
    ]
    return table(("floor", "threads", "a second", "CPU ms", "p50 ms"), rows)


def service(found: Mapping[str, Found]) -> str:
    rows = []
    for load in found["service"]["loads"]:
        cpu = load["cpu_ms"]
        rows.append(
            (
                f"{CALLS[load['call']]}, {KINDS[load['photos']]}",
                str(load["callers"]),
                *(figure(load[name]) for name in ("per_second", "p50_ms", "p95_ms", "p99_ms")),
                *(figure(value) for value in (load["floor"]["cpu_ms"], cpu["gateway"], cpu["worker"], cpu["broker"])),
                f"{load['efficiency']:.2f}",
            )
        )
    times, cpu_of = ("p50 ms", "p95 ms", "p99 ms"), ("floor CPU ms", "gateway", "worker", "Redis")
    return table(("call, photos", "callers", "a second", *times, *cpu_of, "efficiency"), rows)


def scale(found: Mapping[str, Found]) -> str:
    runs = [(f"{run['workers']} of one thread", run) for run in found["scale"]["workers"]]
    runs += [("1 of all threads", run) for run in found["scale"]["callers"]]
    rows = [
        (workers, str(run["callers"]), *(figure(run[name]) for name in ("per_second", "p50_ms", "p99_ms")))
        for workers, run in runs
    ]
    gain = f"\nTwo workers do {found['scale']['two_over_one']:.2f} times what one does, the median of rounds.\n"
    return table(("workers", "callers", "searches a second", "p50 ms", "p99 ms"), rows) + gain


def overload(found: Mapping[str, Found]) -> str:
    rows = [
        (
            KINDS[load["photos"]],
            f"{load['deadline_s']} s",
            figure(load["peak_per_second"]),
            figure(load["rate"]),
            f"{load['goodput']:.2f}",
            *(figure(load[name]) for name in ("p50_ms", "p99_ms")),
            f"{load['refused']['count']:,} of {load['requests']:,}",
            *(figure(load["refused"][name]) for name in ("p50_ms", "p99_ms")),
            f"{load['in_vain']['count']:,}",
        )
        for load in found["overload"]["loads"]
    ]
    header = ("photos", "deadline", "peak a second", "offered a second", "goodput", "accepted p50 ms", "p99 ms")
    return table((*header, "refused", "p50 ms", "p99 ms", "too late"), rows)


def fairness(found: Mapping[str, Found]) -> str:
    seen = found["fairness"]["seen"]
    alone = next(iter(seen.values()))
    rows = [
        (
            name,
            *(figure(row[part]) for part in ("p50_ms", "p99_ms", "longest_ms")),
            f"{row['p99_ms'] / alone['p99_ms']:.1f}",
            f"{row['answers'].get('FAIL', 0)} of {sum(row['answers'].values())}",
            "" if row["greedy_per_second"] is None else figure(row["greedy_per_second"]),
        )
        for name, row in seen.items()
    ]
    return table(("beside", "p50 ms", "p99 ms", "longest ms", "p99 x alone", "FAIL", "greedy tenant a second"), rows)


def store(found: Mapping[str, Found]) -> str:
    rows = [
        (
            f"{row['faces']:,}",
            *(figure(row[part][name]) for part in ("add", "top50", "listed") for name in ("p50_ms", "p99_ms")),
            f"{row['top50']['recall']:.4f}",
            f"{row['bytes_a_face']['own'] + row['bytes_a_face']['mapped']:,}",
        )
        for row in found["store"]["sizes"]
    ]
    times = [f"{part} {name} ms" for part in ("add", "50 best", "listed") for name in ("p50", "p99")]
    return table(("faces", *times, "recall of 50", "bytes of memory a face"), rows)


def recall(found: Mapping[str, Found]) -> str:
    """Return a table with the CPU of a search where the engine ran in the process that measured, else with its time."""
    rows = [
        (
            row["engine"],
            f"{row['faces']:,}",
            row["setting"],
            f"{100 * row['listed']:.2f} %",
            f"{row['missed_people']} of {found['recall']['probes']:,}",
            f"{100 * row['top50']:.1f} %",
            *_times(row),
            figure(row["build_s"]),
        )
        for row in found["recall"]["rows"]
    ]
    times = ("p50 ms", "p99 ms")
    return table(("engine", "faces", "setting", "listed at 80", "people missed", "50 best", *times, "build s"), rows)


def _times(row: Found) -> list[str]:
    if row["engine"].endswith("in process"):
        return [f"{figure(row['cpu'][name])} of CPU" for name in ("p50_ms", "p99_ms")]
    return [figure(row[name]) for name in ("p50_ms", "p99_ms")]


def readme(found: Mapping[str, Found]) -> str:
    """Return the figures of the README: a paragraph of speed and, if it was measured, one of recognition."""
    loads, made = small_searches(found["service"]["loads"]), found["service"]["machine"]
    overloads, recognised = found["overload"]["loads"], found["pipeline"].get("recognition")
    eight, one = loads[8], loads[1]
    goodput = min(load["goodput"] for load in overloads)
    refusal = max(load["refused"]["p50_ms"] for load in overloads)
    points = [
        f"""**{eight["per_second"]:.0f} searches a second** on {made["cores"]} cores of an {made["cpu"]}
        ({_vectors(made)}), from 8 callers; a single caller gets its answer in {one["p50_ms"]:.0f} ms (medians). At
        four times its peak load the service still does {100 * goodput:.0f} % of the peak and refuses the rest within
        {refusal:.0f} ms: [performance](docs/performance.md)."""
    ]
    if recognised is not None:
        points.append(
            f"""**{100 * recognised["ours"]["tar_at_0.0001"]:.2f} % of the pairs of photos of one person are accepted**
            where 1 in 10,000 pairs of different people is: {recognised["photos"]:,} photos of
            {recognised["people"]:,} people of LFW."""
        )
    return "".join(
        textwrap.fill(f"- {' '.join(text.split())}", 120, subsequent_indent="  ", break_on_hyphens=False) + "\n"
        for text in points
    )


def _by_faces(found: Mapping[str, Found]) -> dict[int, Found]:
    return {row["faces"]: row for row in found["store"]["sizes"]}


def figure(value: float) -> str:
    """Return a number with three significant digits, or whole from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are figures."""
    lines = [header, ("---", *["--:"] * (len(header) - 1)), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


PARTS: Final[Mapping[str, Callable[[Mapping[str, Found]], str]]] = {
    part.__name__: part
    for part in (machine, bars, stages, recognition, floor, service, scale, overload, fairness, store, recall, readme)
}


def main() -> None:
    found = {name: results.kept(name) for name in KEPT}
    for path in DOCUMENTS:
        path.write_text(rewritten(path.read_text(), found))
    chart.main()


if __name__ == "__main__":
    main()
