"""Plots as inline SVG: axes, lines, areas and a legend, without external resources."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal

FIRST: Final = "#1f6fb4"
SECOND: Final = "#d1701b"
FLOOR: Final = "#666666"
"""Colours that colour-blind people can distinguish: of the first series, of the second, and of references."""

_GRID: Final = "#dddddd"
_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 14, 46


@dataclass(frozen=True)
class Axis:
    """An axis. label: with its unit. low, high: the range shown; both above 0 if logarithmic. ticks: position and
    text.
    """

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return the position of a value: 0 at the low end, 1 at the high one, clamped to both."""
        if self.logarithmic:
            low, high = math.log(self.low), math.log(self.high)
            at = math.log(min(max(value, self.low), self.high))
        else:
            low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        return (at - low) / (high - low)


def decades(label: str, low: int, high: int) -> Axis:
    """Return a logarithmic axis from 10^low to 10^high with a tick at each power."""
    ticks = tuple((10.0**power, f"1e{power}" if power else "1") for power in range(low, high + 1))
    return Axis(label, 10.0**low, 10.0**high, ticks, logarithmic=True)


@dataclass(frozen=True)
class Series:
    """A series. kind: a line through the points, an area below it, or a ring at each point."""

    name: str
    color: str
    points: tuple[tuple[float, float], ...]
    kind: Literal["line", "area", "ring"] = "line"


@dataclass(frozen=True)
class Mark:
    """A vertical line with a label at its top."""

    at: float
    text: str


def plot(
    title: str,
    across: Axis,
    up: Axis,
    series: Sequence[Series],
    marks: Sequence[Mark] = (),
    *,
    legend_below: bool = False,
) -> str:
    """Return one svg element. title: for screen readers. legend_below: place the legend in the lower left corner."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
            f"<title>{escape(title)}</title>",
            *_grid(across, up),
            *(line for one in series for line in _drawn(one, across, up)),
            *(line for mark in marks for line in _marked(mark, across)),
            *_legend(series, _HEIGHT - _BOTTOM - 16 * len(series) - 8 if legend_below else _TOP),
            "</svg>",
        ]
    )


def _x(axis: Axis, value: float) -> float:
    return round(_LEFT + axis.place(value) * (_WIDTH - _LEFT - _RIGHT), 1)


def _y(axis: Axis, value: float) -> float:
    return round(_HEIGHT - _BOTTOM - axis.place(value) * (_HEIGHT - _TOP - _BOTTOM), 1)


def _grid(across: Axis, up: Axis) -> Iterable[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for value, text in up.ticks:
        y = _y(up, value)
        yield f'<path d="M{_LEFT} {y}H{right}" stroke="{_GRID}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{escape(text)}</text>'
    for value, text in across.ticks:
        x = _x(across, value)
        yield f'<path d="M{x} {bottom}v4" stroke="{FLOOR}"/>'
        yield f'<text x="{x}" y="{bottom + 17}" text-anchor="middle">{escape(text)}</text>'
    yield f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" stroke="{FLOOR}" fill="none"/>'
    middle, centre = (_LEFT + right) / 2, (_TOP + bottom) / 2
    yield f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(across.label)}</text>'
    turned = f'transform="rotate(-90 14 {centre})"'
    yield f'<text x="14" y="{centre}" text-anchor="middle" {turned}>{escape(up.label)}</text>'


def _drawn(series: Series, across: Axis, up: Axis) -> Iterable[str]:
    if not series.points:
        return
    places = [(_x(across, x), _y(up, y)) for x, y in series.points]
    if series.kind == "ring":
        for x, y in places:
            yield f'<circle cx="{x}" cy="{y}" r="4" fill="none" stroke="{series.color}" stroke-width="1.5"/>'
        return
    path = "L".join(f"{x} {y}" for x, y in places)
    if series.kind == "area":
        bottom = _HEIGHT - _BOTTOM
        yield f'<path d="M{places[0][0]} {bottom}L{path}V{bottom}Z" fill="{series.color}" fill-opacity="0.25"/>'
    yield f'<path d="M{path}" fill="none" stroke="{series.color}" stroke-width="1.5"/>'


def _marked(mark: Mark, across: Axis) -> Iterable[str]:
    x = _x(across, mark.at)
    yield f'<path d="M{x} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="{FLOOR}" stroke-dasharray="2 3"/>'
    yield f'<text x="{x}" y="{_TOP - 3}" text-anchor="middle" fill="{FLOOR}">{escape(mark.text)}</text>'


def _legend(series: Sequence[Series], top: int) -> Iterable[str]:
    for row, one in enumerate(series):
        y = top + 16 + 16 * row
        yield f'<path d="M{_LEFT + 10} {y - 4}h14" stroke="{one.color}" stroke-width="3"/>'
        yield f'<text x="{_LEFT + 30}" y="{y}">{escape(one.name)}</text>'
