"""Numbers of single seeds put together: shares with their intervals, rates, times."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipeline.evaluate.calibration import inflation
from pipeline.evaluate.plan import BUDGETS
from pipeline.evaluate.touched import NONE
from pipeline.evaluate.twins import SUITE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.evaluate.plan import Plan

PROMISED: Final = 5.0  # alerts a day and 1,000 principals at which the headline stands
RULED: Final = 0.9  # of a kind of which a single line of a rule finds as many, there is little to detect
ENTRIES: Final = 2  # audit entries an operation makes: request and response
METHODS: Final = {
    SUITE: "the suite", "rules": "public rules", "rules_allowed": "public rules, allow-list",
    "z_score": "z-score of each principal", "first_seen": "first seen", "first_seen_allowed": "first seen, allow-list",
    "forest": "isolation forest", "forest_allowed": "isolation forest, allow-list", "random": "random",
}  # fmt: skip


SPOKE: Final[dict[str, frozenset[str]]] = {  # classes of detection time, as one speaks of them
    "rules": frozenset(("invariant", "break_glass", "leak_echo")),
    "volume": frozenset(("rate", "breadth", "denials", "enumeration", "auth_pressure", "token_lifecycle")),
    "slow evidence": frozenset(("slow_evidence",)),
}


def wilson(found: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """The interval that holds a share with 95 % certainty (Wilson 1927)."""
    if not asked:
        return 0.0, 1.0
    share, more = found / asked, z * z / asked
    middle = (share + more / 2) / (1 + more)
    reach = z * math.sqrt(share * (1 - share) / asked + more / (4 * asked)) / (1 + more)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def summarize(plan: Plan, measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Everything the page tells, as plain values."""
    days = sum(one["days"] for one in measured)
    people = sum(one["principals"] for one in measured) / len(measured)
    operations = sum(one["operations"] for one in measured)
    names = [name for name in METHODS if any(name in one["methods"] for one in measured)]
    return {
        "plan": msgspec.to_builtins(plan),
        "incidents": sum(len(one["incidents"]) for one in measured),
        "days": days,
        "principals": round(people),
        "operations_a_day": round(operations / days),
        "methods": [_row(name, budget, measured) for name in names for budget in BUDGETS],
        "suite": [_delivered(budget, measured, days, operations) for budget in BUDGETS],
        "families": (families := _families(measured)),
        "unruled": _unruled(names, {row["attack"] for row in families if row["one_line_recall"] < RULED}, measured),
        "difficulties": _difficulties(measured),
        "times": times(measured),
        "calibration": inflation(measured),
        "confusers": _confusers(measured),
        "false_by_detector": dict(_counts(measured, "by_detector").most_common()),
        "marks": _mean([one["marks"] for one in measured if one["marks"] is not None]),
    }


def method_row(result: Mapping[str, Any], name: str = SUITE) -> dict[str, Any] | None:
    """Of a summary: what a method found at PROMISED alerts a day; None where it was not measured."""
    return next((row for row in result["methods"] if row["method"] == name and row["per_day"] == PROMISED), None)


