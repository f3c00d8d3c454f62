"""A few rows of every view, made by hand, from which what each report says can be worked out on paper.

The period is two weeks from Monday, 2 March 2026. `at(3, 14)` is 14:00 of its third day, 4 March.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import duckdb
import polars as pl

from pipeline.core.schema import conform, empty
from pipeline.store.tables import TABLES, VIEWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START: Final = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
END: Final = START + dt.timedelta(days=14)

Row = dict[str, Any]
Rows = list[Row]
Moment = dt.datetime | None


def at(day: int, hour: int = 0, minute: int = 0) -> dt.datetime:
    """A moment, by the day of the period it is in; days before the first are 0 and below."""
    return START + dt.timedelta(days=day - 1, hours=hour, minutes=minute)


DENIED: Final = "permission denied"


def op(time: dt.datetime, principal: str, secret: str, operation: str = "read", **more: Any) -> Row:
    """One operation of the Vault store that succeeded, unless `more` says otherwise."""
    uid = f"{time:%m%d%H%M}-{principal}-{secret or more.get('path')}-{operation}"
    given = {
        "uid": uid, "time": time, "store": "vault", "operation": operation, "api_operation": operation,
        "principal": principal, "principal_type": "human" if "@" in principal else "service", "secret": secret,
        "client_ip": "10.0.0.1", "namespace": "", "mount": "kv/", "outcome": "success", "correlation_uid": f"c-{uid}",
        "path": secret.replace("kv/", "kv/data/", 1),
    }  # fmt: skip
    return given | more


def refused(time: dt.datetime, principal: str, secret: str, error: str | None = DENIED, **more: Any) -> Row:
    """One operation that was denied."""
    return op(time, principal, secret, **{"outcome": "denied", "error": error} | more)


def view(rows: Mapping[str, Rows]) -> duckdb.DuckDBPyConnection:
    """A stock DuckDB with every view of the lake; those not named are empty. Its time zone is far from UTC."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'Pacific/Auckland'")
    for name in VIEWS:
        if name in TABLES:
            table = TABLES[name]
            given = pl.DataFrame(rows[name], infer_schema_length=None) if rows.get(name) else empty(table.columns)
            connection.register(name, conform(given, table.columns).select(table.view).to_arrow())
    return connection


def seen(operations: Sequence[Row], source: str = "audit.log") -> Rows:
    """The event of each operation, with a leaf."""
    return [row | {"source": source, "phase": "single", "leaf_index": i} for i, row in enumerate(operations)]


SECRETS: Final[Rows] = [
    # rotated every four days by a bot, read by two, and late since the fifth time
    *(op(at(d, 1), "approle/bot", "kv/app/db", "write", secret_version=20 + d) for d in (-20, -16, -12, -8, -4, 0)),
    op(at(0, 1, 5), "approle/bot", "kv/app/db", "rotate"),
    op(at(2), "approle/app", "kv/app/db", discloses_value=True),
    op(at(3), "approle/app", "kv/app/db"),
    op(at(3, 1), "ada@example.com", "kv/app/db"),
    refused(at(4), "approle/bot", "kv/app/db", operation="write", error="1 error occurred:\n\t* permission denied\n\n"),
    # every week, and the last time in the period: in time
    *(op(at(day, 2), "approle/bot", "kv/app/tls", "rotate") for day in (-11, -4, 3, 10)),
    # written once, and its metadata later; eleven readers
    op(at(1, 3), "ada@example.com", "kv/shared", "write", secret_version=1),
    op(at(2, 3), "ada@example.com", "kv/shared", "write", path="kv/metadata/shared"),
    *(op(at(5, n), f"approle/reader-{n:02}", "kv/shared") for n in range(11)),
    # last used a hundred days before the end; used after the end; only refused
    op(END - dt.timedelta(days=100), "approle/app", "kv/old"),
    op(END, "approle/app", "kv/later"),
    refused(at(6), "approle/app", "kv/ghost"),
    # taken out of use
    op(at(2), "approle/app", "kv/gone"),
    op(at(7), "ada@example.com", "kv/gone", "delete"),
    # another store, which has neither mount nor namespace
    op(
        at(8), "payments@proj.iam.gserviceaccount.com", "projects/1/secrets/card", store="gcp", namespace=None,
        mount=None, path="projects/1/secrets/card/versions/latest", client_ip=None,
    ),
]  # fmt: skip

