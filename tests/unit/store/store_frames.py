"""Frames of any size for the store's tests, a pure function of their numbers."""

from __future__ import annotations

import hashlib
import json
import random

import polars as pl

from pipeline.core import schema
from pipeline.core.model import Commit, Message, Position

START_US = 1_760_000_000_000_000
STEP_US = 1_000_000


def uid(number: int, salt: str = "event") -> str:
    """32 hexadecimal digits."""
    return hashlib.blake2b(f"{salt}{number}".encode(), digest_size=16).hexdigest()


def at(number: int) -> int:
    """Event time of entry `number`, µs: one a second."""
    return START_US + number * STEP_US


def times(numbers: range) -> pl.Series:
    """Event times as a column."""
    return pl.Series([at(n) for n in numbers], dtype=pl.Int64).cast(schema.TIME)


def events(numbers: range) -> pl.DataFrame:
    """EVENT rows: even numbers are requests, odd ones their responses."""
    return schema.conform(
        pl.DataFrame(
            {
                "uid": [uid(n) for n in numbers],
                "time": times(numbers),
                "store": "vault",
                "source": "audit.log",
                "file": "audit.log",
                "position": [n * 100 for n in numbers],
                "phase": ["request" if n % 2 == 0 else "response" for n in numbers],
                "operation": "read",
                "principal": [f"approle/app-{n // 2 % 7}" for n in numbers],
                "secret": [f"kv/app/{n // 2 % 11}" for n in numbers],
                "outcome": "success",
                "namespace": "",
                "correlation_uid": [uid(n // 2, "request") for n in numbers],
                "leaf_index": list(numbers),
            }
        ),
        schema.EVENT,
    )


def operations(numbers: range) -> pl.DataFrame:
    """OPERATION rows of the requests among `numbers`."""
    requests = events(numbers).filter(pl.col("phase") == "request")
    return schema.conform(
        requests.with_columns(
            devices=pl.concat_list("source"),
            paired=pl.lit(value=True),
            complete_time=pl.col("time"),
            latency_ms=pl.lit(1.5),
            zone=pl.lit("10.0.0.0/24"),
        ),
        schema.OPERATION,
    )


def raw(numbers: range, size: int = 200) -> pl.DataFrame:
    """RAW rows of `size` bytes, about."""
    return schema.conform(
        events(numbers)
        .select("uid", "source", "file", "position", "leaf_index")
        .with_columns(
            raw=pl.Series(
                [json.dumps({"n": n, "pad": uid(n) * (size // 32)}).encode() for n in numbers], dtype=pl.Binary
            ),
            redacted=pl.lit(value=False),
            salt=pl.Series([uid(n, "salt").encode()[:16] for n in numbers], dtype=pl.Binary),
            leaf=pl.Series([b"al1\0" + uid(n).encode() + b"." * 26 for n in numbers], dtype=pl.Binary),
        ),
        schema.RAW,
    )


def slis(hours: range, good: float = 1.0) -> pl.DataFrame:
    """One SLI row an hour."""
    start = [START_US + h * 3_600_000_000 for h in hours]
    return schema.conform(
        pl.DataFrame(
            {
                "sli": "M1",
                "store": "vault",
                "scope": "store",
                "window_start": pl.Series(start, dtype=pl.Int64).cast(schema.TIME),
                "window_seconds": 3600,
                "good": good,
                "total": 10.0,
            }
        ),
        schema.SLI,
    )


def alert(name: str, revision: int) -> Message:
    """One state of one alert."""
    row = schema.conform(
        pl.DataFrame(
            {
                "uid": [name],
                "state": "open" if revision == 1 else "updated",
                "first_time": times(range(1)),
                "last_time": times(range(revision, revision + 1)),
                "severity": "high",
                "title": "odd reads",
                "detectors": [["edge"]],
                "revision": revision,
                "score": 0.5,
            }
        ),
        schema.ALERT,
    ).row(0, named=True)
    return Message(f"{name}:{revision}", name, revision, row)


def commit_of(offset: int, **parts: object) -> Commit:
    """A commit that moves the one stream to `offset`."""
    return Commit([Position("audit.log", "inode-1", offset, {"size": offset * 100})], **parts)  # type: ignore[arg-type]


def large(count: int, seed: int, raw_size: int = 1_500) -> dict[str, pl.DataFrame]:
    """events, operations and raw of `count` entries with hashes as random, and texts as repetitive, as a real log's."""
    dice = random.Random(seed)

    def digits(rows: int, size: int) -> pl.Series:
        text = dice.randbytes(rows * size).hex()
        return pl.Series([text[i : i + 2 * size] for i in range(0, len(text), 2 * size)], dtype=pl.String)

    number = pl.int_range(0, count, eager=True)
    session = digits(2_000, 32)[[dice.randrange(2_000) for _ in range(count)]]
    request = digits(count // 2 + 1, 18)[number // 2]
    value = digits(count, 32)
    base = pl.DataFrame({"uid": digits(count, 16), "n": number, "session": session, "correlation_uid": request})
    event = base.with_columns(
        time=(START_US + pl.col("n") * 5_000).cast(schema.TIME),
        position=pl.col("n") * raw_size,
        leaf_index=pl.col("n"),
        principal=pl.format("approle/app-{}", pl.col("n") * 7_919 % 500),
        secret=pl.format("kv/team-{}/db", pl.col("n") * 104_729 % 3_000),
        path=pl.format("kv/data/team-{}/db", pl.col("n") * 104_729 % 3_000),
        client_ip=pl.format("10.0.{}.{}", pl.col("n") % 4, pl.col("n") * 31 % 250),
        phase=pl.when(pl.col("n") % 2 == 0).then(pl.lit("request")).otherwise(pl.lit("response")),
        **{name: pl.lit(text) for name, text in _SAME.items()},
    )
    line = pl.concat_str(
        pl.lit('{"time":"2026-01-01T00:00:00Z","type":"response","auth":{"client_token":"hmac-sha256:'),
        pl.lit(session),
        pl.lit('","policies":["default"]},"request":{"id":"'),
        pl.col("correlation_uid"),
        pl.lit('","path":"'),
        pl.col("path"),
        pl.lit('"},"response":{"data":{"password":"hmac-sha256:'),
        pl.lit(value),
        pl.lit('"}},"pad":"' + ("mount_type kv mount_accessor kv_12345678 " * 60)[: raw_size - 400] + '"}'),
    )
    entry = event.with_columns(
        raw=line.cast(pl.Binary),
        redacted=pl.lit(value=False),
        salt=pl.Series([dice.randbytes(16) for _ in range(count)], dtype=pl.Binary),
        leaf=pl.Series([b"al1\0\1\0" + b"stream-1" + dice.randbytes(48) for _ in range(count)], dtype=pl.Binary),
    )
    operation = event.filter(pl.col("n") % 2 == 0).with_columns(
        devices=pl.concat_list("source"),
        policies=pl.concat_list(pl.lit("default"), pl.lit("app")),
        latency_ms=pl.lit(1.5),
        complete_time=pl.col("time"),
        request_uid=pl.col("uid"),
        request_leaf=pl.col("n"),
        response_leaf=pl.col("n") + 1,
        zone=pl.lit("10.0.0.0/24"),
        token_type=pl.lit("service"),
        mount_type=pl.lit("kv"),
        paired=pl.lit(value=True),
    )
    return {
        "events": schema.conform(event, schema.EVENT),
        "operations": schema.conform(operation, schema.OPERATION),
        "raw": schema.conform(entry, schema.RAW),
    }


_SAME = {
    "source": "/var/log/vault/audit.log", "file": "/var/log/vault/audit.log", "format": "vault", "store": "vault",
    "cluster": "vault-1", "operation": "read", "api_operation": "read", "principal_type": "service", "namespace": "",
    "user_agent": "Go-http-client/1.1", "mount": "kv/", "outcome": "success", "error": "",
}  # fmt: skip
