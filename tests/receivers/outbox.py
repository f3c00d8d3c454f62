"""An outbox in memory that keeps the whole promise of `core.ports.Outbox`, for tests."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import msgspec

from pipeline.core.model import Message


class MemoryOutbox:
    """Per sink: an ordered list of pending messages, dead letters with reasons, and a moment before which to wait."""

    def __init__(self, sinks: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._pending: dict[str, dict[str, tuple[int, Message]]] = {name: {} for name in sinks}
        self._dead: dict[str, dict[str, tuple[int, Message, str]]] = {name: {} for name in sinks}
        self._until_ns = dict.fromkeys(sinks, 0)
        self.reasons: dict[str, str] = {}

    def commit(self, messages: Sequence[Message], now_ns: int = 0) -> None:
        """What the store does in its transaction. A message that was there before is not put in again."""
        with self._lock:
            for name, pending in self._pending.items():
                for message in messages:
                    if message.event_id not in self._dead[name]:
                        pending.setdefault(message.event_id, (now_ns, message))

    def pending(self, sink: str, limit: int, now_ns: int) -> Sequence[Message]:
        with self._lock:
            if now_ns < self._until_ns[sink]:
                return []
            return [message for _, message in list(self._pending[sink].values())[:limit]]

    def delivered(self, sink: str, event_ids: Sequence[str]) -> None:
        with self._lock:
            for event_id in event_ids:
                self._pending[sink].pop(event_id, None)

    def postpone(self, sink: str, until_ns: int, reason: str) -> None:
        with self._lock:
            self._until_ns[sink] = until_ns
            self.reasons[sink] = reason

    def dead(self, sink: str, reasons: Mapping[str, str]) -> None:
        with self._lock:
            for event_id, reason in reasons.items():
                since, message = self._pending[sink].pop(event_id)
                self._dead[sink][event_id] = (since, message, reason)

    def replay(self, sink: str) -> int:
        with self._lock:
            letters, self._dead[sink] = self._dead[sink], {}
            self._pending[sink] |= {event_id: (since, m) for event_id, (since, m, _) in letters.items()}
            self._until_ns[sink] = 0
            return len(letters)

    def dead_letters(self, sink: str) -> dict[str, str]:
        with self._lock:
            return {event_id: reason for event_id, (_, _, reason) in self._dead[sink].items()}

    def depth(self, sink: str) -> int:
        with self._lock:
            return len(self._pending[sink])

    def oldest_ns(self, sink: str) -> int | None:
        with self._lock:
            return min((since for since, _ in self._pending[sink].values()), default=None)

    def bytes(self) -> int:
        with self._lock:
            held = [m for p in self._pending.values() for _, m in p.values()]
        return sum(len(msgspec.json.encode(message.alert)) for message in held)
