"""What every sink promises, for every folder in pipeline/sinks, on receivers that keep the real ones' rules."""

from __future__ import annotations

import inspect
import io
import itertools
import json
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.core import plugins
from pipeline.core.errors import DeliveryError
from pipeline.core.ports import Sink
from tests.integration.kafka.broker import Broker
from tests.integration.kafka.cluster import TopicPartition, delete_topic, make_topic
from tests.receivers.bulk import Elastic
from tests.receivers.cases import KINDS, ROOM, Case, find_cases, folder
from tests.receivers.hec import Hec
from tests.receivers.hooks import AlertmanagerV2, Hook
from tests.receivers.http import BadDay
from tests.receivers.litter import collect
from tests.receivers.messages import HOSTILE, hostile, message
from tests.receivers.syslog import SyslogTls, certificate
from tests.receivers.wire import PARSERS

SECRET = "hush-3d1f0c"
CASES = find_cases()
each_kind = pytest.mark.parametrize("kind", KINDS)


@dataclass
class Bench:
    """A sink with a receiver. `events` are the event ids the receiver has, once there are so many.

    `take_down` spoils the next request; `bring_back` mends what that takes, before the one after it.
    """

    sink: Sink
    events: Callable[[int], list[str]]
    take_down: Callable[[], None]
    bring_back: Callable[[], None] = lambda: None


def config(kind: str, **given: Any) -> Any:
    return msgspec.convert(given, plugins.config_type(ROOM, kind))


def made(kind: str, **given: Any) -> Sink:
    sink: Sink = plugins.load(ROOM, kind).create(config(kind, **given))
    return sink


@contextmanager
def splunk_hec(_: Path) -> Iterator[Bench]:
    with Hec(SECRET, ack=True) as receiver:
        sink = made("splunk_hec", url=receiver.url, token={"env": "KEYTRAIL_TEST_SECRET"}, ack=True)
        yield Bench(sink, lambda _: receiver.event_ids(), lambda: receiver.bad_days.append(BadDay()))


@contextmanager
def elastic(_: Path) -> Iterator[Bench]:
    with Elastic("alerts", SECRET) as receiver:
        sink = made("elastic", url=receiver.url, data_stream="alerts", api_key={"env": "KEYTRAIL_TEST_SECRET"})
        yield Bench(sink, lambda _: list(receiver.documents), lambda: receiver.bad_days.append(BadDay()))


@contextmanager
def webhook(_: Path) -> Iterator[Bench]:
    with Hook(SECRET.encode()) as receiver:
        sink = made("webhook", url=receiver.url + "/hook", secret={"env": "KEYTRAIL_TEST_SECRET"})
        yield Bench(sink, lambda _: list(receiver.taken), lambda: receiver.bad_days.append(BadDay()))


@contextmanager
def alertmanager(_: Path) -> Iterator[Bench]:
    with AlertmanagerV2() as receiver:
        sink = made("alertmanager", url=receiver.url)

        def events(_: int) -> list[str]:
            return [alert["annotations"]["event_id"] for alert in receiver.alerts.values()]

        yield Bench(sink, events, lambda: receiver.bad_days.append(BadDay()))


@contextmanager
def syslog(folder: Path) -> Iterator[Bench]:
    pem = certificate(folder)
    with SyslogTls(pem) as receiver:
        sink = made("syslog", address=receiver.address, tls_ca=str(pem))

        def events(least: int) -> list[str]:
            assert receiver.wait_for(least)
            assert not receiver.broken
            return [parsed.params["event"] for parsed in receiver.parsed]

        def take_down() -> None:
            receiver.refuse += 1

        yield Bench(sink, events, take_down)


@contextmanager
def ocsf_jsonl(folder: Path) -> Iterator[Bench]:
    path = folder / "out" / "alerts.jsonl"
    sink = made("ocsf_jsonl", path=str(path))

    def take_down() -> None:
        path.parent.mkdir()
        path.mkdir()  # a folder stands where the file should be, until the sink has tried

    def events(_: int) -> list[str]:
        return [json.loads(line)["metadata"]["uid"] for line in path.read_text("utf-8").splitlines()]

    yield Bench(sink, events, take_down, path.rmdir)


@contextmanager
def terminal(_: Path) -> Iterator[Bench]:
    class Stream(io.StringIO):
        encoding = "utf-8"
        broken = False

        def flush(self) -> None:
            if self.broken:
                self.broken = False
                self.truncate(0)
                self.seek(0)
                raise BrokenPipeError

    stream = Stream()
    sink = plugins.load(ROOM, "terminal").create(config("terminal"), stream=stream)

    def take_down() -> None:
        stream.broken = True

    yield Bench(sink, lambda _: [line.rsplit("[", 1)[1][:-1] for line in stream.getvalue().splitlines()], take_down)


