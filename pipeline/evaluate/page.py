"""The page a reader gets: docs/detection.md, made from the numbers and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.evaluate.goals import goals, span
from pipeline.evaluate.plan import BUDGETS
from pipeline.evaluate.summary import METHODS, PROMISED, beyond, headline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INTRODUCTION = """\
# How good the detection is

Made by `keytrail evaluate` from detection.json beside it; a test holds the two together.

Every estate is simulated twice from the same random stream, with its attacks and without. The real windows, detectors,
profiles and router see both, from the first day on, with thresholds that know the past alone. An alert is what the
router delivers as ticket or page. It is true when the twin without attacks does not have it, and it lies in an
incident's time (from an hour before it to a day after) and touches its principal, one of its requests or, where many
share the principal, one of its secrets; every other alert is false. An incident is found when an alert says something
with such evidence in it: what an open alert takes in without a word is not. All harmless look-alikes (confusers) are
on. Intervals are Wilson's, 95 %.

The same hands wrote attacks and detectors. These figures tell how the suite does on behaviour it was built against, on
estates it never saw; they are no promise for behaviour nobody thought of. Real estates have more that is harmless and
new: here a principal's secrets stay the same between deployments, an ordinary token keeps its address, and what is
rare in the log (deleted versions, orphaned tokens, audit devices changed) is done by attackers alone. The suite is
told which secrets are bait, as an operator would; the emergency account is known by its name, `break-glass`.
`audit_cut` shows in the bytes of the log alone and is tested there, not here (see integrity.md).
`dead_token`, `forged_certificate`, `kept_token`, `spilled_password` and `unhashed` are younger than these figures: they
are staged where they are named (`--attack`), and not counted here.
All estates are of Vault: what detectors tell of clouds and clusters alone is held to its cases, and not measured here.
False alerts of two of the estates (904 and 905) were looked at while detectors were written; the other twenty, where
557 of 560 were found, were only measured.
"""

TIMES = """\
## How soon

By what spoke of the incident: one of keytrail's own rules if any did, else counts (`rate`, `breadth`, `denials`,
`enumeration`, `auth_pressure`, `token_lifecycle`), else slow evidence, else what is new or absent.

*From the first request* to the alert: until so many requests are made, there is nothing to count, and the figures hold
the attacker's own time as well. *From complete evidence* to the alert: what the suite let wait. Evidence is complete at
the first moment at which the detector whose finding made the alert, asked about what its window held until then, would
have said the same with whatever score; where it says nothing before a window is over, at the window's start; of a
single operation, when that was complete. So it holds the time until somebody looks at an open window, and that in which
a score was still too low for one of the day's alerts. Times are those of the log. What the line adds is told in
performance.md: half a second to bring the streams into one order, as long for what other devices tell of an
operation (both can be set), and its own work.
"""


def page(result: dict[str, Any]) -> str:
    """Markdown."""
    sections = (_setup, _beside, _promised, _kinds, _times, _false, _calibration, _marks)
    parts = [INTRODUCTION, *(section(result) for section in sections)]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def _setup(result: dict[str, Any]) -> str:
    best, at = headline(result)
    held = [(*told, "met" if held else "**missed**") for *told, held in goals(result)]
    return f"""\
## What was measured

{_setting(result)}

At {PROMISED:g} alerts a day and 1,000 principals:

{table(("figure", "value"), _headline(result, best, at))}

Goals, at the same allowance:

{table(("goal", "aim", "measured", ""), held)}

What less history, losses and incidents in the history cost is told in conditions.md."""


def _beside(result: dict[str, Any]) -> str:
    return f"""\
## Beside naive methods

Share of incidents found, by alerts a day and 1,000 principals. The naive methods pass the same router with the same
allowance, and judge the day of each principal hour by hour, after a week in which they only learn. The allow-list
(builds, jobs, scanner, rotator, sync, backup) is right by construction. *Public rules* are those of published packs for
Vault, OpenBao and cloud secret stores, by their severity, less where a principal hits one daily. *z-score* is the
highest of reads, refusals and different secrets, against the principal's own working days or weekends. *First seen*
weighs a principal's new secrets, networks, acts and hours by how rarely any come to it and to that place. The
*isolation forest* sees thirteen counts of the day and how far each is above the principal's own days.
{_measured_on(result)}
![Incidents found by alerts a day](detection.svg)

{_methods(result)}"""


def _measured_on(result: dict[str, Any]) -> str:
    """Where the naive methods were not measured on every estate."""
    few = min(row["incidents"] for row in result["methods"])
    return (
        ""
        if few == result["incidents"]
        else f"""
