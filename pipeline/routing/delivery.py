"""From the outbox to the sinks: each at its own pace, at least once, in order, and nothing given up silently.

What is promised: a message leaves the outbox only when its sink has it, or has refused it for good (a dead letter, kept
and replayable). A message may arrive twice; its event id is the same both times. Messages are handed over in the order
they were committed, so an alert's revisions arrive in order, except that a dead letter does not hold up the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import msgspec

from pipeline.core.clock import Clock, Spaced, steady_clock, system_clock
from pipeline.routing.attempt import Attempts, Done

if TYPE_CHECKING:
    from pipeline.core.ports import Outbox, Sink

_SECOND = 1_000_000_000
_FOR_EVER = 2**62  # ns
_STALE_SECONDS = 5.0  # an answer to whether the outbox is full is no older


class OutboxConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[outbox]` table. `break_after` failures in a row open a sink's circuit: then one message probes it."""

    retry_first_seconds: float = 0.5
    retry_max_seconds: float = 300
    retry_after_max_seconds: float = 3600  # of a receiver's own wish, more is not believed
    max_bytes: int = 1_073_741_824
    batch: int = 500
    break_after: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.retry_first_seconds <= self.retry_max_seconds:
            raise ValueError("retry_first_seconds must be above 0 and at most retry_max_seconds")
        if min(self.max_bytes, self.batch, self.break_after) < 1:
            raise ValueError("max_bytes, batch and break_after must be at least 1")


@dataclass(slots=True)
class SinkCounts:
    """One sink, since the process started. `failures` is how many attempts in a row have failed up to now."""

    delivered: int = 0
    dead: int = 0
    attempts: int = 0
    failed: int = 0
    failures: int = 0
    last_error: str = ""


