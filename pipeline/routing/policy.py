"""What belongs together, and whom an alert is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipeline.routing.alert import RANKS, Live
from pipeline.routing.config import Config
from pipeline.routing.habits import Standing
from pipeline.routing.match import any_glob

ROUTES: Final = ("log", "ticket", "page")
NEWS: Final = "news"  # the family of mild rules that are news of their principal
SPARE: Final = "spare:"  # before the family of a score that is not strong: it gets what room nobody else wants
NEWS_HALF: Final = 4.0  # so much news scores one half
NEWS_LEAST: Final = 2.5  # less is no news
RARE: Final = 2.0  # on the news of what hardly anybody does


def key_of(config: Config, finding: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a finding groups by: (principal, secret or store; its name; cause).

    Statistics about one principal are one incident whatever they measure; rules that are exempt keep their cause
    (what one principal breaks while an alert about it is open joins it, see Router).
    """
    cause = finding["cause"] or finding["detector"] if finding["family"] in config.exempt else ""
    principal, secret = finding["principal"] or "", finding["secret"] or ""
    if secret and (not principal or any_glob(config.by_secret, finding["cause"] or finding["detector"])):
        return "secret", secret, cause
    return ("principal", principal, cause) if principal else ("store", finding["store"] or "", cause)


def is_habit(finding: Mapping[str, Any], standing: Standing) -> bool:
    """Whether its principal or its kind breaks this rule as a habit, and it is not too grave for that to count."""
    usual = RANKS.get(finding["severity"], 0) <= RANKS["medium"] and (standing.practised or bool(standing.custom))
    return usual or _on_schedule(finding, standing)


def _on_schedule(finding: Mapping[str, Any], standing: Standing) -> bool:
    grave = RANKS.get(finding["severity"], 0) >= RANKS["critical"]
    return standing.scheduled and not standing.elsewhere and not grave


def by_habit(finding: Mapping[str, Any], standing: Standing) -> tuple[Mapping[str, Any], float]:
    """A rule's finding as it counts for its principal, and how much news it is where it is too mild for a ticket.

    What comes on a schedule, from its usual place, is lowered to low, and so is a medium one that is practice; never a
    critical one. It is told all the same, and says why.
    """
    rank = RANKS.get(finding["severity"], 0)
    scheduled = _on_schedule(finding, standing)
    if rank > RANKS["low"] and is_habit(finding, standing):
        habit = f"It did so on {standing.days} of the 28 days before{', at this hour' if scheduled else ''}."
        if not scheduled and not standing.practised:
            habit = f"So did {standing.custom} others of its kind in the 28 days before."
        finding = {**finding, "severity": "low", "message": f"{finding['message']} {habit}"}
        rank = RANKS["low"]
    if rank > RANKS["low"] and standing.scheduled and standing.elsewhere:
        finding = {**finding, "message": f"{finding['message']} It does so at this hour, but never did from there."}
    mild = RANKS["informational"] < rank <= RANKS["low"] and not scheduled
    news = standing.news + (RARE if standing.rare else 0.0)
    if not mild or news < NEWS_LEAST:
        return finding, 0.0
    if standing.rare:
        others = "One other principal" if standing.doers > 1 else "Nobody"
        finding = {**finding, "message": f"{finding['message']} {others} did so in the {standing.rare} days before."}
    return finding, news


def route_of(config: Config, alert: Live) -> str:
    """page, ticket or log: by severity, and for a page by how sure it is, who agrees, or that the record is broken.

    Where families agree on a principal, what is serious by itself pages; what is so by their agreement alone is a
    ticket.
    """
    if alert.invariant and alert.covered == alert.count:
        return "log"  # declared beforehand, yet never out of sight
    severity = alert.severity
    serious = severity >= RANKS[config.agree_severity]
    proven = severity if alert.invariant else alert.rank  # that statistics agree makes none of them certain
    sure = proven >= RANKS[config.page_severity] and alert.confidence >= config.page_confidence
    agreed = alert.agreed and alert.rank >= RANKS[config.agree_severity]
    if sure or agreed or (serious and alert.integrity):
        return "page"
    least = RANKS["low"] if alert.admitted else RANKS[config.ticket_severity]
    return "ticket" if severity >= least else "log"
