"""An alert as OCSF 1.8.0 Detection Finding (https://schema.ocsf.io/1.8.0/classes/detection_finding), the one true form.

Every text is bounded and encodable (`_text.plain`). Times are ms of event time, so the same revision is the same bytes
whenever it is sent. What OCSF has no attribute for (route, suppression, finding uids) is under `unmapped`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import metadata
from typing import Any, Final

from pipeline.core.model import Message
from pipeline.core.schema import SEVERITIES
from pipeline.core.text import TEXT_MAX, plain

OCSF_VERSION: Final = "1.8.0"
ATTACK_VERSION: Final = "18"
LIST_MAX: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ACTIVITIES: Final = {"open": (1, "Create"), "closed": (3, "Close")}
_UPDATE: Final = (2, "Update")
_STATUSES: Final = {"suppressed": (3, "Suppressed"), "closed": (4, "Resolved")}
_NEW: Final = (1, "New")
_STATISTICAL: Final = frozenset({"rate", "breadth", "pair", "source", "denial", "silence"})
_NAME, _ADDRESS, _RESOURCE = 4, 2, 10  # observable.type_id: user name, IP address, resource uid


@cache
def product_version() -> str:
    """The installed version of keytrail, "0" when it runs from a folder."""
    try:
        return metadata.version("keytrail")
    except metadata.PackageNotFoundError:
        return "0"


def detection_finding(message: Message, *, text_max: int = TEXT_MAX, list_max: int = LIST_MAX) -> dict[str, Any]:
    """The event of one revision. Texts and lists are cut to what is given, `metadata.is_truncated` says when."""
    alert = _Alert(message, text_max, list_max)
    activity_id, activity = _ACTIVITIES.get(alert.text("state"), _UPDATE)
    severity = alert.severity
    event = {
        "activity_id": activity_id,
        "activity_name": activity,
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": 2004,
        "class_name": "Detection Finding",
        "type_uid": 200400 + activity_id,
        "type_name": f"Detection Finding: {activity}",
        "time": alert.ms("last_time"),
        "start_time": alert.ms("first_time"),
        "end_time": alert.ms("last_time"),
        "severity_id": severity + 1,
        "severity": SEVERITIES[severity].capitalize(),
        **_status(alert),
        **_confidence(alert),
        "is_alert": activity_id != 3 and alert.text("route") != "log" and alert.text("state") != "suppressed",
        "message": alert.text("message"),
        "count": int(alert.row.get("count") or 1),
        "finding_info": _finding_info(alert, message),
        "resources": _resources(alert),
        "evidences": _evidences(alert),
        "observables": _observables(alert),
        "remediation": {"desc": alert.text("next_step")} if alert.text("next_step") else None,
        "unmapped": _unmapped(alert),
    }
    event["metadata"] = _metadata(message, alert)  # last: knows by now whether anything was cut
    return {name: value for name, value in event.items() if value not in (None, [], {})}


class _Alert:
    """A row of schema.ALERT, read with everything bounded."""

    def __init__(self, message: Message, text_max: int, list_max: int) -> None:
        self.row = message.alert
        self.cut = False
        self._text_max, self._list_max = text_max, list_max
        known = self.row.get("severity")
        self.severity = SEVERITIES.index(known) if known in SEVERITIES else 0

    def text(self, name: str) -> str:
        return self._plain(self.row.get(name))

    def texts(self, name: str) -> list[str]:
        values: Sequence[str] = self.row.get(name) or ()
        self.cut |= len(values) > self._list_max
        return [self._plain(value) for value in values[: self._list_max]]

    def ms(self, name: str) -> int:
        moment = self.row.get(name)
        return (moment - _EPOCH) // timedelta(milliseconds=1) if isinstance(moment, datetime) else 0

    def share(self, name: str) -> int:
        return round(100 * min(max(self.row.get(name) or 0.0, 0.0), 1.0))

    def _plain(self, value: object) -> str:
        text = plain(value, self._text_max)
        self.cut |= value is not None and len(text) < len(str(value))
        return text


def _status(alert: _Alert) -> dict[str, Any]:
    status_id, status = _STATUSES.get(alert.text("state"), _NEW)
    detail = alert.text("suppression") or (status_id == 4 and "no further finding within the quiet period") or None
    return {"status_id": status_id, "status": status, "status_detail": detail}


def _confidence(alert: _Alert) -> dict[str, Any]:
    score = alert.share("confidence")
    level = 3 if score >= 80 else 2 if score >= 50 else 1
    return {
        "confidence_id": level,
        "confidence": ("Low", "Medium", "High")[level - 1],
        "confidence_score": score,
        "risk_level_id": alert.severity,
        "risk_level": ("Info", "Low", "Medium", "High", "Critical")[alert.severity],
        "risk_score": alert.share("score"),
    }


def _metadata(message: Message, alert: _Alert) -> dict[str, Any]:
    fixed = {
        "version": OCSF_VERSION,
        "product": {"name": "keytrail", "vendor_name": "keytrail", "version": product_version()},
        "uid": message.event_id,
        "sequence": message.revision,
        "log_name": "alerts",
    }
    return fixed | ({"is_truncated": True} if alert.cut else {})


def _finding_info(alert: _Alert, message: Message) -> dict[str, Any]:
    detectors, evidence = alert.texts("detectors"), alert.texts("evidence")
    kind = _analytic_kind(alert)
    version = alert.text("detector_version")
    analytics = [{"name": name, "uid": name, **kind} for name in detectors]
    info = {
        "uid": message.alert_uid,
        "title": alert.text("title") or alert.text("cause") or "Alert",
        "desc": alert.text("message"),
        "analytic": analytics[0] | ({"version": version} if version else {}) if analytics else None,
        "related_analytics": analytics[1:],
        "attacks": [_attack(technique) for technique in alert.texts("techniques")],
        "types": [alert.text("cause")] if alert.text("cause") else [],
        "data_sources": [alert.text("store")] if alert.text("store") else [],
        "created_time": alert.ms("first_time"),
        "modified_time": alert.ms("last_time"),
        "first_seen_time": alert.ms("first_time"),
        "last_seen_time": alert.ms("last_time"),
        "related_events": [{"uid": uid, "type": "audit event"} for uid in evidence],
        "related_events_count": len(evidence),
    }
    return {name: value for name, value in info.items() if value not in (None, [])}


def _analytic_kind(alert: _Alert) -> dict[str, Any]:
    family = next(iter(alert.texts("families")), "")
    if family == "multivariate":
        return {"type_id": 4, "type": "Learning (ML/DL)"}
    return {"type_id": 3, "type": "Statistical"} if family in _STATISTICAL else {"type_id": 1, "type": "Rule"}


def _attack(technique: str) -> dict[str, Any]:
    whole, _, part = technique.partition(".")
    attack: dict[str, Any] = {"technique": {"uid": whole}}
    if part:
        attack["sub_technique"] = {"uid": technique}
    return attack | {"version": ATTACK_VERSION}


def _resources(alert: _Alert) -> list[dict[str, Any]]:
    secret = alert.text("secret")
    if not secret:
        return []
    return [{"uid": secret, "name": secret, "type": "secret", "role_id": 1, "role": "Target"}]


def _evidences(alert: _Alert) -> list[dict[str, Any]]:
    """Who, from where, and the figures: one artefact, or none when none of it is known."""
    principal, address = alert.text("principal"), alert.text("client_ip")
    figures = {name: alert.text(name) for name in ("observed", "expected") if alert.text(name)}
    evidence: dict[str, Any] = {}
    if principal:
        evidence["actor"] = {"user": {"name": principal, "uid": principal}}
    if address:
        evidence["src_endpoint"] = {"ip": address} if _is_address(address) else {"name": address}
    if figures:
        evidence["data"] = figures
    return [evidence] if evidence else []


def _observables(alert: _Alert) -> list[dict[str, Any]]:
    principal, address, secret = (alert.text(name) for name in ("principal", "client_ip", "secret"))
    named = [
        ("evidences[].actor.user.name", _NAME, "User Name", principal),
        ("evidences[].src_endpoint.ip", _ADDRESS, "IP Address", address if _is_address(address) else ""),
        ("resources[].uid", _RESOURCE, "Resource UID", secret),
    ]
    return [{"name": n, "type_id": i, "type": t, "value": value} for n, i, t, value in named if value]


def _unmapped(alert: _Alert) -> dict[str, Any]:
    texts = {name: alert.text(name) for name in ("state", "route", "suppression") if alert.text(name)}
    lists = {name: alert.texts(name) for name in ("families", "finding_uids") if alert.texts(name)}
    return texts | lists


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # a zone index may be any text at all
