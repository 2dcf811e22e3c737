"""Plots, as SVG that stands in a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 16, 34, 44
_PLOT_WIDTH = _WIDTH - _LEFT - _RIGHT
_PLOT_HEIGHT = _HEIGHT - _TOP - _BOTTOM
_BASE = _HEIGHT - _BOTTOM

Points = Sequence[tuple[float, float]]


def line(title: str, x_label: str, y_label: str, points: Points) -> str:
    """A line over a continuous axis; both axes begin at 0."""
    x_top = max((x for x, _ in points), default=0) or 1
    x_scale = _PLOT_WIDTH / x_top
    y_ticks = _ticks(max((y for _, y in points), default=0))
    path = " ".join(f"{_LEFT + x * x_scale:.1f},{_height(y, y_ticks):.1f}" for x, y in points)
    labels = [
        _text(_LEFT + x * x_scale, _BASE + 16, _number(x), "middle")
        for x in _ticks(x_top)
        if x <= x_top
    ]
    drawn = f'<polyline class="line" points="{path}"/>'
    return _svg(title, [_frame(title, x_label, y_label), _grid(y_ticks), *labels, drawn])


def bars(title: str, x_label: str, y_label: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """Groups of bars: for each label, a value for each name."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    y_ticks = _ticks(
        max((value for group in groups.values() for value in group.values()), default=0)
    )
    parts = [_frame(title, x_label, y_label), _grid(y_ticks)]
    slot = _PLOT_WIDTH / max(len(groups), 1)
    width = slot * 0.7 / max(len(names), 1)
    for position, (label, group) in enumerate(groups.items()):
        left = _LEFT + slot * position + slot * 0.15
        parts.append(_text(left + slot * 0.35, _BASE + 16, label, "middle"))
        for index, name in enumerate(names):
            value = group.get(name, 0)
            top = _height(value, y_ticks)
            x = left + index * width
            parts.append(
                f'<rect class="c{index}" x="{x:.1f}" y="{top:.1f}" width="{width * 0.92:.1f}" '
                f'height="{_BASE - top:.1f}"><title>{escape(f"{name} {value:,.0f}")}</title></rect>'
            )
            parts.append(_text(x + width * 0.46, top - 4, _number(value), "middle"))
    parts += [_legend(index, name, len(names)) for index, name in enumerate(names)]
    return _svg(title, parts)


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        + "".join(parts)
        + "</svg>"
    )


def _frame(title: str, x_label: str, y_label: str) -> str:
    middle = _TOP + _PLOT_HEIGHT / 2
    return (
        _text(_LEFT, 18, title, "start", "title")
        + _text(_LEFT + _PLOT_WIDTH / 2, _HEIGHT - 8, x_label, "middle")
        + f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">'
        + f"{escape(y_label)}</text>"
    )


def _grid(ticks: Sequence[float]) -> str:
    return "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        + _text(_LEFT - 8, y + 4, _number(tick), "end")
        for tick, y in ((tick, _height(tick, ticks)) for tick in ticks)
    )


def _legend(index: int, name: str, count: int) -> str:
    if count == 1:
        return ""
    x = _WIDTH - _RIGHT - (count - index) * 84
    return f'<rect class="c{index}" x="{x}" y="9" width="10" height="10"/>' + _text(
        x + 14, 18, name, "start"
    )


def _text(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _height(value: float, ticks: Sequence[float]) -> float:
    return _BASE - value / ticks[-1] * _PLOT_HEIGHT


def _ticks(top: float) -> list[float]:
    """Round values from 0 to `top` or a little more."""
    if top <= 0:
        return [0, 1]
    magnitude = 10.0 ** math.floor(math.log10(top / 4))
    step = next(step * magnitude for step in (1, 2, 2.5, 5, 10) if step * magnitude * 4 >= top)
    return [step * index for index in range(math.ceil(top / step) + 1)]


def _number(value: float) -> str:
    """A number in few characters: `12.5k`."""
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g}{unit}"
    return f"{value:.3g}"
