"""Delivery: back-off, circuit, dead letters, order, back-pressure, threads, on an outbox that keeps its promise."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from random import Random

import pytest

from pipeline.core.errors import DeliveryError, PartialDeliveryError, StoreError
from pipeline.core.model import Message
from pipeline.routing import Deliverer, OutboxConfig
from tests.receivers.messages import message
from tests.receivers.outbox import MemoryOutbox

SECOND = 1_000_000_000


class Receiving:
    """A sink that does what `rule` says and keeps what it took, in order."""

    def __init__(self, rule: Callable[[Sequence[Message]], Mapping[str, str]] = lambda _: {}) -> None:
        self.rule = rule
        self.calls: list[list[str]] = []
        self.taken: list[str] = []
        self.closed = False

    def send(self, messages: Sequence[Message]) -> Mapping[str, str]:
        ids = [m.event_id for m in messages]
        self.calls.append(ids)
        try:
            refused = self.rule(messages)
        except PartialDeliveryError as error:
            self.taken += error.delivered
            raise
        self.taken += [i for i in ids if i not in refused]
        return refused

    def close(self) -> None:
        self.closed = True


class Clock:
    def __init__(self) -> None:
        self.ns = 1_000 * SECOND

    def __call__(self) -> int:
        return self.ns


def failing(error: Exception) -> Callable[[Sequence[Message]], Mapping[str, str]]:
    def rule(_: Sequence[Message]) -> Mapping[str, str]:
        raise error

    return rule


def made(count: int, sink: Receiving, **config: float) -> tuple[Deliverer, MemoryOutbox, Clock, list[str]]:
    outbox, clock = MemoryOutbox(["s"]), Clock()
    messages = [message(number) for number in range(count)]
    outbox.commit(messages)
    deliverer = Deliverer(outbox, {"s": sink}, OutboxConfig(**config), clock, Random(1), steady=clock)
    return deliverer, outbox, clock, [m.event_id for m in messages]


def test_delivers_in_order_and_empties_the_outbox() -> None:
    """Everything arrives in the order it was committed, a batch at a time."""
    sink = Receiving()
    deliverer, outbox, _, ids = made(25, sink, batch=10)
    assert [deliverer.step() for _ in range(4)] == [10, 10, 5, 0]
    assert sink.taken == ids
    assert outbox.depth("s") == 0
    assert outbox.oldest_ns("s") is None
    assert deliverer.counts["s"].delivered == 25


def test_backs_off_with_full_jitter_under_a_doubling_ceiling() -> None:
    """Each failure may wait twice as long as the one before, up to the maximum, and nothing is sent meanwhile."""
    sink = Receiving(failing(DeliveryError("down")))
    deliverer, outbox, clock, _ = made(1, sink, retry_first_seconds=1, retry_max_seconds=8)
    waits = []
    for _ in range(40):
        before = clock.ns
        calls = len(sink.calls)
        deliverer.step()
        assert len(sink.calls) == calls + 1
        waits.append((deliverer.due_ns() - before) / SECOND)
        clock.ns = deliverer.due_ns() - 1
        deliverer.step()
        assert len(sink.calls) == calls + 1
        clock.ns += 1
    assert all(wait <= min(8, 2.0**number) for number, wait in enumerate(waits))
    assert max(waits[5:]) > 6
    assert min(waits[5:]) < 2
    assert outbox.depth("s") == 1
    assert outbox.reasons == {"s": "down"}


@pytest.mark.parametrize("leap", [-3600, 86_400, -50 * 365 * 86_400])
def test_a_wall_clock_that_is_set_changes_no_waiting(leap: int) -> None:
    """Neither sooner nor later is asked again, though the note that the outbox has is of another time by then."""
    sink, outbox, wall, steady = Receiving(failing(DeliveryError("down"))), MemoryOutbox(["s"]), Clock(), Clock()
    wall.ns = 1_700_000_000 * SECOND
    outbox.commit([message(1)])
    deliverer = Deliverer(outbox, {"s": sink}, OutboxConfig(retry_first_seconds=60), wall, Random(1), steady=steady)
    deliverer.step()
    wall.ns += leap * SECOND
    for number in range(2, 6):
        steady.ns = deliverer.due_ns() - 1
        assert (deliverer.step(), len(sink.calls)) == (0, number - 1)
        steady.ns += 1
        assert (deliverer.step(), len(sink.calls)) == (0, number)


def test_what_an_earlier_process_noted_is_held_to_for_so_long_as_a_wait_may_be() -> None:
    """A note that the clock, set back since, puts an hour away holds a sink up for `retry_max_seconds`, not an hour."""
    sink, outbox, wall, steady = Receiving(), MemoryOutbox(["s"]), Clock(), Clock()
    outbox.commit([message(1)])
    outbox.postpone("s", wall.ns + 3600 * SECOND, "down")
    deliverer = Deliverer(outbox, {"s": sink}, OutboxConfig(retry_max_seconds=20), wall, Random(1), steady=steady)
    steady.ns += 20 * SECOND
    assert deliverer.step() == 0
    steady.ns += 1
    assert deliverer.step() == 1


def test_a_receivers_wish_is_honoured_and_not_believed_beyond_reason() -> None:
    """`retry_after` is the least to wait; one of years is cut to the configured maximum."""
    for wish, least, most in ((30.0, 30.0, 30.5), (1e9, 3600.0, 3600.5)):
        sink = Receiving(failing(DeliveryError("busy", retry_after=wish)))
        deliverer, _, clock, _ = made(1, sink)
        deliverer.step()
        assert least <= (deliverer.due_ns() - clock.ns) / SECOND <= most


def test_an_open_circuit_probes_with_one_message() -> None:
    """After enough failures in a row only one message is risked; success brings the full batch back."""
    sink = Receiving(failing(DeliveryError("down")))
    deliverer, _, clock, ids = made(20, sink, break_after=3)
    for _ in range(5):
        deliverer.step()
        clock.ns = deliverer.due_ns()
    assert [len(call) for call in sink.calls] == [20, 20, 20, 1, 1]
    assert deliverer.open_circuits() == ["s"]
    sink.rule = lambda _: {}
    deliverer.step()
    assert deliverer.open_circuits() == []
    deliverer.step()
    assert sink.taken == ids


def test_what_is_refused_for_good_is_set_aside_with_its_reason_and_can_be_replayed() -> None:
    """A message refused by itself becomes a dead letter; the others go on; replay makes it pending again."""
    sink = Receiving(
        lambda messages: {m.event_id: "bad field" for m in messages if m.event_id.startswith("0" * 31 + "3")}
    )
    deliverer, outbox, _, ids = made(6, sink)
    deliverer.step()
    assert outbox.dead_letters("s") == {ids[3]: "bad field"}
    assert sink.taken == [i for i in ids if i != ids[3]]
    assert outbox.bytes() == 0
    sink.rule = lambda _: {}
    assert outbox.replay("s") == 1
    deliverer.step()
    assert sink.taken[-1] == ids[3]


def test_a_batch_refused_for_good_is_halved_until_the_one_at_fault_stands_alone() -> None:
    """One poisonous message among many costs only itself, and the order of the rest holds."""

    def rule(messages: Sequence[Message]) -> Mapping[str, str]:
        if any(m.event_id == poison for m in messages):
            raise DeliveryError("400", permanent=True)
        return {}

    sink = Receiving(rule)
    deliverer, outbox, _, ids = made(33, sink)
    poison = ids[17]
    assert deliverer.step() == 33
    assert outbox.dead_letters("s") == {poison: "400"}
    assert sink.taken == [i for i in ids if i != poison]


def test_halving_stops_at_a_failure_that_may_pass() -> None:
    """When the receiver goes away midway, what was settled stays settled and the rest stays pending, in order."""
    calls = iter([DeliveryError("400", permanent=True), None, DeliveryError("gone")])

    def rule(_: Sequence[Message]) -> Mapping[str, str]:
        error = next(calls, None)
        if error:
            raise error
        return {}

    sink = Receiving(rule)
    deliverer, outbox, clock, ids = made(8, sink)
    deliverer.step()
    assert sink.taken == ids[:4]
    assert [m.event_id for m in outbox.pending("s", 99, deliverer.due_ns())] == ids[4:]
    clock.ns = deliverer.due_ns()
    deliverer.step()
    assert sink.taken == ids


def test_a_part_that_is_safe_is_not_sent_again() -> None:
    """Of a half-accepted batch only the other half stays, and progress keeps the circuit closed."""

    def rule(messages: Sequence[Message]) -> Mapping[str, str]:
        ids = [m.event_id for m in messages]
        raise PartialDeliveryError("half", delivered=ids[:2], refused={ids[2]: "never"}, retry_after=1)

    sink = Receiving(rule)
    deliverer, outbox, clock, ids = made(9, sink, break_after=2)
    for _ in range(3):
        deliverer.step()
        clock.ns = deliverer.due_ns()
    assert sink.taken == [i for i in ids if ids.index(i) % 3 != 2]
    assert list(outbox.dead_letters("s")) == [ids[2], ids[5], ids[8]]
    assert outbox.depth("s") == 0


def test_a_sink_with_a_fault_of_its_own_is_told_by_name_and_tried_again() -> None:
    """Any exception of a sink is a counted failure; its text, which might hold what was sent, goes nowhere."""
    sink = Receiving(failing(KeyError("hvs.SECRET")))
    deliverer, outbox, _, _ = made(1, sink)
    assert deliverer.step() == 0
    assert deliverer.counts["s"].failed == 1
    assert outbox.reasons["s"] == "the sink failed: KeyError"


def test_two_states_of_an_alert_are_never_in_one_batch() -> None:
    """A receiver that takes the later half of a batch cannot get an alert's second state before its first."""

    def rule(messages: Sequence[Message]) -> Mapping[str, str]:
        if messages[0].event_id == sent[0].event_id and len(sink.calls) == 1:
            raise PartialDeliveryError("busy", delivered=[m.event_id for m in messages[1:]], refused={})
        return {}

    sent = [message(1, 1), message(2, 1), message(1, 2), message(3, 1), message(3, 2), message(3, 3)]
    sink, outbox, clock = Receiving(rule), MemoryOutbox(["s"]), Clock()
    outbox.commit(sent)
    run_on(Deliverer(outbox, {"s": sink}, OutboxConfig(), clock, Random(1), steady=clock), clock, 9)
    ids = [m.event_id for m in sent]
    assert sink.calls == [ids[:2], ids[:1], [ids[2], ids[3]], [ids[4]], [ids[5]]]
    assert [i for i in sink.taken if i in (ids[0], ids[2])] == [ids[0], ids[2]]
    assert outbox.depth("s") == 0


