"""A steady stream of entries that happen now: how long from the event to the commit that holds its alert.

Once a second somebody enables an audit device, by another name each time: an alert of its own. The delay is the line's
own histogram, read by a scrape; the age of what is in the lake is looked at from outside as well.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import subprocess
import sys
import threading
import time
import urllib.request
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from tests.bench.entries import write_log
from tests.bench.producer import Connection, Template, built, packed
from tests.integration.kafka.broker import free_port
from tests.integration.kafka.cluster import make_topic

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from tests.integration.kafka.broker import Broker

TOPIC = "live"
ROOT = Path(__file__).parents[2]
TIME = b"2026-03-02T00:00:00.000000Z"
TIME_END = len(b'{"time":"' + TIME)
CHUNK_SECONDS = 0.02
ALERT_STEP = 222
_ALERTING = ('"operation":"read"', '"operation":"update"'), ('"mount_point":"kv/"', '"mount_point":"sys/"')


class Stream(threading.Thread):
    """Produces `rate` entries a second for `seconds`; `late` is how far it fell behind its own plan at worst."""

    def __init__(self, address: str, work: Path, options: argparse.Namespace) -> None:
        super().__init__(daemon=True)
        self.address, self.options = address, options
        self.sent, self.late, self.alerting = 0, 0.0, 0
        log = work / "templates.log"
        write_log(log, 40_000)
        self.pairs = [_cut(line) for line in log.read_bytes().splitlines()]
        log.unlink()
        each = max(1, round(options.rate * CHUNK_SECONDS / options.partitions / 2))
        self.templates = [
            Template(_records(self.pairs[at : at + 2 * each]), TIME)
            for at in range(0, len(self.pairs) - 2 * each, 2 * each)
        ]

    def run(self) -> None:
        dice, connection = random.Random(1), Connection(self.address, TOPIC)
        turn = self.templates[0].pairs * 2 * self.options.partitions
        begun, nth = time.time(), 0
        while (now := time.time()) < begun + self.options.live:
            ahead = begun + self.sent / self.options.rate - now
            if ahead > 0:
                time.sleep(ahead)
                continue
            self.late = max(self.late, -ahead)
            stamp, batches = _stamp(), []
            for partition in range(self.options.partitions):
                template = self.templates[nth % len(self.templates)]
                nth += 1
                ids = [_id(dice, self.sent + i) for i in range(template.pairs)]
                batches.append((partition, template.batch(stamp, ids, int(now * 1000))))
            connection.send(batches)
            self.sent += turn
            if now >= begun + self.alerting:
                self._alert(connection, _id(dice, self.sent), zlib.crc32(str(now).encode()))
        connection.close()

    def _alert(self, connection: Connection, request: bytes, lot: int) -> None:
        """One request more, which an alert is about."""
        at = self.alerting * ALERT_STEP % len(self.pairs) // 2 * 2  # somebody else each time, or it is no new alert
        values = [b'{"time":"' + _stamp() + before + request + rest for before, rest in self.pairs[at : at + 2]]
        records = [(request, _alerting(value, self.alerting)) for value in values]
        connection.send([(lot % self.options.partitions, packed(built(records), 2, int(time.time() * 1000)))])
        self.alerting += 1


def measure(broker: Broker, work: Path, options: argparse.Namespace) -> None:
    """Print the delay of alerts and the memory of the process."""
    make_topic(broker.address, TOPIC, options.partitions)
    port, lake = free_port(), work / "live"
    config = work / "live.toml"
    waits = f"disorder_seconds = {options.wait}\ncopies_seconds = {options.wait}\n"
    config.write_text(f"[line]\ncommit_seconds = {options.commit}\ngather_seconds = {options.gather}\n{waits}")
    stream = Stream(broker.address, work, options)
    line = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "run", "--kafka", broker.address, "--topic", TOPIC, "--group", "live",
         "--lake", str(lake), "--signing-key", str(work / "signing.key"), "--config", str(config), "--follow",
         "--metrics-port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip
    try:
        while not (lake / "audit.duckdb").exists():
            time.sleep(0.1)
        time.sleep(2)
        stream.start()
        while stream.is_alive():
            stream.join(30)
            told = scraped(port)
            print(
                f"{stream.sent:>12,} sent, {told['keytrail_source_entries_total']:>12,.0f} read, lag"
                f" {told['keytrail_source_lag_entries']:>8,.0f}, {resident(line.pid):>6,.0f} MiB", flush=True,
            )  # fmt: skip
        time.sleep(3)
        told = scraped(port)
        name = "keytrail_routing_alert_delay_seconds"
        count = told[f"{name}_count"]
        print(f"alerting events {stream.alerting}, alerts {count:.0f}, mean delay {told[f'{name}_sum'] / count:.2f} s")
        for key, below in told.items():
            if key.startswith(f"{name}_bucket"):
                print(f"  at most {key.rpartition(chr(61))[2]:>6} s {below / count:>8.1%}")
        cpu = cpu_seconds(line.pid) / told["keytrail_source_entries_total"]
        print(f"CPU {cpu * 1e6:.1f} µs an entry")
        print(f"the producer was late by {max(stream.late, 0):.2f} s at worst")
    finally:
        line.terminate()
        line.wait(60)


def scraped(port: int) -> dict[str, float]:
    """Samples by name, buckets with their edge."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {s.name + (f"=le={s.labels['le']}" if "le" in s.labels else ""): s.value for s in samples}


def cpu_seconds(pid: int) -> float:
    """What a living process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Memory of a process now, MiB."""
    words = Path(f"/proc/{pid}/statm").read_text().split()
    return int(words[1]) * 4096 / (1 << 20)


def _stamp() -> bytes:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def _id(dice: random.Random, number: int) -> bytes:
    return f"{dice.getrandbits(32):08x}-1111-4222-8333-{number:012x}".encode()


def _records(pairs: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Keys and values, two to a request, with ids that are to be replaced."""
    ids = [f"{i // 2:08x}-1111-4222-8333-000000000000".encode() for i in range(len(pairs))]
    return [(key, b'{"time":"' + TIME + before + key + rest) for key, (before, rest) in zip(ids, pairs, strict=True)]


def _cut(line: bytes) -> tuple[bytes, bytes]:
    """A line without its time and request id: what stands between them, and what follows."""
    at = line.index(b'"request":{"id":"') + 17
    return line[TIME_END:at], line[at + 36 :] + b"\n"


def _alerting(line: bytes, number: int) -> bytes:
    for before, after in _ALERTING:
        line = line.replace(before.encode(), after.encode(), 1)
    at = line.index(b'"path":"') + 8
    return line[:at] + f"sys/audit/device{number}".encode() + line[line.index(b'"', at) :]
