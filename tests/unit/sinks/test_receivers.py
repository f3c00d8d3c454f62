"""Each protocol's own bad days: acknowledgements, answers per document, signatures, label sets, broken connections."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from pipeline.core import plugins
from pipeline.core.errors import ConfigError, DeliveryError, PartialDeliveryError
from pipeline.routing import Deliverer, OutboxConfig
from pipeline.sinks.splunk_hec.collector import Collector
from pipeline.sinks.webhook import key_of, sign
from tests.receivers.bulk import Elastic
from tests.receivers.hec import Hec
from tests.receivers.hooks import AlertmanagerV2, Hook
from tests.receivers.http import Answer, BadDay
from tests.receivers.messages import message
from tests.receivers.outbox import MemoryOutbox
from tests.receivers.syslog import SyslogTls, certificate

THREE = [message(number) for number in (1, 2, 3)]
IDS = [m.event_id for m in THREE]


SINKS: list[Any] = []


@pytest.fixture(autouse=True)
def _around(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("T", "hush")
    yield
    while SINKS:
        SINKS.pop().close()


def made(kind: str, **given: Any) -> Any:
    config = msgspec.convert(given, plugins.config_type("pipeline.sinks", kind))
    SINKS.append(plugins.load("pipeline.sinks", kind).create(config))
    return SINKS[-1]


def deliver(sink: Any, receiver_ready: Any = None, tries: int = 30) -> MemoryOutbox:
    """Run the real deliverer until all is settled or `tries` steps are over, on a clock that jumps."""
    outbox, clock = MemoryOutbox(["s"]), [1]
    outbox.commit(THREE)
    deliverer = Deliverer(outbox, {"s": sink}, OutboxConfig(), rng=Random(1), steady=lambda: clock[0])
    for _ in range(tries):
        deliverer.step()
        clock[0] = max(clock[0], deliverer.due_ns())
    return outbox


# --- Splunk HEC


def hec(receiver: Hec, **given: Any) -> Any:
    return made("splunk_hec", url=receiver.url, token={"env": "T"}, **given)


def test_hec_waits_for_every_acknowledgement() -> None:
    """A batch is delivered when the indexer says so, however often it must be asked."""
    with Hec("hush", ack=True, polls_needed=3) as receiver:
        sink = hec(receiver, ack=True)
        assert sink.send(THREE) == {}
        assert receiver.event_ids() == IDS
        assert (sink.sent, sink.polls, sink.unacknowledged) == (3, 3, 0)


def test_hec_that_lies_is_not_believed() -> None:
    """Accepted but never acknowledged is not delivered, and the same ids come again."""
    with Hec("hush", ack=True) as receiver:
        receiver.lie = True
        with pytest.raises(DeliveryError, match="did not acknowledge 1 requests in time"):
            hec(receiver, ack=True, ack_timeout_seconds=0.2).send(THREE)
        receiver.lie = False
        assert hec(receiver, ack=True).send(THREE) == {}
        assert receiver.event_ids() == IDS


def test_hec_tells_what_was_acknowledged_when_the_rest_was_not() -> None:
    """Of several requests, those that are indexed stay delivered although another one never is."""

    class Half(Hec):
        def _acked(self, channel: str, number: int) -> bool:
            return number == 0 and super()._acked(channel, number)

    with Half("hush", ack=True) as receiver:
        sink = hec(receiver, ack=True, ack_timeout_seconds=0.2, batch_bytes=1)
        with pytest.raises(PartialDeliveryError) as raised:
            sink.send(THREE)
        assert raised.value.delivered == (IDS[0],)
        assert raised.value.refused == {}


def test_hec_without_acknowledgement_takes_200_and_counts_it() -> None:
    """A token that has no acknowledgement answers without an id: accepted has to do, and is counted."""
    with Hec("hush") as receiver:
        sink = hec(receiver, ack=True)
        assert sink.send(THREE) == {}
        assert sink.unacknowledged == 3
        assert sink.polls == 0


def test_hec_that_forgets_its_acknowledgements_midway() -> None:
    """ "Ack is disabled" in answer to the question is taken as accepted, not asked for ever."""
    with Hec("hush", ack=True, polls_needed=2) as receiver:
        sink = Collector(
            receiver.url,
            "hush",
            lambda m: json.dumps({"event": m.event_id}).encode(),
            ack=True,
            ack_seconds=5,
            seconds=5,
            batch_bytes=10**6,
            wait=lambda _: setattr(receiver, "ack", False),
        )
        SINKS.append(sink)
        assert sink.send(THREE) == {}
        assert sink.unacknowledged == 3


@pytest.mark.parametrize(("status", "header"), [(503, "3"), (429, "3")])
def test_hec_busy(status: int, header: str) -> None:
    """429 and 503 are waited out as the receiver wishes."""
    with Hec("hush") as receiver:
        receiver.bad_days.append(BadDay(Answer(status, b'{"code":9}', {"Retry-After": header})))
        with pytest.raises(DeliveryError, match="server is busy") as raised:
            hec(receiver).send(THREE)
        assert raised.value.retry_after == 3.0
        assert not raised.value.permanent


def test_hec_set_up_faults_drop_nothing() -> None:
    """A wrong token, a wrong index and a page that is no collector's are said, and the messages kept."""
    with Hec("other", indexes=("main",)) as receiver:
        with pytest.raises(DeliveryError, match="invalid token") as wrong_token:
            hec(receiver).send(THREE)
        receiver.token = "hush"
        with pytest.raises(DeliveryError, match="incorrect index") as wrong_index:
            hec(receiver, index="secrets").send(THREE)
        receiver.bad_days.append(BadDay(Answer(200, b"<html>welcome</html>")))
        with pytest.raises(DeliveryError, match="not a collector") as wrong_place:
            hec(receiver).send(THREE)
    for raised in (wrong_token, wrong_index, wrong_place):
        assert not raised.value.permanent
        assert "hush" not in str(raised.value)


