"""A canary sent, answered, and waited for: the whole way a request takes from a client to the lake."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pipeline.probe.client import Answer, Store
    from pipeline.probe.numbers import Numbers

POLL_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Result:
    """One canary. `return_seconds` runs from its answer to its operation in the lake; None when it did not come."""

    number: int
    request: str
    outcome: str
    status: int
    latency_ms: float
    return_seconds: float | None
    devices: int
    note: str = ""

    @property
    def good(self) -> bool:
        """The read succeeded, and the lake knows of it."""
        return self.outcome == "success" and self.return_seconds is not None


@dataclass(slots=True)
class Prober:
    """Sends canaries. `returned` says which devices of the lake tell of a request by now, none for an unknown one."""

    store: Store
    numbers: Numbers
    key: bytes
    header: str
    path: str
    returned: Callable[[str], Sequence[str]]
    clock: Callable[[], float]
    sleep: Callable[[float], None]

    def once(self, timeout_seconds: float) -> Result:
        """Send the next canary and wait for it. A timeout of 0 does not wait."""
        number = self.numbers.take()
        answer = self.store.read(self.path, {self.header: value(self.key, number)})
        if not answer.sent:
            self.numbers.give_back()
        back, devices = self._wait(answer.request, timeout_seconds) if answer.request else (None, 0)
        latency = round(answer.seconds * 1000, 3)
        return Result(
            number, answer.request, answer.outcome, answer.status, latency, back, devices,
            _note(answer, back, timeout_seconds),
        )  # fmt: skip

    def _wait(self, request: str, timeout_seconds: float) -> tuple[float | None, int]:
        start = self.clock()
        while self.clock() - start < timeout_seconds:
            if devices := self.returned(request):
                return round(self.clock() - start, 3), len(devices)
            self.sleep(POLL_SECONDS)
        return None, 0


def value(key: bytes, number: int) -> str:
    """The header's value: the number and the first 32 hexadecimal digits of its HMAC-SHA-256."""
    return f"{number}.{hmac.new(key, str(number).encode(), hashlib.sha256).hexdigest()[:32]}"


def _note(answer: Answer, back: float | None, timeout_seconds: float) -> str:
    if not answer.sent:
        return "not sent: the number is used again"
    if answer.doubtful:
        return "no answer came: the store may not have had it, and its number may be missed"
    if not answer.request:
        return "the answer names no request: it cannot be looked for"
    if back is None and timeout_seconds:
        return f"not in the lake within {timeout_seconds:g} s"
    return ""
