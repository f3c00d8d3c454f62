"""A small, whole audit trail that a test then tampers with: two devices, canaries every ten seconds, three scrapes.

Everything is made here by hand, line by line, so that a test can say to the byte what it did to it.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import zstandard

START = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)
SECONDS = 300
CANARY_KEY = "the canary's key in these tests"
SCRAPED = (31, 151, 299)  # seconds at which the counters were read
MAIN, SECOND = "audit.log", "audit-2.log"
APPS = ("billing", "checkout", "search")
PREFIX = {MAIN: "", SECOND: "@cee: "}
PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": gzip.compress,
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of one device: which request and half it tells of, and its bytes without the line end."""

    request: str
    phase: str
    data: bytes

    def told(self) -> dict[str, Any]:
        """The object on the line."""
        body: dict[str, Any] = json.loads(self.data[self.data.index(b"{") :])
        return body

    def edited(self, change: Callable[[dict[str, Any]], object]) -> Line:
        """The same line with a change made to its object."""
        told = self.told()
        change(told)
        prefix = self.data[: self.data.index(b"{")]
        return replace(self, data=prefix + json.dumps(told, separators=(",", ":")).encode())


@dataclass(slots=True)
class Trail:
    """What the devices hold, as lines, and what the server counted (`scrapes`: Prometheus text by name)."""

    lines: dict[str, list[Line]]
    scrapes: dict[str, str] = field(default_factory=dict)

    def at(self, device: str, request: str, phase: str = "request") -> int:
        """The place of a line in a device."""
        return next(i for i, line in enumerate(self.lines[device]) if (line.request, line.phase) == (request, phase))

    def drop(self, device: str, *requests: str, phase: str = "") -> None:
        """Take lines out of a device: both halves of these requests, or one."""
        gone = [line for line in self.lines[device] if line.request in requests and phase in ("", line.phase)]
        assert gone
        self.lines[device] = [line for line in self.lines[device] if line not in gone]

    def edit(self, device: str, request: str, phase: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change one line of a device."""
        at = self.at(device, request, phase)
        self.lines[device][at] = self.lines[device][at].edited(change)

    def shift(self, device: str, start: int, stop: int, seconds: float) -> None:
        """Set the times of a stretch of lines on or back."""
        for at in range(start, stop):
            self.lines[device][at] = self.lines[device][at].edited(lambda told: shifted(told, seconds))

    def positions(self, device: str) -> list[int]:
        """The byte at which each line begins."""
        found, at = [], 0
        for line in self.lines[device]:
            found.append(at)
            at += len(line.data) + 1
        return found

    def write(self, folder: Path, packed: Sequence[str] = ()) -> list[Path]:
        """The devices' files; `packed` says how the first, the second and so on are compressed: gz, zst or not."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for device, how in zip_longest(self.lines, packed[: len(self.lines)], fillvalue=""):
            data = b"".join(line.data + b"\n" for line in self.lines[device])
            paths.append(folder / (f"{device}.{how}" if how else device))
            paths[-1].write_bytes(PACKERS[how](data))
        return paths

    def counters(self, folder: Path) -> tuple[str, ...]:
        """The scrapes' files."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.scrapes.items():
            (folder / name).write_text(text)
        return tuple(str(folder / name) for name in self.scrapes)


def shifted(told: dict[str, Any], seconds: float) -> None:
    """Move an entry's time."""
    moment = dt.datetime.fromisoformat(told["time"]) + dt.timedelta(seconds=seconds)
    told["time"] = stamp(moment)


def stamp(moment: dt.datetime) -> str:
    """A time as the server writes it."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "000Z")


def canary_value(number: int, key: str = CANARY_KEY) -> str:
    """The header of a canary request."""
    return f"{number}.{hmac.new(key.encode(), str(number).encode(), hashlib.sha256).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the server saw it, before any device wrote of it."""

    uid: str
    seconds: float
    path: str
    operation: str = "read"
    who: str = "billing"
    data: dict[str, str] = field(default_factory=dict)
    answer: dict[str, str] = field(default_factory=dict)
    error: str = ""
    canary: int = 0
    log_in: bool = False
    latency: float = 0.003


def requests() -> Iterator[Request]:
    """The story: three services read, write and are refused; a canary counts; the counters are scraped."""
    for number, app in enumerate(APPS):
        yield Request(f"in-{app}", 1 + number / 10, "auth/approle/login", "update", app, {"role_id": app}, log_in=True)
    for n in range(2, SECONDS):
        app, at = APPS[n % 3], n + 0.25
        if n in SCRAPED:
            yield Request(f"scrape-{n}", at, "sys/metrics", who="ops")
        elif n % 10 == 5:
            yield Request(f"canary-{n // 10 + 1}", at, "auth/token/lookup-self", who="canary", canary=n // 10 + 1)
        elif n % 17 == 0:
            yield Request(f"r-{n}", at, f"kv/data/{app}/other", who=app, error="permission denied")
        elif n % 29 == 0:
            yield Request(f"r-{n}", at, f"kv/data/{app}/db", "update", app, {"password": f"p{n}"}, {"version": str(n)})
        else:
            yield Request(f"r-{n}", at, f"kv/data/{app}/db", who=app, answer={"password": f"p{n // 29}"})


def lines_of(request: Request, salt: str, late: float) -> Iterator[Line]:
    """The two lines of a request as a device with this salt writes them."""
    for phase, after in (("request", 0.0), ("response", request.latency)):
        moment = START + dt.timedelta(seconds=request.seconds + after + late)
        told = entry(request, phase, salt, moment)
        yield Line(request.uid, phase, json.dumps(told, separators=(",", ":")).encode())


def entry(request: Request, phase: str, salt: str, moment: dt.datetime) -> dict[str, Any]:
    """One audit entry."""
    hidden = hidden_by(salt)
    known = not request.log_in or phase == "response"
    auth = token_of(request.who, hidden) if known else {"token_type": "default"}
    mount = "/".join(request.path.split("/")[: 2 if request.path.startswith("auth/") else 1]) + "/"
    asked: dict[str, Any] = {
        "id": request.uid, "operation": request.operation, "mount_point": mount,
        "namespace": {"id": "root"}, "path": request.path, "remote_address": f"10.0.0.{len(request.who)}",
        "remote_port": 40000, "headers": {"user-agent": [f"{request.who}/1"]},
    }  # fmt: skip
    if not request.log_in:
        asked |= {"client_token": auth["client_token"], "client_token_accessor": auth["accessor"]}
    if request.data:
        asked["data"] = {name: hidden(value) for name, value in request.data.items()}
    if request.canary:
        asked["headers"]["x-audit-canary"] = [canary_value(request.canary)]
    told: dict[str, Any] = {"time": stamp(moment), "type": phase, "auth": auth, "request": asked}
    if phase == "response":
        body: dict[str, Any] = {"mount_point": mount}
        if request.log_in:
            body["auth"] = token_of(request.who, hidden)
        elif request.answer:
            body["data"] = {"data": {name: hidden(value) for name, value in request.answer.items()}}
        told["response"] = body
    if request.error and phase == "response":
        told["error"] = f"1 error occurred:\n\t* {request.error}\n\n"
    return told


def hidden_by(salt: str) -> Callable[[str], str]:
    """The hash that a device with this salt writes instead of a value."""
    return lambda value: f"hmac-sha256:{hmac.new(salt.encode(), value.encode(), hashlib.sha256).hexdigest()}"


def token_of(who: str, hidden: Callable[[str], str]) -> dict[str, Any]:
    """The `auth` of an entry."""
    shown = {"canary": "token-canary", "ops": "root"}.get(who, "approle")
    told = {
        "client_token": hidden(f"token of {who}"), "accessor": hidden(f"accessor of {who}"), "display_name": shown,
        "policies": ["default", who], "token_policies": ["default", who], "entity_id": f"entity-{who}",
        "token_type": "service", "token_ttl": 3600,
    }  # fmt: skip
    return told if shown != "approle" else {**told, "metadata": {"role_name": who}}


def start_line(device: str, seconds: float, number: int = 0) -> Line:
    """The lone request that a device starts with."""
    told = {
        "time": stamp(START + dt.timedelta(seconds=seconds)), "type": "request", "auth": {"token_type": "default"},
        "request": {
            "id": f"test-{device}-{number}", "operation": "update", "namespace": {"id": "root"},
            "path": "sys/audit/test",
        },
    }  # fmt: skip
    return Line(f"test-{device}-{number}", "request", json.dumps(told, separators=(",", ":")).encode())


def written(device: str, asked: list[Request], salt: str, late: float) -> list[Line]:
    """What a device holds of these requests, its start first, each line with the device's prefix."""
    lines = [start_line(device, 0.5 + late), *(line for request in asked for line in lines_of(request, salt, late))]
    prefix = PREFIX.get(device, "").encode()
    ordered = sorted(lines, key=lambda line: str(line.told()["time"]))
    return [replace(line, data=prefix + line.data) for line in ordered]


def trail(*devices: str) -> Trail:
    """The whole trail on these devices (both by default)."""
    asked = list(requests())
    chosen = devices or (MAIN, SECOND)
    lines = {name: written(name, asked, f"salt of {name}", number / 5000) for number, name in enumerate(chosen)}
    return Trail(lines, {f"{second}.prom": scraped(asked, second, chosen) for second in SCRAPED})


def scraped(asked: list[Request], second: int, devices: tuple[str, ...]) -> str:
    """The server's counters as its own request of that second is answered."""
    scrape = next(request for request in asked if request.uid == f"scrape-{second}")
    counts = {
        "request": sum(r.seconds <= scrape.seconds for r in asked),
        "response": sum(r.seconds + r.latency < scrape.seconds for r in asked),
    }
    at = (START + dt.timedelta(seconds=scrape.seconds)).timestamp()
    text = [f"# scraped between {at - 0.001:.6f} and {at + 0.005:.6f}", "process_start_time_seconds 1.77e9"]
    for phase, count in counts.items():
        text.append(f"vault_audit_log_{phase}_count {count}")
        text.append(f"vault_audit_log_{phase}_failure 0")
        text += [f"vault_audit_{name.split('.')[0].replace('-', '_')}__log_{phase}_count {count}" for name in devices]
    return "\n".join(text) + "\n"
