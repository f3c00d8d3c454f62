"""How fast text is searched for leaks: `python -m tests.bench.bench_scan [MEGABYTES]`.

Prints MB/s by wall clock and by CPU time of the scanner alone, best of five, over logs of several kinds, and how many
leaks there were; then the whole command over the first of them, with its peak of memory.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline.scan import RULES, Key, Scanner
from tests.bench import peak
from tests.bench.entries import write_log

BLOCK = 4 << 20
ROUNDS = 5


def application(size: int) -> bytes:
    """Lines of a service without anything that looks like a credential."""
    pick = random.Random(1)
    line = (
        "2026-03-04T11:02:55.123Z INFO  [http-nio-8080-exec-%d] com.example.orders.OrderService - processed order "
        "id=%d user=%s latency=%dms status=200 path=/api/v1/orders trace=%032x\n"
    )
    found = bytearray()
    while len(found) < size:
        user = pick.choice(("anna", "bo", "chris"))
        values = (pick.randrange(99), pick.randrange(10**9), user, pick.randrange(900), pick.getrandbits(128))
        found += (line % values).encode()
    return bytes(found)


def audit(size: int) -> bytes:
    """An audit log of Vault: words such as `token` ten times a line, each hashed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.log"
        write_log(path, size // 1_400 + 1)
        return path.read_bytes()[:size]


def leaky(clean: bytes) -> bytes:
    """A password in every hundredth line."""
    lines = clean.splitlines(keepends=True)
    for at in range(0, len(lines), 100):
        lines[at] = lines[at].replace(b"status=200", b"password=Blue%dSky!" % at)
    return b"".join(lines)


def scanned(text: bytes) -> tuple[float, float, int]:
    """Seconds, seconds of CPU, leaks."""
    scanner, leaks = Scanner(RULES, Key(bytes(32))), 0
    wall, cpu = time.perf_counter(), time.process_time()
    for at in range(0, len(text), BLOCK):
        leaks += sum(1 for _ in scanner.feed(text[at : at + BLOCK]))
    leaks += sum(1 for _ in scanner.finish())
    return time.perf_counter() - wall, time.process_time() - cpu, leaks


def main(megabytes: int = 64) -> None:
    """See the module."""
    size = megabytes * 1_000_000
    clean = application(size)
    texts = {
        "application log, clean": clean,
        "the same in one line": clean.replace(b"\n", b" "),
        "the same with other letters": clean.replace(b"orders", "ördërs".encode()),
        "a password in 100 lines": leaky(clean),
        "Vault's audit log": audit(size),
    }
    for title, text in texts.items():
        walls, cpus, leaks = zip(*(scanned(text) for _ in range(ROUNDS)), strict=True)
        rates = f"{len(text) / min(walls) / 1e6:8.0f} MB/s{len(text) / min(cpus) / 1e6:8.0f} MB/s of CPU"
        print(f"{title:30}{rates}{leaks[0]:8,} leaks")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "app.log"
        log.write_bytes(clean)
        (key := Path(folder) / "key").write_text("a key of the benchmark")
        (config := Path(folder) / "keytrail.toml").write_text(f'[scan]\nhash_key = {{ file = "{key}" }}\n')
        done = peak.keytrail("scan", log, "--config", config, stderr=subprocess.DEVNULL)
        rates = f"{len(clean) / done.wall / 1e6:8.0f} MB/s{len(clean) / done.cpu / 1e6:8.0f} MB/s of CPU"
        print(f"{'the whole command':30}{rates}{done.peak:8,} MiB")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
