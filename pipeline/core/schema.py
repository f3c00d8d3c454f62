"""Every frame that crosses a room's border, column by column.

Times are UTC with microseconds. `uid` columns are 32 hexadecimal digits. A frame may be empty, never `None`; its
columns are exactly those of its schema, in that order. The first columns of a table that lands in the lake are those
that its view promises; they may only grow at the end.
"""

from __future__ import annotations

from typing import Final

import polars as pl

TIME: Final = pl.Datetime("us", "UTC")
TEXTS: Final = pl.List(pl.String)

OPERATIONS_VOCABULARY: Final = (
    "read", "list", "write", "delete", "rotate", "revoke", "auth", "policy", "audit_control", "seal", "other",
)  # fmt: skip
CACHE: Final = "vault_agent"  # the store that is none: a cache before one, and what it does with a request
CACHE_HIT, CACHE_MISS = "cache_hit", "cache_miss"
OUTCOMES: Final = ("success", "denied", "not_found", "failure")
SEVERITIES: Final = ("informational", "low", "medium", "high", "critical")
VERDICTS: Final = (
    "ok", "gap", "duplicate", "altered", "reordered", "truncated", "torn", "unpaired", "clock_step", "device_change",
    "unsigned", "late", "unverifiable", "in_clear", "redacted",
)  # fmt: skip
BROKEN_VERDICTS: Final = frozenset(
    {"gap", "duplicate", "altered", "reordered", "truncated", "torn", "unpaired", "clock_step"}
)

# What a decoder makes of a piece of raw input. `piece` is the row of `Decoded.pieces` it was read from.
# identity: auth_* is who asked (the token's owner), login_* is whom a log-in or token creation made.
DECODED: Final = pl.Schema(
    {
        "piece": pl.UInt32(),
        "time": TIME,
        "store": pl.String(),  # vault, aws, gcp, azure, kubernetes, vault_agent
        "cluster": pl.String(),
        "phase": pl.String(),  # request, response, single
        "operation": pl.String(),  # OPERATIONS_VOCABULARY
        "discloses_value": pl.Boolean(),  # this entry shows that a value was in fact returned
        "api_operation": pl.String(),
        "session": pl.String(),  # hash of the token accessor, or the store's session id
        "client_ip": pl.String(),
        "user_agent": pl.String(),
        "namespace": pl.String(),  # no trailing slash, "" for root
        "mount": pl.String(),  # trailing slash, relative to the namespace
        "secret": pl.String(),  # "" for system and log-in paths
        "secret_version": pl.Int64(),
        "outcome": pl.String(),  # OUTCOMES, as far as this one entry tells
        "error": pl.String(),
        "correlation_uid": pl.String(),  # the store's request id, null where it wrote none
        "path": pl.String(),
        "mount_type": pl.String(),
        "auth_display_name": pl.String(),
        "auth_entity": pl.String(),
        "auth_role": pl.String(),
        "auth_username": pl.String(),
        "auth_sa_name": pl.String(),
        "auth_sa_namespace": pl.String(),
        "auth_token_type": pl.String(),
        "auth_policies": TEXTS,
        "login_display_name": pl.String(),
        "login_entity": pl.String(),
        "login_role": pl.String(),
        "login_username": pl.String(),
        "login_sa_name": pl.String(),
        "login_sa_namespace": pl.String(),
        "login_policies": TEXTS,
        "login_session": pl.String(),  # hash of the accessor of the token just issued, wrapping or just revoked
        "token_ttl": pl.Int64(),  # seconds; of the issued token where there is one, else of the asking one
        "wrap_ttl": pl.Int64(),  # seconds, null when the answer is not wrapped
        "token_hash": pl.String(),  # the asking token as the device hashed it; compares within one device life only
        "flags": TEXTS,  # true-valued request options that rules ask for: exportable, no_parent, log_raw …
        "canary": pl.String(),  # the audited canary header's value
        "forwarded": pl.Boolean(),  # carried from a standby (V8): same id on two nodes is legitimate
        "probe": pl.Boolean(),  # the sys/audit/test line a device starts with: an event, never an operation
        "clear": pl.Boolean(),  # the line carried values that should have been hashed
        "asked_for": TEXTS,  # "<field>:<digest>" of what a certificate, log-in or unwrapping was asked for; mostly null
        "items": pl.Int64(),  # values in one request that asks for many at once (transit's batch_input); mostly null
        "latency_ms": pl.Float64(),  # what the store took, where one entry tells it
        "format": pl.String(),  # the decoder's name
    }
)

_NAMED = {
    "principal": pl.String(),
    "principal_type": pl.String(),  # service, human, pod, token, root, anonymous, unknown
    "login_principal": pl.String(),  # the identity a log-in or token creation made, null otherwise
    "zone": pl.String(),  # network zone of client_ip: /24, /48 or a configured name
}