def test_hec_one_bad_event_costs_only_itself() -> None:
    """The collector refuses a batch for one event: that one becomes a dead letter, the others arrive."""

    class Picky(Hec):
        def _refusal(self, event: Any) -> int:
            return 6 if event["fields"]["event_id"] == IDS[1] else super()._refusal(event)

    with Picky("hush") as receiver:
        outbox = deliver(hec(receiver))
        assert list(outbox.dead_letters("s")) == [IDS[1]]
        assert set(receiver.event_ids()) == {IDS[0], IDS[2]}
        assert outbox.depth("s") == 0


def test_hec_requests_are_bounded_and_compressed() -> None:
    """No request is larger than asked for unless one event is, and every body is gzip."""
    with Hec("hush") as receiver:
        hec(receiver, batch_bytes=4000).send(THREE)
        assert len(receiver.requests) == 3
        assert all(request.headers["content-encoding"] == "gzip" for request in receiver.requests)


# --- Elastic


def elastic(receiver: Elastic) -> Any:
    return made("elastic", url=receiver.url, data_stream="alerts", api_key={"env": "T"})


def test_elastic_only_what_failed_comes_again() -> None:
    """429 and 500 bring back those documents alone, a lost answer is recognised by its 409, 400 is a dead letter."""
    with Elastic("alerts", "hush") as receiver:
        receiver.faults = {IDS[0]: [429, 500], IDS[1]: [400]}
        sink = elastic(receiver)
        outbox = deliver(sink)
        assert sorted(receiver.documents) == [IDS[0], IDS[2]]
        assert outbox.dead_letters("s") == {IDS[1]: "Elasticsearch answered 400: made_up_exception"}
        sent = [json.loads(line)["create"]["_id"] for r in receiver.requests for line in r.body.splitlines()[::2]]
        assert sent == [*IDS, IDS[0], IDS[0]]


def test_elastic_a_lost_answer_is_no_double() -> None:
    """The receiver took it and hung up: sent again, 409 on our own id is success."""
    with Elastic("alerts", "hush") as receiver:
        receiver.bad_days.append(BadDay(first=True))
        sink = elastic(receiver)
        outbox = deliver(sink)
        assert list(receiver.documents) == IDS
        assert (outbox.depth("s"), sink.repeated, outbox.dead_letters("s")) == (0, 3, {})


