"""Which findings a suppression covers, and until when."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.routing.config import Suppression

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = ("detector", "cause", "principal", "secret", "client_ip")
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def micros(moment: datetime) -> int:
    """µs since 1970, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """The UTC time of µs since 1970, exactly."""
    return EPOCH + timedelta(microseconds=us)


def glob(pattern: str, text: str) -> bool:
    """Whether all of `text` matches `pattern`, in which `*` is any run of characters and `?` any one.

    Two pointers and one point to go back to: at worst the product of the lengths, whoever wrote the text.
    """
    p = t = 0
    star, resume = -1, 0
    while t < len(text):
        if p < len(pattern) and pattern[p] == "*":
            star, resume = p, t
            p += 1
        elif p < len(pattern) and pattern[p] in ("?", text[t]):
            p, t = p + 1, t + 1
        elif star >= 0:
            resume += 1
            p, t = star + 1, resume
        else:
            return False
    return set(pattern[p:]) <= {"*"}


def any_glob(patterns: Iterable[str], *texts: str) -> bool:
    """Whether one of `patterns` matches one of `texts`."""
    return any(glob(pattern, text) for pattern in patterns for text in texts)


@dataclass(frozen=True, slots=True)
class Rule:
    """A suppression that can be used: from `since_us` on, `until_us` is the first moment at which it no longer is."""

    fields: tuple[tuple[str, str], ...]
    network: _Network | None
    since_us: int
    until_us: int
    text: str

    def matches(self, finding: Mapping[str, Any]) -> bool:
        """Whether it covers `finding` (one row of schema.FINDING), leaving time aside."""
        return all(glob(pattern, finding[name] or "") for name, pattern in self.fields) and (
            self.network is None or _inside(finding["client_ip"] or "", self.network)
        )


def _inside(address: str, network: _Network) -> bool:
    try:
        return ipaddress.ip_address(address) in network
    except ValueError:  # not an address: cannot lie in a network
        return False


def _network(text: str) -> _Network | None:
    if "*" in text or "?" in text or not text:
        return None
    return ipaddress.ip_network(text, strict=False)


def compile_rule(suppression: Suppression) -> Rule:
    """Raises ValueError, saying what is wrong, when it cannot be used."""
    if not suppression.reason.strip():
        raise ValueError("it has no reason")
    given = {name: value for name in _FIELDS if (value := getattr(suppression, name))}
    if not given:
        raise ValueError("it matches on nothing, which would hide everything")
    until = _parsed("expires", suppression.expires)
    since = _parsed("starts", suppression.starts) if suppression.starts else None
    if since is not None and since >= until:
        raise ValueError("it expires before it starts")
    network = _network(suppression.client_ip)
    if network is not None:
        del given["client_ip"]
    who = f"{suppression.owner}, " if suppression.owner else ""
    first = "" if since is None else f"from {_written(since)} "
    text = f"{suppression.reason.strip()} ({who}{first}until {_written(until)})"
    return Rule(tuple(given.items()), network, 0 if since is None else micros(since), micros(until), text)


def _parsed(name: str, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        utc = at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is not an RFC 3339 time: {text!r}") from None
    if at.tzinfo is None:
        raise ValueError(f"{name} has no offset from UTC")
    return utc


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def compile_rules(suppressions: Sequence[Suppression]) -> tuple[list[Rule], list[str]]:
    """Those that can be used, and a line about each that cannot."""
    rules, notes = [], []
    for number, suppression in enumerate(suppressions, start=1):
        try:
            rules.append(compile_rule(suppression))
        except ValueError as error:
            notes.append(f"suppression {number} is not applied: {error}")
    return rules, notes


def unusable(suppressions: Sequence[Suppression]) -> list[str]:
    """A line about each that cannot be used."""
    return compile_rules(suppressions)[1]


def covering(rules: Sequence[Rule], finding: Mapping[str, Any], at_us: int) -> Rule | None:
    """The rule in force at `at_us` that covers `finding` longest, or None."""
    fitting = [rule for rule in rules if rule.since_us <= at_us < rule.until_us and rule.matches(finding)]
    return max(fitting, key=lambda rule: (rule.until_us, rule.text), default=None)