They were measured on a part of the estates, with {few} of the {result["incidents"]} incidents; the suite on all.
"""
    )


def _promised(result: dict[str, Any]) -> str:
    head = ("promised a day", "delivered", "ratio", "without attacks", "p95 day", "worst day", "false per entry",
            "pages, false")  # fmt: skip
    return f"""\
## Promised and delivered

Room that is left over is filled with what is not strong for its family (`[alerts] strong`); where fewer are delivered
than promised all the same, detectors had no more to say that is above their families' floors.

{table(head, [_allowance(row) for row in result["suite"]])}"""


def _kinds(result: dict[str, Any]) -> str:
    rungs = [(r["difficulty"], r["incidents"], share(r), interval(r)) for r in result["difficulties"]]
    unruled = [
        (METHODS[r["method"]], share(r), f"{r['found'] / max(1, r['incidents']):.1%}", interval(r))
        for r in result["unruled"]
    ]
    return f"""\
## By kind of attack

At {PROMISED:g} a day. The last columns: the best one-line rule over single operations that costs no more than five
principal-days a day, and what it would find; where that is nearly all, the attack is a matter of rules.

{_families(result)}

{table(("difficulty", "incidents", "found", "interval"), rungs)}

Missed most: {_missed(result)}.

Of the {result["unruled"][0]["kinds"]} kinds of which no single line finds nine in ten, at {PROMISED:g} a day:

{table(("method", "found", "share", "interval"), unruled)}"""


def _false(result: dict[str, Any]) -> str:
    rows = [
        (r["confuser"], r["happened"] or "", f"{r['days']:,.0f}", r["alerts"], f"{r['others']:.1f}", _each_time(r))
        for r in result["confusers"]
    ]
    return f"""\
## False alerts

By what happened at the time to the principal they are about, and by the detector that spoke first. Where several things
happened it is the rarest. What lasts to the end of the run once it has come (`dst`, `scale_out`, `sdk_upgrade`,
`vpn_change`, `reorg`) is given all that is told of those principals until then, so beside it stands what as many
principals to whom nothing happened are told of in as long a time; the last column is the difference for each happening.
Alerts about nobody in particular are with `none`, so what others are told of is somewhat high.

{table(("confuser", "happened", "principal-days", "false alerts", "of as many others", "more, each time"), rows)}

{table(("detector", "false alerts"), list(result["false_by_detector"].items()))}"""


def _marks(result: dict[str, Any]) -> str:
    if result["marks"] is None:
        return ""
    return f"""\
## Whether the test is one

A classifier that sees digits of request ids and times alone tells attacks from the rest with an area under the curve
of {result["marks"]:.3f} (chance: 0.5)."""


def _calibration(result: dict[str, Any]) -> str:
    rows = result["calibration"]
    if not rows:
        return ""
    levels = list(dict.fromkeys(level for row in rows for level in row["inflation"]))
    told = [(row["of"], f"{row['tests']:,}", *(_came_true(row, level) for level in levels)) for row in rows]
    figures = table(("count", "tests", *(f"at {level}" for level in levels)), told)
    return f"""\
## Whether probabilities come true

How often a level came true in the twin without attacks, over how often it says: 1 is exact, above it tells too much,
below it too little; in brackets, how many times it came true where that was fewer than a hundred: below ten the ratio
tells little. A test is one principal, secret or address in one hour, of those that were seen in enough hours before.
Its probability is conformal: known by how often the same kind came to it before, and as learned by then. What is below
its own peak, or too small to tell, is no surprise at all, so levels of one in a hundred are never reached by the rest.