def test_elastic_half_an_answer_is_half_a_delivery() -> None:
    """Documents that the answer does not mention are not delivered."""
    with Elastic("alerts", "hush") as receiver:
        receiver.silent = {IDS[2]}
        with pytest.raises(PartialDeliveryError, match="1 of 3 documents: no answer") as raised:
            elastic(receiver).send(THREE)
        assert list(raised.value.delivered) == IDS[:2]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"items":[{"create":{}}]}', b'{"items":7}', b"\xff", b"<html>"])
def test_elastic_a_wrong_answer_is_no_delivery(body: bytes) -> None:
    """200 without an answer per document is not believed."""
    with Elastic("alerts", "hush") as receiver:
        receiver.bad_days.append(BadDay(Answer(200, body)))
        with pytest.raises(DeliveryError, match="bulk request"):
            elastic(receiver).send(THREE)


def test_elastic_set_up_faults_drop_nothing() -> None:
    """A wrong key, and a document refused for rights, keep the messages."""
    with Elastic("alerts", "other") as receiver:
        outbox = deliver(elastic(receiver), tries=5)
        assert (outbox.depth("s"), outbox.dead_letters("s")) == (3, {})
        receiver.api_key = "hush"
        receiver.faults = {IDS[0]: [403]}
        outbox = deliver(elastic(receiver))
        assert (outbox.depth("s"), outbox.dead_letters("s")) == (0, {})


def test_elastic_a_request_too_large_is_halved() -> None:
    """413 halves the batch until it fits."""
    with Elastic("alerts", "hush", body_max=3000) as receiver:
        assert deliver(elastic(receiver)).depth("s") == 0
        assert list(receiver.documents) == IDS


@pytest.mark.parametrize(
    "given",
    [
        {"data_stream": "Alerts"},
        {"data_stream": "../_all"},
        {"username": "u"},
        {"username": "u", "password": {"env": "T"}, "api_key": {"env": "T"}},
        {"timeout_seconds": 0},
    ],
)
def test_elastic_config_that_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    """Names that are no data stream's and double credentials are errors at once."""
    with pytest.raises(msgspec.ValidationError):
        made("elastic", url="https://x", **given)


# --- webhook