# What the stateful half of the line works on: DECODED resolved and placed.
EVENT: Final = pl.Schema(
    {
        "uid": pl.String(),
        "source": pl.String(),  # the stream: a device, a topic partition
        "file": pl.String(),
        "position": pl.Int64(),
        "format": pl.String(),
        "order_time": TIME,  # time, held within the allowed disorder of its stream: the canonical order
        "leaf_index": pl.Int64(),
        **{k: v for k, v in DECODED.items() if k != "piece" and not k.startswith(("auth_", "login_"))},
        **_NAMED,
        "entity": pl.String(),
        "policies": TEXTS,
        "token_type": pl.String(),
        "login_policies": TEXTS,
        "login_session": pl.String(),
    }
)

EVENTS_VIEW: Final = (
    "uid", "time", "store", "cluster", "source", "position", "format", "phase", "operation", "discloses_value",
    "api_operation", "principal", "principal_type", "session", "client_ip", "user_agent", "namespace", "mount",
    "secret", "secret_version", "outcome", "error", "correlation_uid", "leaf_index", "file", "path",
)  # fmt: skip

# One row per request to the store. `complete_time` is when the line knew it whole: windows of detection run on it.
OPERATION: Final = pl.Schema(
    {
        "uid": pl.String(),
        "time": TIME,
        "latency_ms": pl.Float64(),
        "store": pl.String(),
        "cluster": pl.String(),
        "operation": pl.String(),
        "discloses_value": pl.Boolean(),
        "api_operation": pl.String(),
        "principal": pl.String(),
        "principal_type": pl.String(),
        "session": pl.String(),
        "client_ip": pl.String(),
        "user_agent": pl.String(),
        "namespace": pl.String(),
        "mount": pl.String(),
        "secret": pl.String(),
        "secret_version": pl.Int64(),
        "outcome": pl.String(),
        "error": pl.String(),
        "correlation_uid": pl.String(),
        "request_leaf": pl.Int64(),
        "response_leaf": pl.Int64(),
        "paired": pl.Boolean(),
        "devices": TEXTS,
        "path": pl.String(),
        # not in the view
        "complete_time": TIME,
        "request_uid": pl.String(),
        "response_uid": pl.String(),
        "mount_type": pl.String(),
        "zone": pl.String(),
        "entity": pl.String(),
        "policies": TEXTS,
        "token_type": pl.String(),
        "login_principal": pl.String(),
        "login_policies": TEXTS,
        "login_session": pl.String(),
        "token_ttl": pl.Int64(),
        "wrap_ttl": pl.Int64(),
        "flags": TEXTS,
        "canary": pl.String(),
        "clear": pl.Boolean(),
        "lacking": TEXTS,  # "<phase>:<device>" of each half that a device of `devices` has not told; mostly null
        "asked_for": TEXTS,
        "items": pl.Int64(),
    }
)
OPERATIONS_VIEW: Final = tuple(OPERATION)[: tuple(OPERATION).index("path") + 1]

RAW: Final = pl.Schema(
    {
        "uid": pl.String(),
        "source": pl.String(),
        "position": pl.Int64(),
        "leaf_index": pl.Int64(),
        "raw": pl.Binary(),
        "redacted": pl.Boolean(),
        "file": pl.String(),
        "salt": pl.Binary(),
        "leaf": pl.Binary(),
    }
)

REJECTED: Final = pl.Schema(
    {
        "source": pl.String(),
        "position": pl.Int64(),
        "time": TIME,  # of the entry where it could be read, else of its neighbour before it
        "stage": pl.String(),
        "reason": pl.String(),  # a short fixed word, safe as a metric label
        "size": pl.Int64(),
        "sample": pl.String(),  # at most 200 characters, redacted
        "file": pl.String(),
    }
)

SLI: Final = pl.Schema(
    {
        "sli": pl.String(),
        "store": pl.String(),
        "scope": pl.String(),  # store, mount:<mount>, namespace:<namespace>
        "window_start": TIME,
        "window_seconds": pl.Int64(),
        "good": pl.Float64(),
        "total": pl.Float64(),
        "value": pl.Float64(),
        "objective": pl.Float64(),
        "met": pl.Boolean(),
        "estimate": pl.Boolean(),
        "coverage": pl.String(),
    }
)

BASELINE: Final = pl.Schema(
    {
        "scope": pl.String(),  # secret, principal, edge
        "key": pl.String(),  # an edge is "principal -> secret"
        "first_seen": TIME,
        "last_seen": TIME,
        "operations": pl.Int64(),
        "days_active": pl.Int64(),
        "rate_per_hour": pl.Float64(),
        "hours_of_week": pl.List(pl.Float64()),  # 168 shares summing to 1, Monday 00:00 UTC first
        "distinct_secrets": pl.Int64(),
        "distinct_ips": pl.Int64(),
    }
)

