"""An evaluation as one HTML file: tables, plots, and explanations. It contains no photo and no name of a file or
person, and loads nothing.
"""

from collections.abc import Iterable
from html import escape
from typing import Final

import numpy as np

from facesearch.evaluation import metrics, summary
from facesearch.evaluation.pairs import Numbers
from facesearch.evaluation.result import Evaluation
from facesearch.evaluation.svg import FIRST, FLOOR, SECOND, Axis, Mark, Series, decades, plot
from worker.confidence.rates import FARS as TARGET_FARS
from worker.confidence.rates import STEPS, Counts, step_of
from worker.models.calibration import Calibration

_BAR: Final = 200
"""Steps of cosine in a bar of a histogram: 0.02."""

_CURVE_POINTS: Final = 250

_TICKS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)

_STYLE: Final = """body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#222}
h1,h2{line-height:1.2}table{border-collapse:collapse;margin:1rem 0;font-size:14px}
th,td{text-align:left;padding:.25rem .9rem .25rem 0;border-bottom:1px solid #ddd;vertical-align:bottom}
svg{width:100%;height:auto;font:11px system-ui,sans-serif}p{overflow-wrap:anywhere}"""


def html(found: Evaluation) -> str:
    """Return the whole file, which is XML as well."""
    parts = [
        "<h1>Evaluation of face recognition</h1>",
        *(f"<p>{escape(line)}</p>" for line in summary.summary(found)),
        *_plots(found),
        *(line for table in summary.tables(found) for line in _table(table)),
    ]
    head = f'<meta charset="utf-8"/><title>facesearch evaluate</title><style>{_STYLE}</style>'
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def _table(table: summary.Table) -> Iterable[str]:
    yield f"<h2>{escape(table.title)}</h2>"
    yield f"<p>{escape(table.text)}</p>"
    yield f"<table><thead>{_row('th', table.head)}</thead><tbody>"
    for row in table.rows:
        yield _row("td", row)
    yield "</tbody></table>"


def _row(cell: str, texts: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{cell}>{escape(text)}</{cell}>' for text in texts)}</tr>"


def _plots(found: Evaluation) -> Iterable[str]:
    shown = [_histograms(found), _roc(found), *([_calibrated(found, found.calibration)] if found.calibration else [])]
    for title, text, drawn in shown:
        yield f"<h2>{escape(title)}</h2>"
        yield f"<p>{escape(text)}</p>"
        yield drawn


def _histograms(found: Evaluation) -> tuple[str, str, str]:
    title = "Similarity of genuine and impostor pairs"
    text = (
        "The number of pairs by their cosine, on a logarithmic scale; pairs without a face have none. The less the two "
        "distributions overlap, the better. Dotted: where a confidence begins."
    )
    bars = [_bars(reaching) for reaching in (found.pairs.impostors_reaching, found.pairs.genuine_reaching)]
    used = np.nonzero(np.sum(bars, axis=0))[0]
    low, high = np.floor(_cosine(int(used[0])) * 5) / 5, 1.0
    across = Axis("cosine", low, high, tuple((x, f"{x:.1f}") for x in np.arange(low, high + 0.1, 0.2).tolist()))
    highest = len(str(int(np.max(bars))))
    # From a half on, so that a single pair is visible.
    up = Axis("pairs", 0.5, 10.0**highest, tuple((10.0**x, f"{10**x:,}") for x in range(highest + 1)), logarithmic=True)
    series = [
        Series(name, color, tuple(_outline(counts, low)), "area")
        for name, color, counts in zip(("impostor pairs", "genuine pairs"), (SECOND, FIRST), bars, strict=True)
    ]
    return title, text, plot(title, across, up, series, [Mark(x.cosine, str(x.confidence)) for x in found.levels])


def _roc(found: Evaluation) -> tuple[str, str, str]:
    title = "ROC curve"
    text = (
        "For every threshold: TAR, the part of genuine pairs that it accepts, over FAR, the part of impostor pairs "
        "that it accepts, which is on a logarithmic scale. Rings: at a confidence. A FAR below that of a single "
        "impostor pair cannot be measured."
    )
    fars = metrics.false_accept_curve(found.pairs)
    tars = 1 - metrics.false_reject_curve(found.pairs)
    fewest = int(np.floor(np.log10(1 / found.pairs.impostor_count)))
    points = _thinned([(far, tar) for far, tar in zip(fars.tolist(), tars.tolist(), strict=True) if far > 0])
    least = min([*(tar for _, tar in points), *(1 - level.frr.part for level in found.levels)])
    refused = max(1 - least, 1e-3)
    tick = next(size for size in _TICKS if refused <= 5 * size)
    rows = int(np.ceil(refused / tick - 1e-9))
    across = decades("FAR", fewest, 0)
    rings = tuple((x.far.part, 1 - x.frr.part) for x in found.levels if x.far.part)
    ticks = tuple((1 - row * tick, f"{1 - row * tick:.1%}") for row in range(rows + 1))
    up = Axis("TAR", 1 - rows * tick, 1, ticks)
    series = [
        Series("every threshold", FIRST, tuple(points)),
        Series("confidence 80, 90, 95", SECOND, rings, "ring"),
    ]
    return title, text, plot(title, across, up, series)


def _calibrated(found: Evaluation, calibration: Calibration) -> tuple[str, str, str]:
    title = "FAR and FRR by confidence"
    text = (
        "The part of impostor pairs that reach a confidence (FAR) and of genuine pairs that do not (FRR), on a "
        "logarithmic scale. Rings: the FAR that the confidence stands for. Where the FAR is above the rings, these "
        "photos have more false accepts than that. Lines end where there is no pair left."
    )
    fars, frrs = metrics.false_accept_curve(found.pairs), metrics.false_reject_curve(found.pairs)
    confidences = np.arange(0, 100.25, 0.5).tolist()
    steps = [step_of(calibration.cosine(confidence)) for confidence in confidences]
    across = Axis("confidence", 0, 100, tuple((float(x), str(x)) for x in (0, 20, 40, 60, 80, 90, 95, 100)))
    up = decades("part of the pairs", -7, 0)

    def line(name: str, color: str, rates: Numbers) -> Series:
        shown = [(x, float(rates[step])) for x, step in zip(confidences, steps, strict=True) if rates[step] > 0]
        return Series(name, color, tuple(shown))

    series = [
        line("FAR", SECOND, fars),
        line("FRR", FIRST, frrs),
        Series("FAR of the calibration", FLOOR, tuple((float(x), far) for x, far in TARGET_FARS.items()), "ring"),
    ]
    return title, text, plot(title, across, up, series, legend_below=True)


def _bars(reaching: Counts) -> Counts:
    """Return the number of pairs in each bar."""
    counts = reaching - np.append(reaching[1:], 0)
    whole = np.append(counts[:-1].reshape(-1, _BAR).sum(axis=1), 0)
    # A cosine of 1 belongs to the last bar.
    whole[-2] += counts[-1]
    return np.asarray(whole[:-1])


def _cosine(bar: int) -> float:
    return bar * _BAR * 2 / STEPS - 1


def _outline(counts: Counts, low: float) -> Iterable[tuple[float, float]]:
    for bar, count in enumerate(counts.tolist()):
        if _cosine(bar) >= low - 1e-9:
            yield _cosine(bar), count
            yield _cosine(bar + 1), count


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return enough points for a smooth curve, evenly spaced on its logarithmic axis; both ends are kept."""
    kept: list[tuple[float, float]] = []
    last = None
    for point in points:
        place = round(np.log10(point[0]) * _CURVE_POINTS / 8)
        if place != last:
            kept.append(point)
        last = place
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]
