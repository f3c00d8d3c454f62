"""What decoding costs: entries a second and CPU microseconds per entry, stage by stage.

    python tests/bench/bench_decode.py [entries]

Entries are made here: KV reads of 4,000 secrets by 40 workloads, request and response, about 1.4 KB on average, as
OpenBao writes them. Each figure is the best of five; CPU time counts all threads.
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pipeline.core.fingerprint import piece_uids
from pipeline.core.model import RawBatch
from pipeline.decoders._framing import frame
from pipeline.decoders._quick import lines_of
from pipeline.decoders.vault import Config, create
from pipeline.enrich import create as enricher

if TYPE_CHECKING:
    from collections.abc import Callable

_RANDOM = random.Random(20260301)


def _hash() -> str:
    return f"hmac-sha256:{_RANDOM.getrandbits(256):064x}"


def _workload(number: int) -> dict[str, Any]:
    name = f"app{number}"
    return {
        "client_token": _hash(), "accessor": _hash(), "display_name": "approle", "policies": ["default", name],
        "token_policies": ["default", name], "metadata": {"role_name": name}, "entity_id": f"{number:036x}",
        "policy_results": {"allowed": True, "granting_policies": [{"name": name, "namespace_id": "root", "type": ""}]},
        "token_type": "service", "token_ttl": 3600, "token_issue_time": "2026-03-01T00:00:00Z",
    }  # fmt: skip


def _pair(number: int, auth: dict[str, Any]) -> list[dict[str, Any]]:
    seconds, thousandths = divmod(number * 5, 1000)
    at = f"2026-03-01T{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{thousandths:03}"
    request = {
        "id": f"{_RANDOM.getrandbits(128):032x}", "client_id": auth["entity_id"], "operation": "read",
        "mount_point": "kv/", "mount_type": "kv", "mount_class": "secret",
        "client_token": auth["client_token"], "client_token_accessor": auth["accessor"], "namespace": {"id": "root"},
        "path": f"kv/data/app{_RANDOM.randrange(200)}/s{_RANDOM.randrange(20)}", "remote_address": "10.1.0.7",
        "remote_port": 40292, "headers": {"user-agent": ["keyapp/1.4"]},
    }  # fmt: skip
    metadata = {
        "created_time": "2026-02-01T00:00:00.5Z",
        "custom_metadata": None,
        "deletion_time": _hash(),
        "destroyed": False,
    }
    answer = {
        "mount_point": "kv/", "mount_type": "kv", "mount_accessor": "kv_bc988ccc", "mount_class": "secret",
        "mount_running_plugin_version": "v2.0.0+builtin.bao",
        "data": {"data": {"password": _hash(), "user": _hash()}, "metadata": {**metadata, "version": 3}},
    }  # fmt: skip
    return [
        {"time": f"{at}000001Z", "type": "request", "auth": auth, "request": request},
        {"time": f"{at}900001Z", "type": "response", "auth": auth, "request": request, "response": answer},
    ]


def made(entries: int) -> RawBatch:
    """A batch of that many entries."""
    workloads = [_workload(number) for number in range(40)]
    pairs = (_pair(number, _RANDOM.choice(workloads)) for number in range(entries // 2))
    text = b"".join(json.dumps(entry, separators=(",", ":")).encode() + b"\n" for pair in pairs for entry in pair)
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == 10).astype(np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
    return RawBatch("audit.log", "audit.log", "1", data, starts, ends, starts, ends + 1, 0)


def measured(name: str, entries: int, work: Callable[[], Any]) -> Any:
    """Print what `work` costs; its result."""
    best, wall, result = float("inf"), float("inf"), None
    for _ in range(5):
        clock, cpu = time.perf_counter(), time.process_time()
        result = work()
        best, wall = min(best, time.process_time() - cpu), min(wall, time.perf_counter() - clock)
    print(f"{name:28} {entries / wall:12,.0f} entries/s {best / entries * 1e6:8.2f} µs CPU")
    return result


def main(entries: int) -> None:
    batch, decoder, names = made(entries), create(Config()), enricher()
    format_, table = decoder._formats[0], decoder._readers[0]._parts()[0]
    count = len(batch)
    print(f"{count:,} entries, {len(batch.data) / count:,.0f} bytes each")
    whole = measured("decode", count, lambda: decoder.decode(batch))
    framed = measured("  frame", count, lambda: frame(batch))
    raw = measured("  table (DuckDB to Polars)", count, lambda: table.read([framed.data]))
    rows = np.flatnonzero(framed.ends > framed.starts)
    raw = measured("  times", count, lambda: format_.timed(raw))
    measured("  guard", count, lambda: format_.believed(raw, format_.scanned(lines_of([framed], [rows]))))
    shown = pl.Series([False]).new_from_index(0, count)
    measured("  columns", count, lambda: format_.columns(raw, shown))
    measured("enrich", count, lambda: names.resolve(whole.events))
    pieces = whole.pieces
    measured("uids", count, lambda: piece_uids("s", "", batch.data, pieces.starts, pieces.ends, pieces.positions))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 22_000)
