"""Made-up entries of a Vault audit device, each with the operation that it must become."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

START = dt.datetime(2026, 3, 2, 8, tzinfo=dt.UTC)
TOKEN = "hmac-sha256:" + "0a" * 32


def stamp(seconds: float) -> str:
    """A time so many seconds after the start, as Vault writes it."""
    return (START + dt.timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def entry(number: int, phase: str, seconds: float, **request: Any) -> dict[str, Any]:
    """One half of read number `number`; `request` replaces fields of the request, `who` the token's owner."""
    who = request.pop("who", "userpass-ada")
    asked = {
        "id": f"id-{number:07d}", "operation": "read", "client_token": TOKEN, "mount_type": "kv", "mount_point": "kv/",
        "namespace": {"id": "root"}, "path": f"kv/data/app/s{number % 7}", "remote_address": "10.1.2.3",
        "headers": {"user-agent": ["app/1.0"]}, **request,
    }  # fmt: skip
    told: dict[str, Any] = {
        "time": stamp(seconds), "type": phase,
        "auth": {"client_token": TOKEN, "accessor": TOKEN, "display_name": who, "policies": ["default"],
                 "policy_results": {"allowed": True}, "token_type": "service", "entity_id": f"e-{who}"},
        "request": asked,
    }  # fmt: skip
    if phase == "response":
        told["response"] = {"mount_type": "kv", "data": {"data": {"value": TOKEN}, "metadata": {"version": 1}}}
    return told


def line(told: dict[str, Any]) -> bytes:
    """An entry as it is logged, without its line end."""
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def pair(number: int, seconds: float, **request: Any) -> bytes:
    """Request and response of one read, 2 ms apart, as two lines."""
    halves = (entry(number, "request", seconds, **request), entry(number, "response", seconds + 0.002, **request))
    return b"".join(line(half) + b"\n" for half in halves)


def pairs(numbers: range, *, step: float = 1.0, start: float = 0.0, **request: Any) -> bytes:
    """Pairs one after the other, `step` seconds apart."""
    return b"".join(pair(n, start + i * step, **request) for i, n in enumerate(numbers))