{figures}"""


def _came_true(row: dict[str, Any], level: str) -> str:
    if level not in row["inflation"]:
        return ""
    hits = row["hits"][level]
    return f"{row['inflation'][level]:.2g}" + (f" ({hits})" if hits < 100 else "")


def _setting(result: dict[str, Any]) -> str:
    plan = result["plan"]
    seeds = ", ".join(map(str, plan["seeds"]))
    missing = result["asked"] - len(plan["seeds"])
    lost = f" Of all operations, {plan['loss']:.0%} are lost." if plan.get("loss") else ""
    off = f" The nodes' clocks are off by up to {skew:g} minutes." if (skew := plan.get("skew_minutes")) else ""
    spoiled = (
        f" In the days before, {before:.1%} of the principals had incidents." if (before := plan.get("spoiled")) else ""
    )
    broken_off = f" Broken off: {missing} of {result['asked']} estates were not measured." if missing else ""
    return (
        f"Preset `{plan['preset']}`, {result['principals']:,} principals, {result['operations_a_day']:,} operations a"
        f" day, two audit entries each. {len(plan['seeds'])} estates (seeds {seeds}):\n{plan['learn_days']} quiet days,"
        f" then {plan['test_days']} days with incidents at a rate of {plan['per_day']:g} a day and 1,000 principals."
        f" {result['incidents']} incidents in all, of\n{len(result['families'])} kinds, difficulties"
        f" {', '.join(str(r['incidents']) + ' ' + r['difficulty'] for r in result['difficulties'])}."
        f"{lost}{off}{spoiled}{broken_off}"
    )


def _headline(result: dict[str, Any], best: dict[str, Any], at: dict[str, Any]) -> list[tuple[str, str]]:
    each = [row["found"] / row["incidents"] for row in result["families"]]
    return [
        ("incidents found", f"{best['found']} of {best['incidents']} ({best['recall']:.1%}, {interval(best)})"),
        ("the same, each kind counting alike", f"{sum(each) / len(each):.1%}"),
        ("alerts delivered a day and 1,000 principals", f"{at['delivered']:.2f} ({at['ratio']:.2f} of promised)"),
        ("the same in the twin without attacks", f"{at['quiet']:.2f}"),
        ("delivered alerts that are true", f"{at['precision']:.1%}"),
        ("false alerts per audit entry", f"{at['false_per_entry']:.1e}"),
        ("false alerts per principal and day", f"{at['false_per_principal_day']:.4f}"),
        ("false pages", str(at["pages"])),
        ("alerts with a whole explanation", f"{at['explained']:.1%}"),
        ("alerts about somebody who had one within a day", f"{at['repeated']:.1%}"),
    ]


def _methods(result: dict[str, Any]) -> str:
    rows = []
    for name in METHODS:
        mine = [row for row in result["methods"] if row["method"] == name]
        if mine:
            at = next(row for row in mine if row["per_day"] == PROMISED)
            rows.append((METHODS[name], *(f"{row['recall']:.1%}" for row in mine), f"{at['delivered']:.1f}"))
    return table(("method", *(f"{b:g}/d" for b in BUDGETS), f"delivered at {PROMISED:g}"), rows)


def _allowance(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['per_day']:g}", f"{row['delivered']:.2f}", f"{row['ratio']:.2f}", f"{row['quiet']:.2f}",
        f"{row['p95_day']:.0f}", f"{row['worst_day']:.0f}", f"{row['false_per_entry']:.1e}", str(row["pages"]),
    )  # fmt: skip


def _families(result: dict[str, Any]) -> str:
    rungs = list(dict.fromkeys(rung for row in result["families"] for rung in row["rungs"]))
    rows = [
        (row["attack"], share(row), interval(row),
         *("/".join(map(str, row["rungs"][rung])) if rung in row["rungs"] else "" for rung in rungs),
         ", ".join(row["detectors"]), f"`{row['one_line']}`" if row["one_line"] else "none",
         f"{row['one_line_recall']:.0%}")
        for row in result["families"]
    ]  # fmt: skip
    return table(("attack", "found", "interval", *rungs, "by", "best single line", "finds"), rows)


def _times(result: dict[str, Any]) -> str:
    rows = result["times"]
    spans = {"seconds": "from the first request", "waited": "from complete evidence"}
    head = ("found by", "incidents", *(w for words in spans.values() for w in (f"{words}, p50", "p95")))
    lines = [
        (r["by"], r["found"], *(span(r[f"{name}_{share}"]) for name in spans for share in ("p50", "p95")),
         r["accesses_p50"], r["accesses_p95"])
        for r in rows
    ]  # fmt: skip
    return f"{TIMES}\n{table((*head, 'accesses before, p50', 'p95'), lines)}"


def _missed(result: dict[str, Any]) -> str:
    worst = sorted(
        ((each[0] / each[1], row["attack"], rung, each) for row in result["families"]
         for rung, each in row["rungs"].items() if each[0] < each[1]),
        key=lambda one: one[:3],
    )  # fmt: skip
    return ", ".join(f"{attack} {rung} ({each[0]}/{each[1]})" for _, attack, rung, each in worst[:12]) or "nothing"


def share(row: Mapping[str, Any]) -> str:
    """Found of how many."""
    return f"{row['found']}/{row['incidents']}"


def interval(row: Mapping[str, Any]) -> str:
    """From `low` to `high`; of fewer than a hundred incidents in whole percents."""
    return (
        f"{row['low']:.0%} to {row['high']:.0%}" if row["incidents"] < 100 else f"{row['low']:.1%} to {row['high']:.1%}"
    )


def _each_time(row: Mapping[str, Any]) -> str:
    return f"{beyond(row):.2g}" if row["happened"] else ""


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)