def headline(result: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of a summary, what the suite found at PROMISED alerts a day, and what it cost."""
    found = method_row(result)
    assert found is not None  # noqa: S101  the suite is always measured
    return found, next(row for row in result["suite"] if row["per_day"] == PROMISED)


def _verdicts(measured: Iterable[dict[str, Any]], name: str, budget: float) -> list[dict[str, Any]]:
    return [one["methods"][name][str(budget)] for one in measured if name in one["methods"]]


def _row(name: str, budget: float, measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    each = _verdicts(measured, name, budget)
    caught = [one for verdict in each for one in verdict["caught"]]
    found = sum(one is not None for one in caught)
    watched = sum(one["days"] * one["principals"] / 1000 for one in measured if name in one["methods"])
    low, high = wilson(found, len(caught))
    return {
        "method": name, "per_day": budget, "incidents": len(caught), "found": found,
        "recall": found / max(1, len(caught)), "low": low, "high": high,
        "delivered": sum(v["true"] + v["false"] for v in each) / watched,
    }  # fmt: skip


def _delivered(budget: float, measured: Sequence[dict[str, Any]], days: float, operations: int) -> dict[str, Any]:
    each = _verdicts(measured, SUITE, budget)
    true, false = (sum(v[name] for v in each) for name in ("true", "false"))
    quiet, told = sum(v["quiet"] for v in each), true + false
    watched = sum(one["days"] * one["principals"] / 1000 for one in measured)
    by_day = sorted(
        count * 1000 / one["principals"] for one, v in zip(measured, each, strict=True) for count in v["by_day"]
    )
    return {
        "per_day": budget, "true": true, "false": false, "delivered": told / watched,
        "ratio": told / watched / budget, "quiet": quiet / watched, "quiet_ratio": quiet / watched / budget,
        "worst_day": by_day[-1], "p95_day": by_day[int(0.95 * (len(by_day) - 1))],
        "precision": true / max(1, told),
        "false_per_entry": quiet / (operations * ENTRIES), "false_per_principal_day": quiet / (watched * 1000),
        "pages": sum(v["pages"] for v in each), "explained": sum(v["explained"] for v in each) / max(1, told),
        "repeated": sum(v["repeated"] for v in each) / max(1, told), "days": days,
    }  # fmt: skip


def _incidents(
    measured: Iterable[dict[str, Any]], name: str = SUITE
) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Every incident with how a method found it at the promised allowance, where it was measured."""
    ours = [one for one in measured if name in one["methods"]]
    return [
        pair
        for one, verdict in zip(ours, _verdicts(ours, name, PROMISED), strict=True)
        for pair in zip(one["incidents"], verdict["caught"], strict=True)
    ]


def _families(measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    pairs = _incidents(measured)
    for attack in sorted({label["attack"] for label, _ in pairs}):
        mine = [(label, caught) for label, caught in pairs if label["attack"] == attack]
        found = sum(caught is not None for _, caught in mine)
        low, high = wilson(found, len(mine))
        detectors = Counter(name for _, caught in mine if caught for name in caught["detectors"])
        rules = Counter(rule for label, _ in mine for rule in label["one_line"].split("; ") if rule)
        best = max(rules.items(), key=lambda pair: (pair[1], pair[0]), default=("", 0))
        rungs = {
            rung: [sum(c is not None for label, c in mine if label["difficulty"] == rung),
                   sum(label["difficulty"] == rung for label, _ in mine)]
            for rung in dict.fromkeys(label["difficulty"] for label, _ in mine)
        }  # fmt: skip
        rows.append(
            {"attack": attack, "incidents": len(mine), "found": found, "low": low, "high": high, "rungs": rungs,
             "detectors": [name for name, _ in detectors.most_common(3)],
             "one_line": best[0], "one_line_recall": best[1] / len(mine)}
        )  # fmt: skip
    return rows


def _unruled(names: Sequence[str], kinds: set[str], measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each method finds, at the promised allowance, of the kinds that no single line of a rule finds."""
    rows = []
    for name in names:
        caught = [found for label, found in _incidents(measured, name) if label["attack"] in kinds]
        found = sum(one is not None for one in caught)
        low, high = wilson(found, len(caught))
        rows.append(
            {"method": name, "kinds": len(kinds), "incidents": len(caught), "found": found, "low": low, "high": high}
        )
    return rows


def _difficulties(measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    pairs = _incidents(measured)
    for rung in dict.fromkeys(label["difficulty"] for label, _ in pairs):
        mine = [caught for label, caught in pairs if label["difficulty"] == rung]
        found = sum(caught is not None for caught in mine)
        low, high = wilson(found, len(mine))
        rows.append({"difficulty": rung, "incidents": len(mine), "found": found, "low": low, "high": high})
    return rows


def times(measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Seconds from the first request, and from complete evidence, to the alert, and requests until then.

    By what spoke: the first of SPOKE, else novelty; the last row is of all.
    """
    groups: dict[str, list[dict[str, Any]]] = {name: [] for name in (*SPOKE, "novelty", "all")}
    for _, caught in _incidents(measured):
        if caught is not None:
            spoke = (name for name, detectors in SPOKE.items() if not detectors.isdisjoint(caught["detectors"]))
            groups[next(spoke, "novelty")].append(caught)
            groups["all"].append(caught)
    return [{"by": name, "found": len(each), **_spread(each)} for name, each in groups.items() if each]


def _spread(each: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {
        f"{what}_p{round(100 * share)}": _quantile([one[what] for one in each], share)
        for what in ("seconds", "waited", "accesses")
        for share in (0.5, 0.95)
    }


def _confusers(measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """`days` are those of the principals it touched, `others` the false alerts of as many untouched ones."""
    happened: Counter[str] = Counter()
    days: Counter[str] = Counter()
    for one in measured:
        happened.update(one["confusers"])
        days.update(one["touched"])
    alerts = _counts(measured, "by_confuser")
    rate = alerts[NONE] / days[NONE] if days[NONE] else 0.0
    return [
        {"confuser": name, "happened": happened[name], "alerts": alerts[name], "days": round(days[name], 1),
         "others": round(rate * days[name], 2)}
        for name in (*sorted(happened), NONE)
    ]  # fmt: skip


def beyond(row: Mapping[str, Any]) -> float:
    """False alerts of a confuser, each time it happened, beyond those that as many others had in as long a time."""
    return float((row["alerts"] - row["others"]) / row["happened"])


def _counts(measured: Sequence[dict[str, Any]], name: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for verdict in _verdicts(measured, SUITE, PROMISED):
        total.update(verdict[name])
    return total


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1 if share * len(ordered) >= 1 else 0]