FINDING: Final = pl.Schema(
    {
        "uid": pl.String(),
        "time": TIME,
        "detector": pl.String(),
        "detector_version": pl.String(),
        "severity": pl.String(),
        "confidence": pl.Float64(),  # 0..1: how sure that it happened as told
        "score": pl.Float64(),  # 0..1: high = odd
        "principal": pl.String(),
        "secret": pl.String(),
        "store": pl.String(),
        "client_ip": pl.String(),
        "title": pl.String(),
        "message": pl.String(),
        "observed": pl.String(),
        "expected": pl.String(),
        "techniques": TEXTS,
        "evidence": TEXTS,  # uids of events
        # not in the view
        "cause": pl.String(),  # what findings fold by, beside principal and secret: a rule id or the detector's name
        "family": pl.String(),  # budget family: invariant, rate, breadth, pair, slow, source … (detectors/)
        "next_step": pl.String(),
        "ready": TIME,  # where in the canonical order it became known: findings are folded in this order
    }
)

ALERT: Final = pl.Schema(
    {
        "uid": pl.String(),
        "state": pl.String(),  # open, updated, closed, suppressed
        "first_time": TIME,
        "last_time": TIME,
        "severity": pl.String(),
        "route": pl.String(),  # page, ticket, log
        "title": pl.String(),
        "message": pl.String(),
        "detectors": TEXTS,
        "principal": pl.String(),
        "secret": pl.String(),
        "store": pl.String(),
        "count": pl.Int64(),
        "suppression": pl.String(),
        "finding_uids": TEXTS,
        # not in the view
        "revision": pl.Int64(),
        "confidence": pl.Float64(),
        "score": pl.Float64(),
        "client_ip": pl.String(),
        "observed": pl.String(),
        "expected": pl.String(),
        "techniques": TEXTS,
        "evidence": TEXTS,
        "next_step": pl.String(),
        "cause": pl.String(),
        "families": TEXTS,  # of its own findings and of those that corroborate it
        "detector_version": pl.String(),  # of the detector of the finding that is told first
    }
)

INTEGRITY: Final = pl.Schema(
    {
        "source": pl.String(),
        "verdict": pl.String(),  # VERDICTS
        "from_position": pl.Int64(),
        "to_position": pl.Int64(),
        "from_time": TIME,
        "to_time": TIME,
        "count": pl.Int64(),
        "evidence": pl.String(),
        "file": pl.String(),
        "cause": pl.String(),
        # not in the view: names the place, so that a verdict that grows replaces itself
        "uid": pl.String(),
        "known": TIME,  # where in the canonical order it was first told
    }
)

COVERAGE: Final = pl.Schema(
    {
        "source": pl.String(),
        "store": pl.String(),
        "hour": TIME,
        "completeness": pl.String(),  # proven, bounded, unknown, violated
        "evidence_kind": pl.String(),
        "missing_operations": pl.Int64(),
        "note": pl.String(),
    }
)

LEAK: Final = pl.Schema(
    {
        "source": pl.String(),
        "position": pl.Int64(),
        "time": TIME,
        "rule": pl.String(),
        "preview": pl.String(),
        "keyed_hash": pl.String(),
        "secret": pl.String(),
        "file": pl.String(),
    }
)


_EMPTY: dict[int, tuple[pl.Schema, pl.DataFrame]] = {}
_SCHEMAS: Final = 64  # that are remembered; those of this module are fewer


def empty(schema: pl.Schema) -> pl.DataFrame:
    """A frame of `schema` without rows. Made once for each schema: it is asked for in every window."""
    known = _EMPTY.get(id(schema))
    if known is None or known[0] is not schema:
        known = (schema, pl.DataFrame(schema=schema))
        if len(_EMPTY) < _SCHEMAS:
            _EMPTY[id(schema)] = known
    return known[1].clone()


def conform(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """`frame` with exactly the columns of `schema`: missing ones null, others dropped, types cast."""
    have = frame.schema
    return frame.select(
        (pl.col(name) if have[name] == kind else pl.col(name).cast(kind))
        if name in have
        else pl.lit(None, dtype=kind).alias(name)
        for name, kind in schema.items()
    )


# Operations on the store itself, few and worth telling apart: each path has a row of its own in a window. So have
# questions for what a token may do, which are begun by PROBES, old versions of secrets, asked for or brought back, and
# requests for many values at once.
NOTABLE: Final = ("policy", "audit_control", "seal")
PROBES: Final = "sys/capabilities"

# What a window holds: operations that are alike in everything detectors ask for are one row that counts them. A busy
# hour stays as small as what is distinct in it.
WINDOW_KEYS: Final = (
    "principal", "principal_type", "store", "namespace", "mount", "secret", "operation", "outcome", "zone", "client_ip",
    "session", "token_type", "discloses_value", "act",
)  # fmt: skip
WINDOW: Final = pl.Schema(
    {
        **{name: OPERATION[name] for name in WINDOW_KEYS if name != "act"},
        "act": pl.String(),  # the path of an operation that is told apart (see NOTABLE), null for every other
        "n": pl.Int64(),  # operations
        "items": pl.Int64(),  # values that those of them asked for which ask for many at once
        "time": TIME,  # of the first
        "last_time": TIME,
        "uid": pl.String(),  # of the first: evidence
        "path": pl.String(),  # of the first
    }
)
