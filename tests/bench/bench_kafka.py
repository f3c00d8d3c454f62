"""The whole line from a real broker, beside the client's bare poll of the same topic in the same run.

    python -m tests.bench.bench_kafka [--entries 600000] [--rounds 3] [--partitions 8] [--codec zstd] [--workers]
    python -m tests.bench.bench_kafka --stages --rounds 0 [--entries 200000]
    python -m tests.bench.bench_kafka --live 300 [--rate 20000] [--commit 0.5] [--wait 0.1]

Prints entries a second and CPU µs an entry of the client's own loop, of the source by itself, of the whole line and of
the whole line over the same entries in a file, with the broker's share of the CPU; with --workers also one worker and
the judge on one core against two workers, a core each, and the judge on both; with --stages CPU µs an entry by stage,
from the topic and from the file (stages.py). `--live` seconds at a steady rate: from the event to the commit that holds
its alert, and memory minute by minute (live.py).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

from tests.bench import live, peak, stages
from tests.bench.entries import write_log
from tests.integration.kafka.broker import Broker, missing, running
from tests.integration.kafka.cluster import make_topic, producing
from tests.processes import ENTRY

TOPIC = "audit"
ROOT = Path(__file__).parents[2]

_BARE = """
import sys, time, warnings
warnings.simplefilter("ignore")
from kafka import KafkaConsumer, TopicPartition
address, partitions, entries = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False, auto_offset_reset="earliest",
    isolation_level="read_committed", max_poll_records=5000, max_partition_fetch_bytes=8 << 20, metrics_enabled=False)
consumer.assign([TopicPartition("audit", n) for n in range(partitions)])
begun, count = time.perf_counter(), 0
while count < entries:
    count += sum(map(len, consumer.poll(timeout_ms=1000).values()))
print(time.perf_counter() - begun)
consumer.close()
"""
_SOURCE = """
import sys, time
from pipeline.core.model import Handover
from pipeline.sources.kafka import Config, create
address, group, batches = sys.argv[1], sys.argv[2], sys.argv[3] == "batches"
source = create(Config(split_batches=batches), [address], ["audit"], group, follow=False, clock=time.time_ns)
begun, count = 0.0, 0
while not source.exhausted:
    batch = source.poll(None, 0.2, {})
    if isinstance(batch, Handover):
        source.handed_over({})
        begun = time.perf_counter()
    elif batch is not None:
        count += len(batch)
print(time.perf_counter() - begun)
source.close()
"""


def fill(address: str, log: Path, partitions: int, codec: str, batch_bytes: int) -> None:
    """Produce every line of the log, keyed by its request."""
    make_topic(address, TOPIC, partitions)
    options: dict[str, Any] = {"compression_type": codec if codec != "none" else None, "linger_ms": 20}
    with (
        producing(address, batch_size=batch_bytes, **options) as producer,
        log.open("rb") as file,
    ):
        for line in file:
            at = line.index(b'"request":{"id":"') + 17
            key = line[at : at + 36]
            producer.send(TOPIC, line, key=key, partition=zlib.crc32(key) % partitions)


def child(broker: Broker, program: str, *arguments: str) -> tuple[peak.Ended, float]:
    """How a program went, and the broker's CPU seconds meanwhile."""
    before = live.cpu_seconds(broker.process.pid) if broker.process else 0.0
    done = peak.python(program, *arguments, stderr=subprocess.DEVNULL)
    if done.code not in {0, 10}:
        sys.exit(f"{arguments[:2]} ended with {done.code}")
    return done, (live.cpu_seconds(broker.process.pid) if broker.process else 0.0) - before


def line_words(address: str, work: Path, lake: Path, worker: str = "main") -> list[str]:
    """The command that reads the topic into a lake."""
    return [
        "run", "--kafka", address, "--topic", TOPIC, "--group", lake.name,
        "--lake", str(lake), "--signing-key", str(work / "signing.key"), "--format", "json", "--worker", worker,
    ]  # fmt: skip


def file_words(work: Path, lake: Path, log: Path) -> list[str]:
    """The command that reads the same entries from a file into a lake."""
    return [
        "run", str(log), "--lake", str(lake), "--signing-key",
        str(work / "signing.key"), "--format", "json",
    ]  # fmt: skip