def run_on(deliverer: Deliverer, clock: Clock, steps: int) -> None:
    for _ in range(steps):
        deliverer.step()
        clock.ns = max(clock.ns, deliverer.due_ns())


@pytest.mark.parametrize("poisoned", [(0,), (0, 1, 2), (3,), (0, 5)])
def test_what_is_never_taken_holds_its_sink_up_for_so_long_only(poisoned: tuple[int, ...]) -> None:
    """A receiver answers 403 to whatever holds certain messages: those become dead letters, all others arrive."""

    def rule(messages: Sequence[Message]) -> Mapping[str, str]:
        if any(m.event_id in poison for m in messages):
            raise DeliveryError("answered 403", answered=True)
        return {}

    sink = Receiving(rule)
    deliverer, outbox, clock, ids = made(7, sink)
    poison = [ids[number] for number in poisoned]
    run_on(deliverer, clock, 120)
    told = "refused while others are taken: answered 403"
    last_is_alone = poison[-1:] if outbox.depth("s") else []
    assert outbox.dead_letters("s") == {i: told for i in poison if i not in last_is_alone}
    assert sorted(sink.taken) == [i for i in ids if i not in poison]


@pytest.mark.parametrize("answered", [True, False])
def test_a_receiver_that_takes_nothing_for_long_loses_nothing(answered: bool) -> None:
    """However often all of it fails, nothing is given up and all of it arrives in order; nobody there, one is tried."""
    sink = Receiving(failing(DeliveryError("503", answered=answered)))
    deliverer, outbox, clock, ids = made(7, sink)
    run_on(deliverer, clock, 60)
    assert all(call == ids[:1] for call in sink.calls[5:]) is not answered
    sink.rule = lambda _: {}
    run_on(deliverer, clock, 10)
    assert (sink.taken, outbox.dead_letters("s")) == (ids, {})


