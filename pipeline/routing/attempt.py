"""One try at handing messages to one sink: what was taken, what was refused for good, and what went wrong.

A message that the receiver answers with a no that may pass, again and again, is refused for good once a message of
another alert is taken and it still is not: what somebody else wrote into one alert cannot keep the later ones away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.core.errors import DeliveryError, PartialDeliveryError

if TYPE_CHECKING:
    from threading import Event

    from pipeline.core.clock import Clock
    from pipeline.core.model import Message
    from pipeline.core.ports import Sink

STEP_SECONDS = 2  # how long a sink is given messages one by one before anybody looks whether to go on
HEAD_ANSWERS = 8  # how often a sink's first message is answered in vain before another is tried


@dataclass(slots=True)
class Done:
    """What an attempt settled: message by message, in order."""

    delivered: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    error: DeliveryError | None = None


class Attempts:
    """Those at one sink. `stopping` is looked at between messages that go one by one."""

    def __init__(self, sink: Sink, steady: Clock, stopping: Event) -> None:
        self._sink, self._steady, self._stopping = sink, steady, stopping
        self._first = ""  # event id of the message that the sink has to get next
        self._answers = 0  # how often it was answered and not taken
        self._turn = 0  # which of the others is tried next; it goes on when another message has become the first

    @property
    def in_vain(self) -> bool:
        """Whether the first message was answered so often that another must be tried."""
        return self._answers >= HEAD_ANSWERS

    def make(self, messages: Sequence[Message]) -> Done:
        """Try these, oldest first; at least one."""
        done, first = Done(), messages[0].event_id
        if self._first != first:
            self._first, self._answers = first, 0
        if self.in_vain:
            self._pass_by(messages, done)
        else:
            self._send_all(_to_the_second_state(messages), done)
        if done.error is not None and done.error.answered and first not in {*done.delivered, *done.refused}:
            self._answers += 1
        return done

    def _pass_by(self, messages: Sequence[Message], done: Done) -> None:
        """Try the first, then one of another alert, and the first again: what is not taken then is at fault itself."""
        first = messages[0]
        error = self._try(first, done)
        others = [m for m in _one_each(messages) if m.alert_uid != first.alert_uid]
        if error is None or not error.answered or not others:
            return
        other = others[self._turn % len(others)]
        self._try(other, done)
        if other.event_id not in done.delivered:
            self._turn += 1
            done.error = done.error or error
            return
        error = self._try(first, done)
        if error is not None and error.answered:
            done.refused[first.event_id] = f"refused while others are taken: {error}"
            done.error = None

    def _try(self, message: Message, done: Done) -> DeliveryError | None:
        done.error = None
        self._send([message], done)
        return done.error

    def _send_all(self, messages: Sequence[Message], done: Done) -> None:
        """To a sink that has one request for each message, one by one and for `STEP_SECONDS`; the rest waits."""
        if not getattr(self._sink, "one_by_one", False):
            self._send(messages, done)
            return
        end_ns = self._steady() + STEP_SECONDS * 1_000_000_000
        for message in messages:
            self._send([message], done)
            if done.error is not None or self._steady() >= end_ns or self._stopping.is_set():
                return

    def _send(self, messages: Sequence[Message], done: Done) -> None:
        """Hand over; a batch refused for good is halved until the one that is at fault stands alone."""
        try:
            refused = dict(self._sink.send(messages))
        except PartialDeliveryError as error:
            done.delivered += error.delivered
            done.refused |= error.refused
            done.error = error
        except DeliveryError as error:
            if not error.permanent:
                done.error = error
            elif len(messages) == 1:
                done.refused[messages[0].event_id] = str(error)
            else:
                self._halve(messages, done)
        except Exception as error:  # noqa: BLE001  a sink's own fault: counted, told by name, tried again
            done.error = DeliveryError(f"the sink failed: {type(error).__name__}", answered=True)
        else:
            done.refused |= refused
            done.delivered += [message.event_id for message in messages if message.event_id not in refused]

    def _halve(self, messages: Sequence[Message], done: Done) -> None:
        middle = len(messages) // 2
        for half in (messages[:middle], messages[middle:]):
            if done.error is None:
                self._send(half, done)


def _one_each(messages: Sequence[Message]) -> list[Message]:
    """The first message of each alert."""
    found: dict[str, Message] = {}
    for message in messages:
        found.setdefault(message.alert_uid, message)
    return list(found.values())


def _to_the_second_state(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages before the first that is another state of an alert among them: a receiver may take part of a batch,
    and the later state must not be in the part that it takes."""
    seen: set[str] = set()
    for end, message in enumerate(messages):
        if message.alert_uid in seen:
            return messages[:end]
        seen.add(message.alert_uid)
    return messages
