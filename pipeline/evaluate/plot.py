"""Recall against alerts a day as an SVG, with nothing but text."""

from __future__ import annotations

import math
from typing import Any, Final

from pipeline.evaluate.plan import BUDGETS
from pipeline.evaluate.summary import METHODS
from pipeline.evaluate.twins import SUITE

_LEFT, _TOP, _WIDE, _HIGH = 60.0, 30.0, 460.0, 300.0
_COLOURS: Final = {
    SUITE: "#0b5fa5", "rules": "#a14a00", "rules_allowed": "#c98a00", "z_score": "#6b4c9a", "first_seen": "#2e7d32",
    "first_seen_allowed": "#00838f", "forest": "#b0317a", "forest_allowed": "#5d4037", "random": "#777777",
}  # fmt: skip


def _x(per_day: float) -> float:
    low, high = math.log(BUDGETS[0]), math.log(BUDGETS[-1])
    return _LEFT + _WIDE * (math.log(per_day) - low) / (high - low)


def _y(share: float) -> float:
    return _TOP + _HIGH * (1 - share)


def svg(result: dict[str, Any]) -> str:
    """One line a method; the band is the interval of the suite."""
    by_method: dict[str, list[dict[str, Any]]] = {}
    for row in result["methods"]:
        by_method.setdefault(row["method"], []).append(row)
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 400" font-family="sans-serif" font-size="12">',
        "<title>Incidents found, by alerts a day and 1,000 principals</title>",
        '<rect width="760" height="400" fill="white"/>',
        *_axes(),
    ]
    band = by_method.get(SUITE, [])
    edge = [(_x(r["per_day"]), _y(r["high"])) for r in band] + [(_x(r["per_day"]), _y(r["low"])) for r in band[::-1]]
    parts.append(f'<polygon points="{_points(edge)}" fill="{_COLOURS[SUITE]}" fill-opacity="0.15"/>')
    for i, (name, rows) in enumerate(by_method.items()):
        line = _points([(_x(row["per_day"]), _y(row["recall"])) for row in rows])
        wide = 3 if name == SUITE else 1.5
        parts.append(f'<polyline points="{line}" fill="none" stroke="{_COLOURS[name]}" stroke-width="{wide}"/>')
        at = _TOP + 14 + 20 * i
        parts.append(f'<rect x="536" y="{at - 9:.0f}" width="14" height="4" fill="{_COLOURS[name]}"/>')
        parts.append(f'<text x="556" y="{at - 3:.0f}">{METHODS[name]}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _axes() -> list[str]:
    lines = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(share)
        lines.append(f'<line x1="{_LEFT}" x2="{_LEFT + _WIDE}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for budget in BUDGETS:
        lines.append(f'<text x="{_x(budget):.1f}" y="{_TOP + _HIGH + 20}" text-anchor="middle">{budget:g}</text>')
    middle = _LEFT + _WIDE / 2
    lines.append(
        f'<text x="{middle}" y="{_TOP + _HIGH + 44}" text-anchor="middle">alerts a day and 1,000 principals</text>'
    )
    return lines


def _points(pairs: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)