DENIALS: Final[Rows] = [
    op(at(-3), "approle/app", "kv/app/db"),
    *(refused(at(day, 5), "approle/app", "kv/app/db", client_ip=f"10.0.0.{day}") for day in (1, 2, 3, 7)),
    op(at(9), "approle/app", "kv/app/db"),
    refused(at(10), "approle/app", "kv/app/db"),
    refused(at(2), "approle/app", "kv/app/db", operation="write"),
    refused(at(3), "anonymous", "", path="auth/token/lookup-self", operation="auth"),
    refused(at(3), "userpass/jo", "", "invalid username or password", path="auth/userpass/login/jo", operation="auth"),
    refused(at(4), "userpass/jo", "", "user is locked out", path="auth/userpass/login/jo", operation="auth"),
    refused(at(4), "approle/app", "", "wrapping token is not valid or does not exist", path="sys/wrapping/unwrap"),
    refused(at(5), "arn:aws:iam::1:role/x", "prod/db", "AccessDenied", store="aws", namespace=None, mount=None),
    refused(at(5), "arn:aws:iam::1:role/x", "prod/db", "ExpiredTokenException", store="aws", namespace=None),
    refused(at(6), "system:anonymous", "ns/token", store="kubernetes", error="Unauthorized"),
    refused(at(6), "spn", "vault1/key", store="azure", error=None, client_ip=None),
    refused(at(6), "spn", "vault1/key", store="azure", error="so it was decided"),
    op(at(6), "approle/app", "kv/app/db", outcome="failure", error="internal error"),
    refused(at(0), "approle/app", "kv/before"),
    refused(END, "approle/app", "kv/after"),
]  # fmt: skip

PRIVILEGES: Final[Rows] = [
    op(at(1), "root", "kv/app/db", principal_type="root"),
    op(at(1, 1), "root", "kv/app/db", principal_type="root", client_ip="10.0.0.2"),
    op(at(2), "userpass/break-glass", "", "list", path="sys/auth"),
    op(at(2), "userpass/emergency", "", "list", path="sys/auth"),
    op(at(3), "ada@example.com", "", "audit_control", path="sys/audit/file", api_operation="delete"),
    refused(at(3), "ada@example.com", "", operation="policy", path="sys/config/auditing/request-headers/X"),
    op(at(3), "ada@example.com", "", "seal", path="sys/seal", api_operation="update"),
    op(at(3), "ada@example.com", "", "rotate", path="sys/rotate/keyring", api_operation="update"),
    op(at(4), "approle/backup", "", path="sys/storage/raft/snapshot"),
    op(at(4, 2), "approle/backup", "", path="sys/storage/raft/snapshot", outcome="failure"),
    op(at(5), "approle/ci", "", "auth", path="auth/token/create", api_operation="update", uid="orphan"),
    op(at(5, 1), "approle/ci", "", "auth", path="auth/token/create", api_operation="update", uid="child"),
    op(at(5, 2), "approle/ci", "", "auth", path="auth/token/create-orphan", api_operation="update"),
    op(at(6), "ada@example.com", "transit/k", path="transit/export/encryption-key/k", uid="exported"),
    op(at(6), "ada@example.com", "", "policy", path="sys/policies/acl/app", api_operation="update"),
    op(at(6), "ada@example.com", "", "policy", path="auth/approle/role/app", api_operation="update", namespace="team"),
    op(at(6), "ada@example.com", "", "revoke", path="sys/leases/revoke-prefix/database", api_operation="update"),
    op(at(7), "arn:aws:iam::1:role/x", "prod/db", "policy", store="aws", api_operation="PutResourcePolicy"),
    op(at(7), "approle/app", "kv/app/db"),
    op(at(0), "root", "kv/before", principal_type="root"),
    op(END, "root", "kv/after", principal_type="root"),
]  # fmt: skip


def finding(uid: str, detector: str, title: str, evidence: Sequence[str], **more: Any) -> Row:
    """One finding of that evidence."""
    return {"uid": uid, "time": at(5), "detector": detector, "title": title, "evidence": list(evidence)} | more


def alert(uid: str, title: str, findings: Sequence[str], **more: Any) -> Row:
    """One alert that folds these findings, open from the fifth day on."""
    given = {
        "uid": uid, "state": "open", "first_time": at(5), "last_time": at(5, 6), "severity": "medium",
        "route": "ticket", "title": title, "message": f"{title}.", "detectors": ["invariant"],
        "principal": "approle/ci", "secret": "", "store": "vault", "count": len(findings),
        "suppression": "", "finding_uids": list(findings),
    }  # fmt: skip
    return given | more


# The second device told of the same orphan token: its uid is another, the request's own id is the same.
ORPHAN: Final = next(row for row in PRIVILEGES if row["uid"] == "orphan")
PRIVILEGE_FINDINGS: Final[Rows] = [
    finding("f-orphan", "invariant", "Orphan token issued", ["orphan-copy"]),
    finding("f-key", "invariant", "Transit key exported", ["exported"]),
    finding("f-glass", "break_glass", "Emergency account used", [], principal="userpass/emergency"),
]
PRIVILEGE_ALERTS: Final[Rows] = [alert("a-orphan", "Orphan token issued", ["f-orphan"])]

