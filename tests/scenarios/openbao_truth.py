"""What the clients of the recorded OpenBao saw, held against the operations that the line made of its audit logs."""

from __future__ import annotations

import json
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

DEVICES = ("main.log.1", "main.log", "second.log", "third.log", "socket.log", "raw.log")
CLOCK_SLACK = 2e-6  # seconds: the log has nanoseconds, the lake microseconds, the client a float

_APPROLES = ("billing", "checkout", "search", "mailer")
_NAMES = {
    "root": "root", "alice": "userpass/alice", "bob": "userpass/bob", "canary": "token/canary", "token": "token",
    "invalid": "anonymous", "anonymous": "anonymous", **{name: f"approle/{name}" for name in _APPROLES},
}  # fmt: skip
_ENGINE_WORDS = {
    "kv": ("data", "metadata", "destroy", "undelete", "delete"),
    "transit": ("encrypt", "decrypt"),
    "pki": ("issue", "roles", "root"),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as its client saw it."""

    seq: int
    start: float
    end: float
    request_id: str
    principal: str
    secret: str
    outcome: str
    client_ip: str
    namespace: str
    path: str


def truth(folder: Path) -> list[Seen]:
    """Every request in the order in which it was sent."""
    lines = (folder / "truth.jsonl").read_text("utf-8").splitlines()
    return sorted((_seen(json.loads(line)) for line in lines), key=lambda seen: seen.start)


def _seen(told: dict[str, Any]) -> Seen:
    path = urllib.parse.unquote(told["path"].partition("?")[0]).strip("/")
    return Seen(
        told["seq"], told["t0"], told["t1"], told["request_id"], _principal(told), _secret(path), _outcome(told),
        told["ip"], told["ns"], path,
    )  # fmt: skip


def _principal(told: dict[str, Any]) -> str:
    """A token that is wrong, used up or revoked makes its bearer nobody known."""
    who, refused = told["who"], told["status"] >= 400
    if who == "wrapped":
        return "anonymous" if refused else "wrapping"
    if who == "token-breakglass":
        return "anonymous" if refused else "token/breakglass"
    return f"k8s-prod/{who}" if "/" in who else _NAMES[who]


def _outcome(told: dict[str, Any]) -> str:
    status = told["status"]
    if status < 400:
        return "success"
    return "not_found" if status == 404 else "denied"  # every 400 of the recording is a refused log-in or token


def _secret(path: str) -> str:
    """The mount and the name, without the engine's word; nothing for system and log-in paths."""
    mount, _, rest = path.partition("/")
    if mount in ("sys", "auth"):
        return ""
    word, _, name = rest.partition("/")
    if (mount, word) == ("transit", "keys"):
        return f"transit/{name.removesuffix('/rotate')}"
    if word in _ENGINE_WORDS.get(mount, ()):
        return f"{mount}/root" if (mount, word) == ("pki", "root") else f"{mount}/{name}".rstrip("/")
    return path


COMPARED = ("principal", "secret", "outcome", "client_ip", "namespace")


def disagreements(seen: Sequence[Seen], operations: Iterable[dict[str, Any]]) -> list[str]:
    """Everything in which the operations are not what the clients saw; requests without one, and ones too many."""
    left = {row["uid"]: row for row in operations}
    told = []
    for request in seen:
        match = _match(request, left.values())
        if match is None:
            told.append(f"{request.seq}: no operation for {request.path}")
            continue
        del left[match["uid"]]
        told += [
            f"{request.seq}: {name} is {match[name]!r}, the client knows {getattr(request, name)!r}"
            for name in COMPARED
            if match[name] != getattr(request, name)
        ]
        took = (request.end - request.start) * 1000
        if match["latency_ms"] is not None and not 0 <= match["latency_ms"] <= took:
            told.append(f"{request.seq}: {match['latency_ms']} ms, the client waited {took} ms")
    return told + [f"an operation that nobody asked for: {row['path']}" for row in left.values()]


def _match(request: Seen, rows: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """The earliest operation of that place, path and time; the one with the id that the client was told, if any."""
    paths = {request.path, f"{request.namespace}/{request.path}".strip("/")}
    fits = [
        row
        for row in rows
        if row["client_ip"] == request.client_ip
        and row["path"].strip("/") in paths
        and request.start - CLOCK_SLACK <= row["time"].timestamp() <= request.end + CLOCK_SLACK
    ]
    named = [row for row in fits if request.request_id and row["correlation_uid"] == request.request_id]
    return min(named or fits, key=lambda row: row["time"], default=None)
