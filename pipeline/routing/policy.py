"""What belongs together, and whom an alert is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipeline.routing.alert import RANKS, Live
from pipeline.routing.config import Config
from pipeline.routing.match import any_glob

ROUTES: Final = ("log", "ticket", "page")


def key_of(config: Config, finding: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a finding groups by: (principal, secret or store; its name; cause).

    Statistics about one principal are one incident whatever they measure; rules that are exempt keep their cause.
    """
    cause = finding["cause"] or finding["detector"] if finding["family"] in config.exempt else ""
    principal, secret = finding["principal"] or "", finding["secret"] or ""
    if secret and (not principal or any_glob(config.by_secret, finding["cause"] or finding["detector"])):
        return "secret", secret, cause
    return ("principal", principal, cause) if principal else ("store", finding["store"] or "", cause)


def route_of(config: Config, alert: Live) -> str:
    """page, ticket or log: by severity, and for a page by how sure it is, who agrees, or that the record is broken."""
    if alert.invariant and alert.covered == alert.count:
        return "log"  # declared beforehand, yet never out of sight
    severity = alert.severity
    serious = severity >= RANKS[config.agree_severity]
    sure = severity >= RANKS[config.page_severity] and alert.confidence >= config.page_confidence
    if sure or (serious and (alert.agreed or alert.integrity)):
        return "page"
    least = RANKS["low"] if alert.admitted else RANKS[config.ticket_severity]
    return "ticket" if severity >= least else "log"
