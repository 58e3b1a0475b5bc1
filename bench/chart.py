"""Draw docs/performance.svg: throughput and latency of searches by the number of callers, from the last long runs.

    .venv/bin/python bench/chart.py

The same results give the same bytes. bench/document.py writes it along with the tables.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import results
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter
from summaries import small_searches

from facesearch.evaluation.svg import FIRST, FLOOR, SECOND

PATH: Final = Path(__file__).parents[1] / "docs/performance.svg"

STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",  # text stays text: searched, read aloud, and a tenth of the bytes
    "svg.hashsalt": "facesearch",  # ids are random without
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "grid.color": "#dddddd",
}
NEVER_DATED: Final = {"Date": None, "Creator": None}


def svg(scale: Mapping[str, Any], service: Mapping[str, Any]) -> str:
    """Return the chart of the results of bench/scale.py and bench/service.py."""
    searches = small_searches(service["loads"])
    alone, all_threads = searches[1]["floor"], searches[8]["floor"]
    callers = [run["callers"] for run in scale["callers"]]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.2), layout="constrained", facecolor="white")
        throughput, latency = figure.subplots(1, 2)
        _axes(throughput, "searches a second", callers)
        throughput.plot(callers, [run["per_second"] for run in scale["callers"]], "o-", color=FIRST, markersize=4)
        throughput.axhline(all_threads["per_second"], color=FLOOR, linestyle="--", linewidth=1)
        throughput.set_ylim(0, 1.2 * all_threads["per_second"])
        _label(throughput, "the same work in one process, with no queue", all_threads["per_second"])
        _axes(latency, "milliseconds", callers)
        for name, color in (("p99", SECOND), ("p50", FIRST)):
            values = [run[f"{name}_ms"] for run in scale["callers"]]
            latency.plot(callers, values, "o-", color=color, markersize=4, label=name)
        latency.axhline(alone["p50_ms"], color=FLOOR, linestyle="--", linewidth=1)
        latency.set_yscale("log")
        latency.yaxis.set_major_formatter(ScalarFormatter())
        latency.legend(frameon=False, loc="upper left")
        _label(latency, "one search alone, with no queue", alone["p50_ms"])
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata=NEVER_DATED)
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


def _axes(axes: Axes, label: str, callers: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(callers, [str(count) for count in callers])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("callers at once")
    axes.set_title(label, loc="left", fontsize=9.0)
    axes.grid(axis="y")


def _label(axes: Axes, text: str, height: float) -> None:
    """Write text above a horizontal line, at the right."""
    right = ("axes fraction", "data")
    axes.annotate(text, (1, height), (0, 3), right, textcoords="offset points", ha="right", color=FLOOR, fontsize=8.0)


def main() -> None:
    PATH.write_text(svg(results.kept("scale"), results.kept("service")))


if __name__ == "__main__":
    main()
