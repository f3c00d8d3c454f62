"""For those who answer for the stores: are promises kept, what is at risk, how does use grow."""

from __future__ import annotations

from typing import Final

from pipeline.dashboards.panels import BAD, GOOD, WARN, Board, Panel, Query, Row, ratio
from pipeline.dashboards.queries import BROKEN, HERE, SPAN, bad, left, share, total

_BUDGET: Final = ((0, BAD), (0.0001, WARN), (0.25, GOOD))
_NONE: Final = ((0, GOOD), (0.5, BAD))
_ALERTS: Final = "keytrail_routing_alerts_total"


def _alerts(severity: str) -> str:
    return f'round(sum(increase({_ALERTS}{{{HERE}, severity="{severity}"}}[{SPAN}])))'


def _verdicts(words: str) -> str:
    return f'round(sum(increase(keytrail_integrity_verdicts_total{{{HERE}, verdict=~"{words}"}}[{SPAN}])))'


_PROMISES: Final = Row("Promises", (
    Panel(
        "Reads that succeed (M1)",
        "Successful reads of those that succeeded or failed in the store, over the whole time shown. Denied and not"
        " found stand apart: they are the client's. The objective is 99.9 % unless it was set otherwise.",
        "percentunit", (Query(share("M1", SPAN), "{{store}}"),), "stat", 6, 5,
        ((0, BAD), (0.99, WARN), (0.999, GOOD)), most=1,
    ),
    Panel(
        "Error budget left (M1)",
        "Of the failures that the objective allows over the time shown, the share not yet used. Show 30 days to see the"
        " budget of the period. None left: stop what is risky.",
        "percentunit", (Query(left("M1", SPAN), "{{store}}"),), "stat", 6, 5, _BUDGET, most=1,
    ),
    Panel(
        "Operations fast enough (M2)",
        "Operations answered within the objective's milliseconds (200 unless set otherwise), measured inside the store;"
        " network and client are not in it. 95 % is what is promised.",
        "percentunit", (Query(share("M2", SPAN), "{{store}}"),), "stat", 6, 5,
        ((0, BAD), (0.9, WARN), (0.95, GOOD)), most=1,
    ),
    Panel(
        "Error budget left (M2)",
        "Of the slow operations that the objective allows over the time shown, the share not yet used.",
        "percentunit", (Query(left("M2", SPAN), "{{store}}"),), "stat", 6, 5, _BUDGET, most=1,
    ),
    Panel(
        "Error budgets over time",
        "What was left of the budget of the 30 days before each moment, for every SLI that has an objective. Needs"
        " that much history in Prometheus.",
        "percentunit", (Query(left(".+", "30d"), "{{sli}} {{store}}"),), width=24, most=1, interval="1h",
        steps=((0, BAD), (0.25, WARN)),
    ),
))  # fmt: skip

_RISK: Final = Row("Risk", (
    Panel(
        "Rotations done (M3)",
        "Of rotations that were asked for, and of those due by a declared lifetime, the share that was done. 99 % is"
        " the objective; nothing is shown where nothing was asked for or due.",
        "percentunit", (Query(share("M3", SPAN), "{{store}}"),), "stat", 6, 4, ((0, BAD), (0.95, WARN), (0.99, GOOD)),
        most=1,
    ),
    Panel(
        "Expired and still read (M5)",
        "Reads of secrets past the lifetime declared for them. Nothing is shown where no lifetime is declared.",
        "none", (Query(f"round({bad('M5', SPAN, 'store')})", "{{store}}"),), "stat", 6, 4, _NONE,
    ),
    Panel(
        "Critical alerts", "Alerts of severity critical that were opened in the time shown. `keytrail alerts` lists"
        " them.",
        "none", (Query(_alerts("critical")),), "stat", 6, 4, _NONE,
    ),
    Panel(
        "High alerts", "Alerts of severity high that were opened in the time shown.",
        "none", (Query(_alerts("high")),), "stat", 6, 4, _NONE,
    ),
    Panel(
        "Breaks in the record (M7)",
        "Places where the audit record is not whole: entries missing, altered, doubled, out of order, torn or without"
        " their other half. Until they are explained nobody can say what happened there.",
        "none", (Query(_verdicts(BROKEN)),), "stat", 6, 4, _NONE,
    ),
    Panel(
        "Secret values in the log (M6)",
        "Streams in which a device logged values in clear. They never reach the lake; where they were written they"
        " still lie, and should be rotated.",
        "none", (Query(_verdicts("in_clear")),), "stat", 6, 4, _NONE,
    ),
    Panel(
        "Indicators",
        "The share that was good in the time shown, of every SLI that counts good and total (docs/slis.md).",
        "percentunit", (Query(share(".+", SPAN), "{{sli}} {{store}}"),), "bargauge", 12, 4, most=1,
    ),
    Panel(
        "Alerts opened a day", "By severity. A growing floor of high ones is a trend, a single bar an incident.",
        "none", (Query(total(_ALERTS, "1d", "severity", chosen=HERE), "{{severity}}"),), width=12,
        stacked=True, interval="1d",
    ),
    Panel(
        "What was found most", "The detectors that opened most alerts in the time shown. `keytrail detectors explain"
        " NAME` tells what each looks for.",
        "none", (Query(f"topk(10, round({total(_ALERTS, SPAN, 'detector', chosen=HERE)}) > 0)", "{{detector}}"),),
        "bargauge", 12,
    ),
))  # fmt: skip

_OPERATIONS: Final = "keytrail_line_operations_total"
_USE: Final = Row("Use", (
    Panel(
        "Operations an hour", "Everything asked of each store, whatever came of it.",
        "short", (Query(total(_OPERATIONS, "1h", "store"), "{{store}}"),), width=12, interval="1h",
    ),
    Panel(
        "Refused", "The share of operations refused by policy or authentication. It should fall; scanners and health"
        " checks are in it.",
        "percentunit",
        (Query(ratio(total(_OPERATIONS, "1h", "store", where='outcome="denied"'), total(_OPERATIONS, "1h", "store")),
               "{{store}}"),),
        width=12, interval="1h",
    ),
))  # fmt: skip

BOARD: Final = Board(
    "executive",
    "keytrail: executive",
    "Are the secret stores' promises kept, what is at risk, how does use grow.",
    (_PROMISES, _RISK, _USE),
    "30d",
    "15m",
)