def rounds(broker: Broker, work: Path, log: Path, options: argparse.Namespace) -> None:
    """Each way of reading in turn, several times; the best of each and their ratios."""
    best: dict[str, float] = {}
    print(f"{'':<26}{'entries/s':>12}{'CPU µs/entry':>14}{'broker µs/entry':>17}{'peak MiB':>10}")
    for number in range(options.rounds):
        lake = work / f"lake-{number}"
        own = str(options.partitions), str(options.entries)
        ways = {
            "client, bare poll": [_BARE, broker.address, *own],
            "source, client's records": [_SOURCE, broker.address, f"r{number}", "records"],
            "source": [_SOURCE, broker.address, f"s{number}", "batches"],
            "whole line": [ENTRY, *line_words(broker.address, work, lake)],
            "whole line, a file": [ENTRY, *file_words(work, work / f"file-{number}", log)],
        }
        for name, words in ways.items():
            done, brokers = child(broker, *words)
            seconds = json.loads(done.text)["seconds"] if name.startswith("whole line") else float(done.text)
            rate = options.entries / seconds
            best[name] = max(best.get(name, 0.0), rate)
            scale = 1e6 / options.entries
            print(
                f"{name:<26}{rate:>12,.0f}{done.cpu * scale:>14.2f}{brokers * scale:>17.2f}{done.peak:>10,}", flush=True
            )
    print(f"whole line / bare poll    {best['whole line'] / best['client, bare poll']:>12.2f}")
    print(f"whole line / a file       {best['whole line'] / best['whole line, a file']:>12.2f}")
    print(f"source / bare poll        {best['source'] / best['client, bare poll']:>12.2f}")


def workers(broker: Broker, work: Path, options: argparse.Namespace) -> None:
    """One worker and the judge on one core against two workers on a core each and the judge on both."""
    rates = {}
    for count in (1, 2):
        lake, begun = work / f"workers-{count}", time.perf_counter()
        cores = [str(core) for core in range(count)]
        before = live.cpu_seconds(broker.process.pid) if broker.process else 0.0
        started = [pinned(line_words(broker.address, work, lake, f"w{core}"), core) for core in cores]
        while not waiting(lake):
            time.sleep(0.02)
        judge = pinned(["judge", "--lake", str(lake), "--format", "json"], ",".join(cores))
        told = [json.loads(process.communicate()[0]) for process in (*started, judge)]
        if [sum(one["entries"] for one in told[:-1]), told[-1]["entries"]] != [options.entries] * 2:
            raise SystemExit("not all was read and judged: no figure")
        seconds = time.perf_counter() - begun
        rates[count] = options.entries / seconds
        share = ((live.cpu_seconds(broker.process.pid) if broker.process else 0.0) - before) / seconds / 2
        label = f"{count} worker{'s' if count > 1 else ''} and the judge"
        print(f"{label:<26}{rates[count]:>12,.0f}   broker {share:.0%} of the cores", flush=True)
    print(f"two / one                 {rates[2] / rates[1]:>12.2f}")


def pinned(words: list[str], cores: str) -> subprocess.Popen[bytes]:
    """A keytrail command on some cores."""
    program = [sys.executable, "-m", "pipeline.cli"]
    return subprocess.Popen(
        ["taskset", "-c", cores, *program, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    )


def waiting(lake: Path) -> bool:
    """Whether workers have passed anything on."""
    return any((lake / "data" / "passed_events").glob("*.parquet"))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument(
        "--codec",
        default="zstd",
        choices=("none", "gzip", "snappy", "lz4", "zstd"),
        help="not of --live, which packs by zstd",
    )
    parser.add_argument("--batch-bytes", type=int, default=64 << 10, help="the producer's batches, before packing")
    parser.add_argument("--workers", action="store_true")
    parser.add_argument("--stages", action="store_true")
    parser.add_argument("--live", type=int, default=0, metavar="SECONDS")
    parser.add_argument("--rate", type=int, default=20_000, help="with --live: entries a second")
    parser.add_argument("--commit", type=float, default=0.5, help="with --live: seconds between commits")
    parser.add_argument("--gather", type=float, default=0.2, help="with --live: seconds a step of reading gathers for")
    parser.add_argument("--wait", type=float, default=0.5, help="with --live: seconds for order, and for copies")
    options = parser.parse_args()
    if reason := missing():
        print(f"skipped: {reason}")
        return
    with tempfile.TemporaryDirectory(prefix="keytrail-bench-") as folder:
        work = Path(folder)
        with running(work / "kafka") as broker:
            if options.live:
                live.measure(broker, work, options)
                return
            log = work / "audit.log"
            size = write_log(log, options.entries)
            fill(broker.address, log, options.partitions, options.codec, options.batch_bytes)
            each = size / options.entries
            print(f"{options.entries:,} entries, {each:,.0f} B each, {options.partitions} partitions, {options.codec}")
            if options.rounds:
                rounds(broker, work, log, options)
            if options.stages:
                stages.table(stages.measure(work, paths=(), kafka=(broker.address,), topics=(TOPIC,), group="stages"))
                stages.table(stages.measure(work, paths=(str(log),)))
            log.unlink()
            if options.workers:
                workers(broker, work, options)


if __name__ == "__main__":
    main()
