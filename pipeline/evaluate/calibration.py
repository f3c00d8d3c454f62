"""Whether probabilities come true: what detectors counted of their own levels among what is harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.core.ports import Detector

Checks = dict[
    str, dict[str, float]
]  # how often each nominal level came true, by what counts; "1" is all that was asked
_CHECKED = ".checked"


def checks(detectors: Iterable[Detector]) -> Checks:
    """Of every detector whose state has a frame of that name (columns nominal and n)."""
    return {
        f"{detector.info.name}, {name.removesuffix(_CHECKED)}": {
            f"{nominal:g}": n for nominal, n in frame.select("nominal", "n").iter_rows()
        }
        for detector in detectors
        if hasattr(detector, "snapshot")
        for name, frame in detector.snapshot().items()
        if name.endswith(_CHECKED)
    }


def since(then: Checks, now: Checks) -> Checks:
    """What was added."""
    return {of: {level: n - then[of][level] for level, n in levels.items()} for of, levels in now.items()}


def inflation(measured: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Over all estates, by what counts: how many tests; how often each level came true, and over its nominal share."""
    sums: Checks = {}
    for one in measured:
        for of, levels in one["checks"].items():
            mine = sums.setdefault(of, {})
            for level, n in levels.items():
                mine[level] = mine.get(level, 0.0) + n
    return [
        {
            "of": of,
            "tests": round(levels["1"]),
            "hits": {level: round(n) for level, n in levels.items() if level != "1"},
            "inflation": {
                level: n / levels["1"] / float(level) for level, n in levels.items() if level != "1" and levels["1"]
            },
        }
        for of, levels in sorted(sums.items())
    ]