def test_webhook_signature_is_the_standards() -> None:
    """The example of the specification's own libraries verifies."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_webhook_a_secret_that_is_no_base64_is_a_config_error() -> None:
    """What stands behind whsec_ must be base64, and is not repeated in the complaint."""
    with pytest.raises(ConfigError) as raised:
        key_of("whsec_h*u*s*h")
    assert "h*u*s*h" not in repr(raised.value)


def test_webhook_keeps_order_through_a_bad_day() -> None:
    """The first that fails holds back the rest; what got through is not sent again."""
    with Hook(b"hush") as receiver:
        sink = made("webhook", url=receiver.url, secret={"env": "T"})
        receiver.refuse = {IDS[1]: 503}
        with pytest.raises(PartialDeliveryError) as raised:
            sink.send(THREE)
        assert raised.value.delivered == (IDS[0],)
        assert list(receiver.taken) == IDS[:1]
        receiver.refuse = {}
        assert sink.send(THREE[1:]) == {}
        assert list(receiver.taken) == IDS
        assert receiver.repeated == 0


def test_webhook_a_refused_message_does_not_hold_up_the_next() -> None:
    """422 is for good; the rest is sent."""
    with Hook(b"hush") as receiver:
        receiver.refuse = {IDS[0]: 422}
        assert list(made("webhook", url=receiver.url, secret={"env": "T"}).send(THREE)) == [IDS[0]]
        assert list(receiver.taken) == IDS[1:]


def test_webhook_a_wrong_secret_drops_nothing() -> None:
    """401 keeps the messages: the set-up is at fault."""
    with Hook(b"other") as receiver, pytest.raises(DeliveryError, match="credentials") as raised:
        made("webhook", url=receiver.url, secret={"env": "T"}).send(THREE)
    assert not raised.value.permanent


def test_webhook_a_path_that_a_filter_dislikes_does_not_keep_later_alerts_away() -> None:
    """403 to one message, however often: it becomes a dead letter once another is taken; the others arrive."""
    with Hook(b"hush") as receiver:
        receiver.refuse = {IDS[0]: 403}
        outbox = deliver(made("webhook", url=receiver.url, secret={"env": "T"}))
        assert list(receiver.taken) == IDS[1:]
        assert outbox.dead_letters("s")[IDS[0]].startswith("refused while others are taken: the webhook answered 403")
        assert outbox.depth("s") == 0


# --- Alertmanager


def test_alertmanager_ends_what_closes_and_what_changes_its_labels() -> None:
    """A risen severity ends the alert under its old labels, and closing ends it; until then it ends in the future."""
    with AlertmanagerV2() as receiver:
        sink = made("alertmanager", url=receiver.url)

        def open_now() -> list[str]:
            now, alerts = datetime.now(UTC), receiver.alerts.values()
            return [a["labels"]["severity"] for a in alerts if datetime.fromisoformat(a["endsAt"]) > now]

        sink.send([message(1, 1, severity="medium")])
        assert open_now() == ["medium"]
        sink.send([message(1, 2, severity="critical", route="page", state="updated")])
        assert open_now() == ["critical"]
        sink.send([message(1, 3, severity="critical", route="page", state="closed")])
        assert (len(receiver.alerts), open_now(), sink.ended) == (2, [], 1)


@pytest.mark.parametrize(("days", "from_last"), [(0, True), (30, False)])
def test_alertmanager_an_open_alert_lasts_until_the_router_has_closed_it(days: int, from_last: bool) -> None:
    """`open_hours` after its last finding; told late, after that: it is not over before it is heard of."""
    last = message(1).alert["last_time"]
    now = last + timedelta(days=days) - timedelta(minutes=1)
    with AlertmanagerV2() as receiver:
        module = plugins.load("pipeline.sinks", "alertmanager")
        SINKS.append(module.create(module.Config(url=receiver.url), clock=lambda: int(now.timestamp() * 1e9)))
        SINKS[-1].send([message(1)])
        (alert,) = receiver.alerts.values()
    ends, expected = datetime.fromisoformat(alert["endsAt"]), (last if from_last else now) + timedelta(hours=26)
    assert abs(ends - expected) < timedelta(seconds=1)


def test_alertmanager_one_bad_alert_costs_only_itself() -> None:
    """400 for one alert of several halves the batch; the good ones arrive."""

    class Picky(AlertmanagerV2):
        def _valid(self, alert: dict[str, Any]) -> bool:
            return alert["labels"]["uid"] != THREE[1].alert_uid and super()._valid(alert)

    with Picky() as receiver:
        outbox = deliver(made("alertmanager", url=receiver.url))
        assert list(outbox.dead_letters("s")) == [IDS[1]]
        assert len(receiver.alerts) == 2


# --- syslog


def test_syslog_notices_a_receiver_that_hung_up(tmp_path: Path) -> None:
    """A connection closed between batches is replaced before the next one is written."""
    pem = certificate(tmp_path)
    with SyslogTls(pem) as receiver:
        sink = made("syslog", address=receiver.address, tls_ca=str(pem))
        sink.send(THREE[:1])
        assert receiver.wait_for(1)
        receiver.hang_up()
        assert select.select([sink._socket], [], [], 10)[0]
        outbox = deliver(sink)
        assert outbox.depth("s") == 0
        assert receiver.wait_for(4)
        assert {p.params["event"] for p in receiver.parsed} == set(IDS)
        assert receiver.connections == 2


def test_syslog_fields(tmp_path: Path) -> None:
    """Priority, host, MSGID and structured data are what the contract says."""
    pem = certificate(tmp_path)
    with SyslogTls(pem) as receiver:
        sink = made("syslog", address=receiver.address, tls_ca=str(pem), hostname="k\n1", facility=16, body="cef")
        sink.send([message(1, 2, severity="critical", state="updated")])
        assert receiver.wait_for(1)
        (parsed,) = receiver.parsed
        assert (parsed.priority, parsed.host, parsed.msgid) == (16 * 8 + 2, "k1", "updated")
        assert parsed.sdid == "keytrail@32473"
        assert parsed.params == {"uid": message(1).alert_uid, "event": message(1, 2).event_id, "revision": "2"}


def test_syslog_messages_are_bounded() -> None:
    """A huge alert is cut until it fits, says so, and is still whole JSON."""
    module = plugins.load("pipeline.sinks", "syslog")
    config = msgspec.convert({"address": "h:1", "max_bytes": 4096}, module.Config)
    long = message(message="x" * 5000, evidence=["e" * 32] * 100, finding_uids=["f" * 32] * 1000, next_step="y" * 5000)
    length, _, text = module.wire(long, config).partition(b" ")
    assert int(length) == len(text) <= 4096
    event = json.loads(text[text.index(b"{") :])
    assert event["metadata"]["is_truncated"] is True
    assert event["metadata"]["uid"] == long.event_id


def test_syslog_keeps_what_fits_and_in_the_end_ids_severity_and_times() -> None:
    """400 emoji of principal and path are cut to a few; where nothing of them fits, the alert still goes out."""
    module = plugins.load("pipeline.sinks", "syslog")
    sent = message(principal="\U0001f600" * 400, secret="kv/" + "\U0001f600" * 400, severity="critical")
    for max_bytes, named in ((8192, True), (2048, False)):
        config = msgspec.convert({"address": "h:1", "max_bytes": max_bytes, "hostname": "h" * 255}, module.Config)
        text = module.wire(sent, config).partition(b" ")[2]
        event = json.loads(text[text.index(b"{") :])
        assert len(text) <= max_bytes
        assert ("resources" in event) is named
        assert (event["severity"], event["metadata"]["is_truncated"]) == ("Critical", True)
        assert (event["finding_info"]["uid"], event["time"]) == (sent.alert_uid, 1772438700123)


def test_syslog_a_stranger_gets_nothing(tmp_path: Path) -> None:
    """Without the right authority no message is written."""
    pem = certificate(tmp_path)
    with SyslogTls(pem) as receiver:
        with pytest.raises(DeliveryError, match="SSLCertVerificationError"):
            made("syslog", address=receiver.address).send(THREE)
        assert receiver.parsed == []


@pytest.mark.parametrize("given", [{"address": "host"}, {"address": "h:0"}, {"address": "h:1", "facility": 24}])
def test_syslog_config_that_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    """Addresses without a port and unknown facilities are errors at once."""
    with pytest.raises(msgspec.ValidationError):
        made("syslog", **given)


# --- Kafka


def test_kafka_nobody_there() -> None:
    """Without a broker the batch stays, and the error names the client's error and no password."""
    program = """
import msgspec
from pipeline.sinks import kafka
from tests.receivers.messages import message
config = msgspec.convert(
    {"servers": "127.0.0.1:1", "topic": "t", "timeout_seconds": 0.5, "password": {"env": "T"}}, kafka.Config
)
sink = kafka.create(config)
for _ in range(2):
    try:
        sink.send([message(1)])
    except Exception as error:
        print(repr(error), error.permanent, repr(sink))
"""  # in a process of its own: the client leaves its sockets to the garbage collector
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    first, second = done.stdout.splitlines()
    assert first.startswith("DeliveryError('Kafka took no batch: KafkaTimeoutError') False")
    assert second.startswith("DeliveryError('Kafka took no batch: KafkaTimeoutError') False")
    assert "hush" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "given", [{"topic": "a b"}, {"topic": ""}, {"options": {"acks": 0}}, {"options": {"enable_idempotence": False}}]
)
def test_kafka_config_that_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    """What the promise rests on cannot be turned off, and a topic's name is checked."""
    with pytest.raises(msgspec.ValidationError):
        made("kafka", **({"servers": "x:1", "topic": "t"} | given))


def test_kafka_unknown_options_are_refused() -> None:
    """A misspelt client option is a config error that names it."""
    with pytest.raises(ConfigError, match="compresion_type"):
        made("kafka", servers="x:1", topic="t", options={"compresion_type": "zstd"})