INCIDENT_FINDINGS: Final[Rows] = [
    finding("f1", "rate", "Far more", ["e1", "e2"], client_ip="10.0.0.9", techniques=["T1555"]),
    finding("f2", "breadth", "Far more", ["e2", "e3"], client_ip="10.0.0.8", techniques=["T1078", "T1555"]),
    finding("f3", "invariant", "Root token used", ["e4"], client_ip=None, techniques=[]),
]
INCIDENTS: Final[Rows] = [
    alert("a1", "Far more", ["f1", "f2"], detectors=["rate", "breadth"], severity="high", secret="kv/app/db"),
    alert("a2", "Root token used", ["f3"], state="closed", severity="critical", route="page", last_time=at(6)),
    alert("a3", "Known", [], state="suppressed", suppression="our test (until 1 May)", severity="low", route="log"),
    alert("a4", "Goes on from before", ["gone"], first_time=at(-5), last_time=at(1), state="updated"),
    alert("a5", "Long over", [], first_time=at(-5), last_time=at(0)),
    alert("a6", "Not yet", [], first_time=END, last_time=END),
]


def hour(source: str, when: dt.datetime, completeness: str, missing: int = 0, store: str = "vault") -> Row:
    """The grade of one hour."""
    return {
        "source": source, "store": store, "hour": when, "completeness": completeness, "missing_operations": missing,
    }  # fmt: skip


def verdict(source: str, word: str, cause: str | None, start: Moment, end: Moment) -> Row:
    """One place of a stream that is not as it should be."""
    return {"source": source, "verdict": word, "cause": cause, "from_time": start, "to_time": end}


INTEGRITY: Final[Mapping[str, Rows]] = {
    "coverage": [
        hour("a.log", at(1, 0), "bounded"),
        hour("a.log", at(1, 1), "bounded"),
        hour("a.log", at(1, 1), "unknown", store="aws"),
        hour("a.log", at(2, 0), "violated", missing=3),
        hour("a.log", at(6, 0), "bounded"),
        hour("b.log", at(1, 0), "proven"),
        hour("c.log", at(1, 0), "bounded"),
        hour("d.log", at(1, 0), "unknown"),
        hour("d.log", at(0, 23), "violated", missing=9),
        hour("d.log", END, "violated", missing=9),
    ],
    "events": [
        *seen([op(at(1, 0), "x", "kv/a"), op(at(1, 1), "x", "kv/a"), op(at(6, 0), "x", "kv/a")], "a.log"),
        op(at(1, 0), "x", "kv/a", uid="unsealed", source="b.log"),
    ],
    "rejected": [
        {"source": "a.log", "time": at(1, 0), "reason": "torn"},
        {"source": "a.log", "time": at(1, 1), "reason": "torn"},
        {"source": "a.log", "time": at(1, 1), "reason": "oversize"},
        {"source": "a.log", "time": END, "reason": "torn"},
        {"source": "e.log", "time": None, "reason": "not_json"},
    ],
    "integrity": [
        verdict("a.log", "ok", None, at(1), at(2)),
        verdict("a.log", "gap", "lost", at(2, 0), at(2, 1)),
        verdict("a.log", "device_change", "device_change", at(6), at(6)),
        verdict("c.log", "altered", None, at(-2), at(1, 1)),
        verdict("c.log", "altered", None, at(-2), at(0)),
        verdict("e.log", "late", "late", None, None),
    ],
}

CONTROLS: Final[Mapping[str, Rows]] = {
    "operations": PRIVILEGES,
    "events": seen(PRIVILEGES),
    "alerts": [*PRIVILEGE_ALERTS, alert("a2", "Gap", [], detectors=["integrity"], severity="high", state="closed")],
    "coverage": [hour("audit.log", at(1, 0), "bounded"), hour("audit.log", at(2, 0), "violated", missing=1)],
    "integrity": [verdict("audit.log", "gap", "lost", at(2), at(2))],
    "rejected": [{"source": "audit.log", "time": at(1, 0), "reason": "torn"}],
    "slis": [
        {"sli": "M1", "store": "vault", "scope": "store", "window_start": at(1)},
        {"sli": "M1", "store": "vault", "scope": "store", "window_start": at(2)},
        {"sli": "M1", "store": "vault", "scope": "store", "window_start": at(2, 1)},
    ],
}

GIVEN: Final[Mapping[str, Mapping[str, Rows]]] = {
    "access-review": {"operations": DENIALS},
    "secret-inventory": {"operations": SECRETS},
    "rotation": {"operations": SECRETS},
    "denied-access": {"operations": DENIALS},
    "privileged-use": {
        "operations": PRIVILEGES,
        "events": [*seen(PRIVILEGES), ORPHAN | {"uid": "orphan-copy"}],
        "findings": PRIVILEGE_FINDINGS,
        "alerts": PRIVILEGE_ALERTS,
    },
    "integrity-statement": INTEGRITY,
    "incidents": {"findings": INCIDENT_FINDINGS, "alerts": INCIDENTS},
    "controls": CONTROLS,
}
