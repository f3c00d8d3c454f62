"""Receivers that others wrote: rsyslog with TLS and Alertmanager take what our sinks send, hostile text and all."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.core import plugins
from pipeline.core.errors import DeliveryError
from pipeline.core.model import Message
from tests.integration.kafka.broker import free_port
from tests.integration.programs import debian_packages, rsyslog_words, running, until
from tests.receivers.cases import ROOM
from tests.receivers.messages import HOSTILE, hostile, message
from tests.receivers.syslog import certificate

pytestmark = pytest.mark.integration

TEMPLATES = b"/usr/share/prometheus/alertmanager"
# What rsyslog itself took apart, one message a line: it escapes line ends in what it writes as JSON.
RSYSLOG = """
global(
  workDirectory="{folder}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{pem}"
  defaultNetstreamDriverCertFile="{pem}" defaultNetstreamDriverKeyFile="{pem}"
)
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" address="127.0.0.1" port="{port}")
template(name="parts" type="list" option.jsonf="on") {{
  property(outname="pri" name="pri" format="jsonf")
  property(outname="version" name="protocol-version" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="state" name="msgid" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="body" name="msg" format="jsonf")
}}
action(type="omfile" file="{out}" template="parts" asyncWriting="off" flushOnTXEnd="on")
"""


def numbered() -> list[Message]:
    """Every hostile text in an alert of its own."""
    made = []
    for number, text in enumerate(HOSTILE, start=1):
        row = dict(hostile(text).alert) | {"uid": f"{number:032x}"}
        made.append(Message(f"{row['uid']}:1", row["uid"], 1, row))
    return made


def sink_of(kind: str, **given: Any) -> Any:
    """A sink by its config."""
    return plugins.load(ROOM, kind).create(msgspec.convert(given, plugins.config_type(ROOM, kind)))


@pytest.fixture(scope="session")
def debian() -> Path:
    """rsyslog and Alertmanager of Debian, unpacked."""
    return debian_packages()


@contextmanager
def rsyslog(debian: Path, folder: Path, pem: Path, port: int) -> Iterator[Path]:
    """rsyslog with TLS on `port`; the file it writes."""
    out, config = folder / "messages.jsonl", folder / "rsyslog.conf"
    config.write_text(RSYSLOG.format(folder=folder, pem=pem, port=port, out=out))
    words, environment = rsyslog_words(debian, folder, config)
    with running(words, folder, **environment):
        yield out


def taken(out: Path) -> list[dict[str, str]]:
    """What rsyslog has written."""
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out.exists() else []


@pytest.mark.parametrize("body", ["ocsf", "cef"])
def test_rsyslog_takes_every_message_apart_as_it_was_meant(body: str, debian: Path, tmp_path: Path) -> None:
    """Over TLS, after a refused connection, each alert is one RFC 5424 message with its ids in structured data."""
    pem, port, messages = certificate(tmp_path), free_port(), numbered()
    sink = sink_of("syslog", address=f"127.0.0.1:{port}", tls_ca=str(pem), body=body, hostname="keytrail.test")
    with pytest.raises(DeliveryError):
        sink.send(messages)
    with rsyslog(debian, tmp_path, pem, port) as out:
        until(lambda: delivered(sink, messages))
        until(lambda: len(taken(out)) >= len(messages))
        found = taken(out)
    sink.close()
    assert len(found) == len(messages)
    for sent, got in zip(messages, found, strict=True):
        assert (got["app"], got["state"], got["version"]) == ("keytrail", "open", "1")
        assert f'event="{sent.event_id}"' in got["data"]
        if body == "ocsf":
            assert json.loads(got["body"])["metadata"]["uid"] == sent.event_id
        else:
            assert got["body"].lstrip("\ufeff").startswith("CEF:0|keytrail|keytrail|")
            assert f"externalId={sent.event_id}" in got["body"]


def delivered(sink: Any, messages: list[Message]) -> bool:
    """Whether a receiver that is just starting has taken them."""
    try:
        return sink.send(messages) == {}
    except DeliveryError:
        return False


def asked(port: int) -> list[dict[str, Any]]:
    """The alerts Alertmanager holds active; none before it answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/v2/alerts")
        found: list[dict[str, Any]] = json.loads(connection.getresponse().read())
    except (ConnectionRefusedError, json.JSONDecodeError):
        return []
    finally:
        connection.close()
    return found


def relocated(debian: Path, folder: Path) -> Path:
    """Alertmanager with its templates beside it: Debian's looks for them in a fixed place that only root can fill."""
    program, here = folder / "alertmanager", b"./" * (len(TEMPLATES) // 2)
    program.write_bytes((debian / "usr" / "bin" / "prometheus-alertmanager").read_bytes().replace(TEMPLATES, here))
    program.chmod(0o700)
    for template in (debian / TEMPLATES.decode().lstrip("/")).glob("*.tmpl"):
        shutil.copy(template, folder)
    return program


def test_alertmanager_holds_one_alert_each_and_lets_it_go(debian: Path, tmp_path: Path) -> None:
    """Revisions of an alert are one alert, another severity ends the old one, a closed one is resolved."""
    config, port = tmp_path / "alertmanager.yml", free_port()
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    words: list[str | Path] = [
        relocated(debian, tmp_path), f"--config.file={config}",
        f"--storage.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    sink = sink_of("alertmanager", url=f"http://127.0.0.1:{port}")
    with running(words, tmp_path):
        until(lambda: delivered(sink, [message(1)]))
        until(lambda: len(asked(port)) == 1)
        assert sink.send([message(1, revision=2, count=9)]) == {}
        until(lambda: [a["annotations"]["revision"] for a in asked(port)] == ["2"])
        assert sink.send([message(1, revision=3, severity="critical")]) == {}
        until(lambda: [a["labels"]["severity"] for a in asked(port)] == ["critical"])
        assert sink.send(numbered()[1:]) == {}
        until(lambda: len(asked(port)) == len(HOSTILE))
        assert {a["labels"]["uid"] for a in asked(port)} == {m.alert_uid for m in numbered()}
        assert sink.send([message(1, revision=4, severity="critical", state="closed")]) == {}
        until(lambda: len(asked(port)) == len(HOSTILE) - 1)
    sink.close()
