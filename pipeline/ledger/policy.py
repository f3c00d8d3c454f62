"""Whom to believe: c2sp.org/tlog-policy files with logs, witnesses, groups and one quorum."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from pipeline.core.errors import ConfigError
from pipeline.ledger import note
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.files import read_optional
from pipeline.ledger.note import Verifier

NONE = "none"
_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses the checkpoint when at least `threshold` of the members do."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """`witnesses`, `urls` and `groups` are by the name that the file gives them."""

    logs: tuple[Verifier, ...] = ()
    witnesses: Mapping[str, Verifier] = field(default_factory=lambda: MappingProxyType({}))
    urls: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    groups: Mapping[str, Group] = field(default_factory=lambda: MappingProxyType({}))
    quorum: str = NONE

    def satisfied(self, signed: Collection[Verifier]) -> bool:
        """Whether cosignatures by these keys make a quorum."""
        return self.quorum == NONE or self._holds(self.quorum, signed)

    def _holds(self, name: str, signed: Collection[Verifier]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return self.witnesses[name] in signed
        return sum(self._holds(member, signed) for member in group.members) >= group.threshold


def with_logs(policy: Policy, logs: tuple[Verifier, ...]) -> Policy:
    """The policy for these logs."""
    return replace(policy, logs=logs)


def encode(policy: Policy) -> bytes:
    """The file of a policy."""
    lines = [f"log {verifier.vkey()}" for verifier in policy.logs]
    for name, verifier in policy.witnesses.items():
        lines.append(f"witness {name} {verifier.vkey()} {policy.urls.get(name, '')}".rstrip())
    for name, group in policy.groups.items():
        lines.append(f"group {name} {group.threshold} {' '.join(group.members)}")
    lines.append(f"quorum {policy.quorum}")
    return "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")


def read(path: Path) -> Policy | None:
    """The policy in a file, None when there is none. Raises ConfigError."""
    data = read_optional(path)
    return None if data is None else parse(data)


def parse(data: bytes) -> Policy:
    """A policy file. Raises ConfigError with the number of the line."""
    if len(data) > _LIMIT or any((c < 0x20 and c not in b"\t\n") or c == 0x7F for c in data):
        raise ConfigError("a ledger policy is a text file of at most a megabyte without control characters")
    reading = _Reading()
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        words = line.replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if words and not words[0].startswith("#"):
            try:
                reading.line(words)
            except LedgerError as error:
                told = str(error).encode("utf-8", "backslashreplace").decode()
                raise ConfigError(f"ledger policy, line {number}: {told}") from error
    if reading.quorum is None:
        raise ConfigError("ledger policy: there is no quorum line")
    return Policy(tuple(reading.logs), reading.witnesses, reading.urls, reading.groups, reading.quorum)


class _Reading:
    """What the lines so far have defined."""

    def __init__(self) -> None:
        self.logs: list[Verifier] = []
        self.witnesses: dict[str, Verifier] = {}
        self.urls: dict[str, str] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._used: set[str] = set()

    def line(self, words: list[str]) -> None:
        kind, rest = words[0], words[1:]
        if kind == "log" and len(rest) in {1, 2}:
            self._add_log(*rest)
        elif kind == "witness" and len(rest) in {2, 3}:
            self._add_witness(*rest)
        elif kind == "group" and len(rest) >= 3:
            self._add_group(rest[0], rest[1], tuple(rest[2:]))
        elif kind == "quorum" and len(rest) == 1:
            self._set_quorum(rest[0])
        else:
            raise LedgerError(
                "expected log VKEY [URL], witness NAME VKEY [URL], group NAME k|all|any MEMBER…, quorum NAME"
            )

    def _add_log(self, text: str, _url: str = "") -> None:
        verifier = note.parse_vkey(text)
        if verifier.public in {known.public for known in self.logs}:
            raise LedgerError("the same log key twice")
        self.logs.append(verifier)

    def _add_witness(self, name: str, text: str, url: str = "") -> None:
        self._new_name(name)
        verifier = note.parse_vkey(text)
        if verifier.kind not in {note.COSIGNATURE, note.MLDSA_COSIGNATURE}:
            raise LedgerError(f"the key of witness {name} is not a cosignature key")
        if verifier.public in {known.public for known in self.witnesses.values()}:
            raise LedgerError("the same witness key twice")
        self.witnesses[name] = verifier
        if url:
            self.urls[name] = url

    def _add_group(self, name: str, threshold: str, members: tuple[str, ...]) -> None:
        self._new_name(name)
        for member in members:
            if member not in self.witnesses and member not in self.groups:
                raise LedgerError(f"{member} is not defined above this line")
            if member in self._used:
                raise LedgerError(f"{member} is a member twice")
            self._used.add(member)
        words = {"all": len(members), "any": 1}
        count = words[threshold] if threshold in words else int(threshold) if threshold.isdecimal() else 0
        if not 1 <= count <= len(members):
            raise LedgerError(f"a group of {len(members)} needs a threshold from 1 to {len(members)}, all or any")
        self.groups[name] = Group(count, members)

    def _set_quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise LedgerError("a second quorum line")
        if name != NONE and name not in self.witnesses and name not in self.groups:
            raise LedgerError(f"{name} is not defined above this line")
        self.quorum = name

    def _new_name(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise LedgerError(f"the name {name} is taken")