def test_a_dead_sink_does_not_hold_up_another() -> None:
    """Each sink has its own cursor."""
    outbox, clock = MemoryOutbox(["down", "up"]), Clock()
    outbox.commit([message(1)], clock.ns)
    down, up = Receiving(failing(DeliveryError("no"))), Receiving()
    deliverer = Deliverer(outbox, {"down": down, "up": up}, OutboxConfig(), clock, steady=clock)
    assert deliverer.step() == 1
    assert (outbox.depth("down"), outbox.depth("up")) == (1, 0)
    assert outbox.oldest_ns("down") == clock.ns
    deliverer.close()
    assert down.closed
    assert up.closed


def test_a_full_outbox_blocks_and_a_delivery_frees_it() -> None:
    """`blocked` is true from the configured size on, and false again a second after there is room."""
    sink = Receiving(failing(DeliveryError("down")))
    deliverer, _, clock, _ = made(10, sink, max_bytes=2000)
    assert deliverer.blocked
    sink.rule = lambda _: {}
    clock.ns = deliverer.due_ns()
    deliverer.step()
    clock.ns += SECOND
    assert not deliverer.blocked


@pytest.mark.parametrize(("cost", "apart"), [(0.0, 1.0), (0.2, 2.0), (3.0, 5.0)])
def test_the_outbox_is_added_up_once_a_second_at_most(cost: float, apart: float) -> None:
    """However often `blocked` is looked at; where adding up takes long, it is done less often."""
    clock, asked = Clock(), []

    class Large(MemoryOutbox):
        def bytes(self) -> int:
            clock.ns += round(cost * SECOND)
            asked.append(clock.ns)
            return 0

    deliverer = Deliverer(Large(["s"]), {"s": Receiving()}, OutboxConfig(), clock, steady=clock)
    for _ in range(3000):
        assert not deliverer.blocked
        clock.ns += SECOND // 100
    assert min(later - sooner for sooner, later in itertools.pairwise(asked)) >= (apart + cost) * SECOND
    assert len(asked) > 3


