"""Made-up device streams for the tests of everything with memory: what each device wrote of the same requests."""

from __future__ import annotations

import datetime as dt
import random

import polars as pl

from pipeline.core.clock import NEVER
from pipeline.core.schema import EVENT, conform
from pipeline.integrity.order import Sequencer
from pipeline.integrity.pairing import Paired, Pairing

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def entry(source: str, request: str, phase: str, seconds: float, **other: object) -> dict[str, object]:
    """One EVENT row, `seconds` after the start of time."""
    return {
        "source": source, "file": source, "correlation_uid": request, "phase": phase, "store": "vault",
        "time": START + dt.timedelta(seconds=seconds), "outcome": "success", "probe": False, "clear": False,
        "principal": "approle/app", "secret": "kv/app/db", "operation": "read", "api_operation": "read",
        "path": "kv/data/app/db", "client_ip": "10.0.0.1", "namespace": "", **other,
    }  # fmt: skip


def frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    """Rows of one stream as EVENT, uids and positions counted up."""
    numbered = [{"uid": f"{row['source']}-{i}", "position": i * 100, **row} for i, row in enumerate(rows)]
    return conform(pl.DataFrame(numbered, infer_schema_length=None), EVENT)


def random_devices(seed: int, requests: int, devices: int = 2) -> dict[str, pl.DataFrame]:
    """Devices that tell of the same requests with jitter, losses, slow answers, missing answers and long pauses."""
    dice = random.Random(seed)
    told: dict[str, list[dict[str, object]]] = {f"d{n}": [] for n in range(devices)}
    at = 0.0
    for number in range(requests):
        at += dice.choice([0.001, 0.005, 0.3, 5, 70, 4000 if number % 50 == 0 else 0.01])
        latency = dice.choice([0.001, 0.003, 0.9, 65 if number % 17 == 0 else 0.001])
        answered = dice.random() < 0.95
        for device, rows in told.items():
            if dice.random() < 0.05:
                continue
            jitter = dice.random() * 0.009
            rows.append(entry(device, f"r{number}", "request", at + jitter))
            if answered:
                rows.append(entry(device, f"r{number}", "response", at + jitter + latency))
    return {d: frame(sorted(rows, key=lambda r: str(r["time"]))) for d, rows in told.items()}


def drive(
    streams: dict[str, pl.DataFrame], cut: int | None, *, reload: bool = False
) -> tuple[pl.DataFrame, list[Paired]]:
    """Streams through order and pairing in batches of `cut`; `reload` replaces both parts by their snapshots."""
    order, pairing = Sequencer(), Pairing()
    at, live = dict.fromkeys(streams, 0), dict.fromkeys(streams, True)
    released, paired = [], []
    while any(live.values()):
        stream = min((order.progress().get(s, NEVER), s) for s in streams if live[s])[1]
        size = cut or len(streams[stream])
        order.push(stream, streams[stream][at[stream] : at[stream] + size])
        at[stream] += size
        live[stream] = at[stream] < len(streams[stream])
        if not any(live.values()):
            order.confirm()
        mark = order.watermark(live)
        released.append(order.release(mark))
        paired.append(pairing.push(released[-1], mark))
        if reload:
            saved, order = order.snapshot(), Sequencer()
            order.restore(saved)
            kept, pairing = pairing.snapshot(), Pairing()
            pairing.restore(kept)
    return pl.concat(released), paired