@contextmanager
def kafka(_: Path, broker: Broker) -> Iterator[Bench]:
    from kafka import KafkaConsumer  # noqa: PLC0415  by now the client's own warnings have been dealt with

    topic = f"alerts-{uuid.uuid4().hex}"
    make_topic(broker.address, topic, 2)
    sink = made("kafka", servers=broker.address, topic=topic, timeout_seconds=2)

    def events(least: int) -> list[str]:
        consumer = KafkaConsumer(
            topic, bootstrap_servers=broker.address, auto_offset_reset="earliest", consumer_timeout_ms=10_000
        )
        found = [dict(record.headers)["event_id"].decode() for record in itertools.islice(consumer, least)]
        end = consumer.end_offsets([TopicPartition(topic, 0), TopicPartition(topic, 1)])
        found += [dict(r.headers)["event_id"].decode() for r in itertools.islice(consumer, sum(end.values()) - least)]
        consumer.close()
        return sorted(found)

    yield Bench(sink, events, lambda: broker.send(signal.SIGSTOP), lambda: broker.send(signal.SIGCONT))
    sink.close()
    delete_topic(broker.address, topic)
    collect()


BENCHES: dict[str, Callable[[Path], Any]] = {
    function.__name__: function
    for function in (splunk_hec, elastic, webhook, alertmanager, syslog, ocsf_jsonl, terminal, kafka)
}


@pytest.fixture
def bench(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Bench]:
    monkeypatch.setenv("KEYTRAIL_TEST_SECRET", SECRET)
    needed = (request.getfixturevalue("broker"),) if kind == "kafka" else ()
    with BENCHES[kind](tmp_path, *needed) as made_bench:
        yield made_bench
        made_bench.sink.close()


@each_kind
def test_a_folder_is_whole(kind: str) -> None:
    """A sink has a config, `create`, `wire`, cases, a receiver, and a README that says what it cannot promise."""
    module = plugins.load(ROOM, kind)
    assert issubclass(module.Config, msgspec.Struct)
    assert module.Config.__struct_config__.frozen
    assert callable(module.create)
    assert next(iter(inspect.signature(module.create).parameters)) == "config"
    readme = (folder(kind) / "README.md").read_text("utf-8")
    for part in ("## Settings", "## What is promised", "## When it does not work"):
        assert part in readme
    for name in module.Config.__struct_fields__:
        assert f"`{name}`" in readme
    assert sum(case.kind == kind for case in CASES) >= 3
    assert kind in BENCHES
    assert kind in PARSERS


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.name}")
def test_cases_hold_to_the_byte(case: Case) -> None:
    """A message becomes exactly the bytes in its case file, every time."""
    assert case.wire() == case.expected.read_bytes()
    assert case.wire() == case.wire()


@each_kind
def test_one_message_stays_one_message(kind: str) -> None:
    """Whatever text an alert holds, the receiver's own grammar finds one message, of this event id."""
    module = plugins.load(ROOM, kind)
    settings = next(case.config for case in CASES if case.kind == kind)
    for text in HOSTILE:
        sent = hostile(text)
        assert PARSERS[kind](module.wire(sent, settings)) == [sent.event_id]


@each_kind
def test_a_batch_arrives_and_a_repetition_is_recognised(kind: str, bench: Bench) -> None:
    """Messages sent twice are there under the same event ids, so a receiver that looks at ids has each once."""
    messages = [message(1), message(2)]
    assert bench.sink.send(messages) == {}
    assert sorted(bench.events(2)) == [m.event_id for m in messages]
    assert bench.sink.send(messages) == {}
    assert sorted(set(bench.events(2))) == [m.event_id for m in messages]


@each_kind
def test_nothing_to_send_is_nothing_sent(kind: str, bench: Bench) -> None:
    """An empty batch is no error."""
    assert bench.sink.send([]) == {}


@each_kind
def test_a_failure_is_told_and_leaves_nothing_behind(kind: str, bench: Bench) -> None:
    """A failing receiver makes a DeliveryError that may pass and names no secret; the next attempt gets through."""
    if kind == "kafka" and os.environ.get("KEYTRAIL_TEST_KAFKA"):
        pytest.skip("the broker under test is not ours to pause")
    bench.take_down()
    with pytest.raises(DeliveryError) as raised:
        bench.sink.send([message(1), message(2)])
    assert not raised.value.permanent
    assert SECRET not in str(raised.value) + repr(raised.value) + repr(bench.sink)
    bench.bring_back()
    assert bench.sink.send([message(1), message(2)]) == {}
    assert sorted(set(bench.events(2))) == [message(1).event_id, message(2).event_id]


@each_kind
def test_hostile_text_is_taken_by_the_receiver(kind: str, bench: Bench) -> None:
    """Every hostile alert is delivered or refused by itself; none takes another with it or forges one."""
    for number, text in enumerate(HOSTILE, start=1):
        sent = hostile(text)
        row = dict(sent.alert) | {"uid": f"{number:032x}"}
        again = type(sent)(f"{row['uid']}:1", row["uid"], 1, row)
        assert bench.sink.send([again]) == {}
    assert len(set(bench.events(len(HOSTILE)))) == len(HOSTILE)


@each_kind
def test_unknown_settings_are_refused(kind: str) -> None:
    """A misspelt key is an error, not a silent default."""
    with pytest.raises(msgspec.ValidationError):
        config(kind, misspelt=1)