def test_drain_waits_for_what_comes_back_and_gives_up_at_its_end() -> None:
    """Draining ends true when all is out, false when the time is over; it sleeps instead of spinning."""
    failures = [DeliveryError("x")] * 3

    def rule(_: Sequence[Message]) -> Mapping[str, str]:
        if failures:
            raise failures.pop()
        return {}

    def wait(seconds: float) -> None:
        clock.ns += round(seconds * SECOND)

    sink = Receiving(rule)
    deliverer, _, clock, ids = made(3, sink)
    assert deliverer.drain(60, wait)
    assert sink.taken == ids
    dead, outbox, clock, _ = made(3, Receiving(failing(DeliveryError("x"))))
    assert not dead.drain(60, wait)
    assert outbox.depth("s") == 3


def test_a_slow_sink_that_takes_one_by_one_does_not_hold_up_the_end() -> None:
    """With 14 s for a message, draining for 10 s ends with the first; what was taken is not sent again."""

    def slow(messages: Sequence[Message]) -> Mapping[str, str]:
        clock.ns += 14 * SECOND * len(messages)
        return {}

    sink = Receiving(slow)
    sink.one_by_one = True  # type: ignore[attr-defined]
    deliverer, outbox, clock, ids = made(500, sink)
    began = clock.ns
    assert not deliverer.drain(10)
    assert (clock.ns - began, sink.taken, outbox.depth("s")) == (14 * SECOND, ids[:1], 499)
    sink.rule = lambda _: {}
    assert deliverer.drain(10)
    assert sink.taken == ids


def test_threads_deliver_each_sink_at_its_own_pace() -> None:
    """While one sink hangs, another gets everything, and stop waits for the batch under way."""
    gate, entered = threading.Event(), threading.Event()

    def hang(_: Sequence[Message]) -> Mapping[str, str]:
        entered.set()
        gate.wait(10)
        return {}

    outbox = MemoryOutbox(["slow", "fast"])
    arrived = threading.Event()
    fast = Receiving(lambda messages: arrived.set() or {} if messages else {})
    deliverer = Deliverer(outbox, {"slow": Receiving(hang), "fast": fast}, OutboxConfig())
    deliverer.start()
    outbox.commit([message(1)])
    deliverer.wake()
    assert entered.wait(10)
    assert arrived.wait(10)
    gate.set()
    assert deliverer.stop(10)
    assert outbox.depth("slow") == outbox.depth("fast") == 0
    deliverer.check()


def test_an_outbox_that_fails_ends_the_thread_and_is_reported() -> None:
    """A store error in a thread is not swallowed: `check` raises it in the line."""

    class Broken(MemoryOutbox):
        def pending(self, sink: str, limit: int, now_ns: int) -> Sequence[Message]:
            raise StoreError("the lake is gone")

    deliverer = Deliverer(Broken(["s"]), {"s": Receiving()}, OutboxConfig())
    deliverer.start()
    for thread in list(deliverer._threads):
        thread.join(10)
    with pytest.raises(StoreError, match="the lake is gone"):
        deliverer.check()
    assert deliverer.stop()


def test_repeated_commits_and_restarts_give_each_event_id_once() -> None:
    """A replay that commits pending messages again does not double them."""
    sink = Receiving()
    deliverer, outbox, _, ids = made(5, sink, batch=2)
    deliverer.step()
    outbox.commit([message(number) for number in range(2, 5)])
    while deliverer.step():
        pass
    assert sink.taken == ids


@pytest.mark.parametrize("given", [{"retry_first_seconds": 0}, {"retry_max_seconds": 0.1}, {"batch": 0}])
def test_a_config_that_makes_no_sense_is_refused(given: dict[str, float]) -> None:
    """Times and sizes out of range are an error at once."""
    with pytest.raises(ValueError, match="must"):
        OutboxConfig(**given)
