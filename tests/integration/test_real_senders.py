"""Senders that others wrote: what a syslog device hands to rsyslog comes out as it was, however it is forwarded."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline import decoders
from pipeline.core import plugins
from pipeline.sources.listen import Config, create
from tests.integration.kafka.broker import free_port
from tests.integration.programs import debian_packages, rsyslog_words, running, until
from tests.receivers.syslog import certificate

pytestmark = pytest.mark.integration

# What stands in /dev/log on a host with a syslog device, forwarded in every way that rsyslog has.
RSYSLOG = """
global(workDirectory="{folder}" maxMessageSize="256k" defaultNetstreamDriverCAFile="{pem}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{folder}/dev" RateLimit.Interval="0")
template(name="rfc3164" type="string"
         string="<%PRI%>%TIMESTAMP% %HOSTNAME% %syslogtag:1:32%%msg:::sp-if-no-1st-sp%%msg%")
action(type="omfwd" target="127.0.0.1" port="{lines}" protocol="tcp" template="rfc3164")
action(type="omfwd" target="127.0.0.1" port="{counted}" protocol="tcp" TCP_Framing="octet-counted"
       template="RSYSLOG_SyslogProtocol23Format")
action(type="omfwd" target="127.0.0.1" port="{datagrams}" protocol="udp" template="RSYSLOG_SyslogProtocol23Format")
action(type="omfwd" target="127.0.0.1" port="{tls}" protocol="tcp" TCP_Framing="octet-counted"
       template="RSYSLOG_SyslogProtocol23Format" StreamDriver="ossl" StreamDriverMode="1" StreamDriverAuthMode="anon")
"""


def entry(number: int, size: int) -> bytes:
    """An entry of a device; some are long, and speak other languages."""
    body = {
        "time": f"2026-03-01T08:00:{number % 60:02}.{number:06}Z", "type": "request",
        "request": {"id": f"id-{number}", "operation": "read", "path": "kv/data/app", "data": {"n": "x" * size}},
        "note": "Zürich – 東京",
    }  # fmt: skip
    return json.dumps(body, ensure_ascii=False).encode()


def test_rsyslog_forwards_whole_entries(tmp_path: Path) -> None:
    """RFC 3164 and 5424, ended by LF, counted, as datagrams and over TLS: every entry comes out whole, and once."""
    debian, pem = debian_packages(), certificate(tmp_path)
    ports = {name: free_port() for name in ("lines", "counted", "datagrams", "tls")}
    config = tmp_path / "rsyslog.conf"
    config.write_text(RSYSLOG.format(folder=tmp_path, pem=pem, **ports))
    kinds = {"lines": "tcp", "counted": "tcp", "datagrams": "udp", "tls": "tls"}
    names = {name: f"syslog+{kinds[name]}://127.0.0.1:{port}" for name, port in ports.items()}
    sent = [entry(n, 20_000 if n % 50 == 7 else n) for n in range(200)]
    source = create(Config(tls_cert=str(pem)), tuple(names.values()), {}, tmp_path / "spool", clock=time.time_ns)
    decoder = decoders.together([_format(kind) for kind in plugins.kinds("pipeline.decoders")])
    found: dict[str, list[str]] = {name: [] for name in names.values()}
    rejected: list[Any] = []

    def heard() -> bool:
        for batch in source.poll_all(None, 0.1, {}) or ():
            decoded = decoder.decode(batch)
            found[batch.stream] += decoded.events["correlation_uid"].to_list()
            rejected.extend(decoded.rejected.rows())
        return all(len(ids) >= len(sent) for ids in found.values())

    words, environment = rsyslog_words(debian, tmp_path, config)
    try:
        with running(words, tmp_path, **environment), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as device:
            until((tmp_path / "dev").exists)
            device.connect(str(tmp_path / "dev"))
            for number, line in enumerate(sent):
                device.send(b"<86>Mar  1 08:00:00 vault[%d]: %s\n" % (number, line))
            until(heard, 30)
    finally:
        source.close()
    assert rejected == []
    assert found == {name: [f"id-{n}" for n in range(200)] for name in names.values()}


def _format(kind: str) -> Any:
    module = plugins.load("pipeline.decoders", kind)
    return module.format_of(module.Config())
