"""A steady stream of entries that happen now: how long from the event to the commit that holds its alert.

Once a second somebody enables an audit device, by another name each time: an alert of its own. The delay is the line's
own histogram, read by a scrape; the age of what is in the lake is looked at from outside as well.
"""

from __future__ import annotations

import datetime as dt
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
from tests.integration.kafka.broker import free_port
from tests.integration.kafka.cluster import make_topic, producing

if TYPE_CHECKING:
    import argparse

    from tests.integration.kafka.broker import Broker

TOPIC = "live"
ROOT = Path(__file__).parents[2]
TIME_END = len('{"time":"2026-03-02T00:00:00.000000Z')
CHUNK_SECONDS = 0.02
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

    def run(self) -> None:
        dice, partitions = random.Random(1), self.options.partitions
        codec = None if self.options.codec == "none" else self.options.codec
        with producing(self.address, compression_type=codec, batch_size=self.options.batch_bytes, linger_ms=20) as out:
            begun, told = time.time(), -1
            while (now := time.time()) < begun + self.options.live:
                due = int((now - begun) * self.options.rate) // 2 * 2
                stamp = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
                for number in range(self.sent, due, 2):
                    at = number % len(self.pairs)
                    request = f"{dice.getrandbits(32):08x}-1111-4222-8333-{number:012x}".encode()
                    alerting = int(now - begun) if int(now - begun) > told else -1
                    told = max(told, alerting)
                    for before, rest in self.pairs[at : at + 2]:
                        line = b'{"time":"' + stamp + before + request + rest
                        line = _alerting(line, alerting) if alerting >= 0 else line
                        out.send(TOPIC, line, key=request, partition=zlib.crc32(request) % partitions)
                self.alerting = told + 1
                self.late = max(self.late, (due - self.sent) / self.options.rate - CHUNK_SECONDS)
                self.sent = max(self.sent, due)
                time.sleep(CHUNK_SECONDS)


def measure(broker: Broker, work: Path, options: argparse.Namespace) -> None:
    """Print the delay of alerts and the memory of the process."""
    make_topic(broker.address, TOPIC, options.partitions)
    port, lake = free_port(), work / "live"
    config = work / "live.toml"
    config.write_text(f"[line]\ncommit_seconds = {options.commit}\n")
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


def resident(pid: int) -> float:
    """Memory of a process now, MiB."""
    words = Path(f"/proc/{pid}/statm").read_text().split()
    return int(words[1]) * 4096 / (1 << 20)


def _cut(line: bytes) -> tuple[bytes, bytes]:
    """A line without its time and request id: what stands between them, and what follows."""
    at = line.index(b'"request":{"id":"') + 17
    return line[TIME_END:at], line[at + 36 :] + b"\n"


def _alerting(line: bytes, number: int) -> bytes:
    for before, after in _ALERTING:
        line = line.replace(before.encode(), after.encode(), 1)
    at = line.index(b'"path":"') + 8
    return line[:at] + f"sys/audit/device{number}".encode() + line[line.index(b'"', at) :]