class Deliverer:
    """Moves messages from `outbox` to `sinks`, one batch per sink and step.

    Use it from the line's loop (`step`) or with a thread per sink (`start`, `stop`), not both at once. `rng` spreads
    the retries. An exception of the outbox itself is not survived: `step` raises it, a thread keeps it for `check`.

    Waiting goes by the `steady` clock. The wall clock only dates the note of it that a later process finds; that one
    holds to it for at most `retry_max_seconds`, since the wall clock may have been set back meanwhile.
    """

    def __init__(
        self,
        outbox: Outbox,
        sinks: Mapping[str, Sink],
        config: OutboxConfig,
        clock: Clock = system_clock,
        rng: Random | None = None,
        *,
        steady: Clock = steady_clock,
    ) -> None:
        self.config = config
        self.counts = {name: SinkCounts() for name in sinks}
        self._outbox, self._sinks, self._clock, self._steady = outbox, dict(sinks), clock, steady
        self._rng = rng or Random()  # noqa: S311  spreads retries, guards nothing
        self._began_ns = steady()
        self._until_ns = dict.fromkeys(sinks, self._began_ns)  # steady
        self._noted_ns = dict.fromkeys(sinks, 0)  # the same as the outbox has it
        self._full, self._adding_up = False, Spaced(steady, longest=_STALE_SECONDS)
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._attempts = {name: Attempts(sink, steady, self._stopping) for name, sink in sinks.items()}
        self._woken = {name: threading.Event() for name in sinks}
        self._broken: Exception | None = None

    @property
    def blocked(self) -> bool:
        """The outbox is full: take in nothing more until a sink has made room.

        The answer may be a second old, or up to five where asking takes long: the outbox adds up all that waits.
        """
        if self._adding_up.due:
            with self._adding_up.asking():
                self._full = self._outbox.bytes() >= self.config.max_bytes
        return self._full

    def open_circuits(self) -> list[str]:
        """The sinks that are only probed for now."""
        return [name for name, counts in self.counts.items() if counts.failures >= self.config.break_after]

    def waiting(self) -> list[str]:
        """The sinks that have not got everything yet, with what kept the last attempt from it."""
        found = {name: counts.last_error for name, counts in self.counts.items() if self._outbox.depth(name)}
        return [f"{name} ({error})" if error else name for name, error in found.items()]

    # --- one step

    def step(self) -> int:
        """Try every sink that is due once; how many messages were settled (delivered or dead)."""
        return sum(self._step(name) for name in self._sinks)

    def due_ns(self) -> int:
        """When the next sink may be tried, by the steady clock."""
        return min(self._until_ns.values(), default=0)

    def drain(self, seconds: float, wait: Callable[[float], object] | None = None) -> bool:
        """Step until every sink has everything, for at most `seconds`; whether it came to that."""
        wait = wait or self._stopping.wait
        end_ns = self._steady() + round(seconds * _SECOND)
        while any(self._outbox.depth(name) for name in self._sinks):
            settled = self.step()
            now_ns = self._steady()
            if now_ns >= end_ns:
                return not any(self._outbox.depth(name) for name in self._sinks)
            if not settled:
                wait(min(max(self.due_ns() - now_ns, _SECOND // 20), end_ns - now_ns) / _SECOND)
        return True

    def _step(self, name: str) -> int:
        now_ns = self._steady()
        if now_ns < self._until_ns[name]:
            return 0
        counts, attempts = self.counts[name], self._attempts[name]
        probing = counts.failures >= self.config.break_after and not attempts.in_vain
        messages = self._outbox.pending(name, 1 if probing else self.config.batch, self._past_notes(name, now_ns))
        if not messages:
            return 0
        counts.attempts += 1
        done = attempts.make(messages)
        self._settle(name, done, now_ns)
        return len(done.delivered) + len(done.refused)

    def _past_notes(self, name: str, now_ns: int) -> int:
        """The time to tell the outbox: after our own note, whose time is over, and in the end after any."""
        if now_ns - self._began_ns > self.config.retry_max_seconds * _SECOND:
            return _FOR_EVER
        return max(self._clock(), self._noted_ns[name])

    def _settle(self, name: str, done: Done, now_ns: int) -> None:
        counts = self.counts[name]
        if done.delivered:
            self._outbox.delivered(name, done.delivered)
            counts.delivered += len(done.delivered)
        if done.refused:
            self._outbox.dead(name, done.refused)
            counts.dead += len(done.refused)
        if done.error is None:
            counts.failures = 0
            return
        counts.failed += 1
        counts.failures = 1 if done.delivered else counts.failures + 1
        counts.last_error = str(done.error)
        delay_ns = self._delay_ns(counts.failures, done.error.retry_after)
        self._until_ns[name], self._noted_ns[name] = now_ns + delay_ns, self._clock() + delay_ns
        self._outbox.postpone(name, self._noted_ns[name], counts.last_error)

    def _delay_ns(self, failures: int, retry_after: float | None) -> int:
        """Full jitter: anywhere up to the doubled ceiling, and never before the receiver wants to be asked again."""
        config = self.config
        ceiling = min(config.retry_max_seconds, config.retry_first_seconds * 2.0 ** min(failures - 1, 60))
        wish = min(retry_after or 0.0, config.retry_after_max_seconds)
        return round((max(wish, 0.0) + self._rng.uniform(0.0, ceiling)) * _SECOND)

    # --- threads

    def start(self) -> None:
        """One thread per sink, so that a slow one keeps nobody waiting."""
        self._stopping.clear()
        for name in self._sinks:
            thread = threading.Thread(target=self._run, args=(name,), name=f"deliver-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def wake(self) -> None:
        """There is something new in the outbox."""
        for event in self._woken.values():
            event.set()

    def stop(self, seconds: float = 5.0) -> bool:
        """Let each thread finish the batch it is at; whether all did within `seconds`. The rest stays in the outbox."""
        self._stopping.set()
        self.wake()
        for thread in self._threads:
            thread.join(seconds)
        finished = not any(thread.is_alive() for thread in self._threads)
        self._threads = []
        return finished

    def check(self) -> None:
        """Raise what ended a thread, if anything did."""
        if self._broken is not None:
            raise self._broken

    def close(self) -> None:
        """Stop the threads and close the sinks."""
        self.stop()
        for sink in self._sinks.values():
            sink.close()

    def _run(self, name: str) -> None:
        try:
            while not self._stopping.is_set():
                self._woken[name].clear()
                if self._step(name) == 0:
                    left = (self._until_ns[name] - self._steady()) / _SECOND
                    self._woken[name].wait(1.0 if left <= 0 else min(left, 1.0))
        except Exception as error:  # noqa: BLE001  the state of the outbox is unknown: `check` hands it to the line
            self._broken = error
