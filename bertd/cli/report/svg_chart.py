"""Draw a chart as SVG: axes with round numbers, curves parted at gaps, events as lines with a number.

Colours are classes, which the page's style sheet gives for light, dark and print. Curves differ by dashes too, since
colour alone says nothing to some readers. The scale leaves out the extreme hundredth of the values, so that a spike
does not flatten the rest; what is beyond it is drawn at the edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bertd.cli.report.document import Chart, Series

_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 26, 14, 44
_NUM_TICKS = 5
_OUTLIER_SHARE = 0.01
_MIN_FOR_OUTLIERS = 50
_NUM_COLORS = 6


def draw_chart(chart: Chart, *, id_: str) -> str:
    """The SVG element of a chart; `id_` is unique on the page."""
    values = [y for series in chart.series for y in series.finite_values()]
    places = [x for series in chart.series for x, y in series.points if math.isfinite(y)]
    if not values:
        return ""
    x_range = (0.0, 1.0) if chart.is_x_share else _range(places, is_robust=False)
    scale = _Scale(x=x_range, y=_range(values, is_robust=True))
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="{id_}-title {id_}-text">',
        f'<title id="{id_}-title">{escape(chart.title)}</title>',
        f'<desc id="{id_}-text">{escape(_describe(chart))}</desc>',
        *_axes(chart, scale),
        *(_mark(number, scale.to_x(mark.x), text=mark.text) for number, mark in enumerate(chart.marks, start=1)),
        *(_curve(series, scale, kind=curve_class(chart, number)) for number, series in enumerate(chart.series)),
        "</svg>",
    ]
    return "\n".join(parts)


def curve_class(chart: Chart, number: int) -> str:
    """The classes of a chart's curve by its place; raw values have the colour of the first, which smooths them."""
    return "c0 faint" if chart.series[number].is_faint else color_class(number)


def color_class(number: int) -> str:
    """The class of a colour by its place."""
    return f"c{number % _NUM_COLORS}"


class _Scale:
    """From values to places in the picture."""

    def __init__(self, *, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = x, y

    def to_x(self, x: float) -> float:
        low, high = self.x
        return _LEFT + (x - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def to_y(self, y: float) -> float:
        low, high = self.y
        share = min(1.0, max(0.0, (y - low) / (high - low)))
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _range(values: Sequence[float], *, is_robust: bool) -> tuple[float, float]:
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    if is_robust and len(ordered) >= _MIN_FOR_OUTLIERS:
        skipped = int(len(ordered) * _OUTLIER_SHARE)
        low, high = ordered[skipped], ordered[-1 - skipped]
    if low == high:
        pad = abs(low) * 0.05 or 1.0
        return low - pad, high + pad
    pad = (high - low) * 0.04 if is_robust else 0.0
    return low - pad, high + pad


def round_ticks(low: float, high: float) -> list[float]:
    """A few round numbers from `low` to `high`."""
    step = (high - low) / _NUM_TICKS
    power = 10.0 ** math.floor(math.log10(step))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def format_tick(value: float, *, is_share: bool, step: float) -> str:
    """`40%`, `2.5`, `12k`, `0.002`."""
    if is_share:
        return f"{100 * value:.0f}%" if step >= 0.01 else f"{100 * value:.1f}%"
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * limit or (abs(value) >= limit and step >= limit / 10):
            return f"{value / limit:g}{unit}"
    decimals = max(0, -math.floor(math.log10(step))) if step < 1 else 0
    text = f"{value:.{min(decimals + 1, 8)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _axes(chart: Chart, scale: _Scale) -> list[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>']
    y_ticks, x_ticks = round_ticks(*scale.y), round_ticks(*scale.x)
    for value in y_ticks:
        text = format_tick(value, is_share=chart.is_y_share, step=_step(y_ticks))
        y = scale.to_y(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for value in x_ticks:
        text = format_tick(value, is_share=chart.is_x_share, step=_step(x_ticks))
        parts.append(
            f'<text class="tick" x="{scale.to_x(value):.1f}" y="{bottom + 17}" text-anchor="middle">{text}</text>'
        )
    middle_x, middle_y = (_LEFT + right) / 2, (_TOP + bottom) / 2
    parts.append(
        f'<text class="label" x="{middle_x:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(chart.x_label)}</text>'
    )
    turned = f'transform="rotate(-90 13 {middle_y:.0f})"'
    parts.append(
        f'<text class="label" x="13" y="{middle_y:.0f}" text-anchor="middle" {turned}>{escape(chart.y_label)}</text>'
    )
    return parts


def _step(ticks: Sequence[float]) -> float:
    return ticks[1] - ticks[0] if len(ticks) > 1 else 1.0


def _mark(number: int, x: float, *, text: str) -> str:
    return (
        f'<g class="mark"><title>{escape(text)}</title><path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>'
        f'<text x="{x + 2:.1f}" y="{_TOP + 9}">{number}</text></g>'
    )


def _curve(series: Series, scale: _Scale, *, kind: str) -> str:
    pieces, is_new, dots = list[str](), True, list[str]()
    for x, y in series.points:
        if not math.isfinite(y):
            is_new = True
            continue
        place = f"{scale.to_x(x):.1f} {scale.to_y(y):.1f}"
        pieces.append(f"{'M' if is_new else 'L'}{place}")
        is_new = False
        if series.has_dots:
            dots.append(f'<circle class="{kind}" cx="{scale.to_x(x):.1f}" cy="{scale.to_y(y):.1f}" r="2.6"/>')
    return f'<path class="curve {kind}" d="{"".join(pieces)}"/>{"".join(dots)}'


def _describe(chart: Chart) -> str:
    """The curves in words: where each begins and ends, and its lowest and highest value."""
    texts = []
    for series in chart.series:
        values = series.finite_values()
        if values:
            extremes = f"lowest {min(values):.4g}, highest {max(values):.4g}"
            texts.append(f"{series.name}: from {values[0]:.4g} to {values[-1]:.4g}, {extremes}")
    return f"{chart.y_label} over {chart.x_label}. " + "; ".join(texts)
