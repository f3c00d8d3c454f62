"""The recorded OpenBao held to its own counters and to its canary: what is proven of it, and what it lost."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.integrity import scrapes
from tests.lakes import real_logs, run, view

NAMES = ("main.log.1", "main.log", "second.log", "third.log", "socket.log", "raw.log")
KEY = "canary key of this recording"
# What the server had counted at its three scrapes, and what follows for the two stretches between them.
COUNTED = {"": [(58, 57), (982, 980), (1029, 1026)], "main": [(58, 57), (982, 980), (1029, 1026)],
           "second": [(58, 57), (982, 980), (1029, 1026)], "third": [(32, 32), (32, 32)],
           "raw": [(16, 16), (16, 16)], "wire": [(107, 107), (107, 107)]}  # fmt: skip
BETWEEN = [(924, 923), (47, 46)]


@pytest.fixture(scope="module")
def logs() -> Path:
    return real_logs("openbao-live")


@pytest.fixture(scope="module")
def prom(logs: Path) -> tuple[str, ...]:
    return tuple(str(logs / f"metrics-{n}.prom") for n in (1, 2, 3))


def completeness(home: Path, *paths: Path, key: str = KEY, counters: tuple[str, ...] = ()) -> Path:
    """The lake of one run with a canary's key and the server's counters."""
    (home / "key").write_text(f"{key}\n")
    run(home / "lake", *paths, tables={"canary": {"key": {"file": str(home / "key")}}}, counters=counters)
    return home / "lake"


@pytest.fixture(scope="module")
def lake(logs: Path, prom: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return completeness(tmp_path_factory.mktemp("whole"), *(logs / name for name in NAMES), counters=prom)


def lines(*paths: Path) -> list[dict[str, Any]]:
    return [json.loads(line[line.index(b"{") :]) for path in paths for line in path.read_bytes().splitlines()]


def rows(lake: Path, cause: str) -> list[dict[str, Any]]:
    return view(lake, "integrity").filter(pl.col("cause").str.starts_with(cause)).to_dicts()


def name_of(row: dict[str, Any]) -> str:
    return str(row["source"].rpartition("/")[2])


def test_the_scrapes_say_what_they_say(prom: tuple[str, ...]) -> None:
    """The counters of each device at each scrape, read by eye from the files."""
    found = scrapes.read(prom)
    for device, counts in COUNTED.items():
        told = [
            (s.calls[device, "request"], s.calls[device, "response"]) for s in found if (device, "request") in s.calls
        ]
        assert told == counts


def test_the_lines_add_up_to_the_counters(logs: Path) -> None:
    """Up to its own request each scrape counted every line of the two declared devices but their start: 58, 982, 1029.

    Of the other devices it counted every line but the starts, and 26 requests and answers of the socket's that are not
    in what its far end received.
    """
    for paths in (("main.log.1", "main.log"), ("second.log",)):
        entries = lines(*(logs / name for name in paths))
        asked = [n for n, e in enumerate(entries) if e["request"]["path"] == "sys/metrics" and e["type"] == "request"]
        counts = [Counter(e["type"] for e in entries[: n + 1]) for n in asked]
        assert [(c["request"] - 1, c["response"]) for c in counts] == COUNTED["main"]
        assert [(b - a, d - c) for (a, c), (b, d) in zip(COUNTED["main"], COUNTED["main"][1:], strict=False)] == BETWEEN
    for name, device, starts, lost in (("third", "third", 2, 0), ("raw", "raw", 1, 0), ("socket", "wire", 1, 26)):
        count = Counter(e["type"] for e in lines(logs / f"{name}.log"))
        assert (count["request"] - starts + lost, count["response"] + lost) == COUNTED[device][0]


def test_every_canary_stands_on_every_device_that_lived(logs: Path) -> None:
    """Seven numbers, asked and answered, on each of the two devices that were there: 5 and 6 are on none."""
    for paths in (("main.log.1", "main.log"), ("second.log",)):
        told = [
            (int(e["request"]["headers"]["x-audit-canary"][0].partition(".")[0]), e["type"])
            for e in lines(*(logs / name for name in paths))
            if "x-audit-canary" in e["request"].get("headers", {})
        ]
        assert sorted(told) == [(n, phase) for n in (1, 2, 3, 4, 7, 8, 9) for phase in ("request", "response")]


def test_exactly_two_canaries_are_missing(lake: Path) -> None:
    """One gap of two numbers on either device, between number 4's answer and number 7's request, and no other row."""
    found = rows(lake, "canary")
    assert [(name_of(row), row["verdict"], row["cause"], row["count"]) for row in found] == [
        ("main.log", "gap", "canary_gap", 2), ("second.log", "gap", "canary_gap", 2),
    ]  # fmt: skip
    for row in found:
        assert row["evidence"] == "canary numbers 5 to 6 are missing; no device has them"
        assert 1.1 < (row["to_time"] - row["from_time"]).total_seconds() < 1.2


def test_what_the_socket_lost_is_what_the_server_counted_more(lake: Path) -> None:
    """The counters and the other devices agree on the socket's loss: 52 entries. No other stream lacks any."""
    (row,) = rows(lake, "counter")
    assert (name_of(row), row["verdict"], row["count"]) == ("socket.log", "gap", 52)
    assert row["evidence"].endswith("counted 107 requests and 107 responses; there are 81 requests and 81 responses")
    (compared,) = rows(lake, "device_loss")
    assert (name_of(compared), compared["count"]) == ("socket.log", 52)


def test_what_is_proven(lake: Path) -> None:
    """The declared devices are proven from their start to the last scrape; the missing canaries were not lost."""
    told = {name_of(row): (row["completeness"], row["evidence_kind"], row["missing_operations"])
            for row in view(lake, "coverage").to_dicts()}  # fmt: skip
    assert told == {
        "main.log": ("proven", "counters", 0), "second.log": ("proven", "counters", 0),
        "third.log": ("bounded", "devices compared", 0), "raw.log": ("bounded", "devices compared", 0),
        "socket.log": ("violated", "entries", 52),
    }  # fmt: skip


def test_one_device_alone_is_proven_by_its_counters(logs: Path, prom: tuple[str, ...], tmp_path: Path) -> None:
    """Without any sibling the server's counters prove the device, where nothing else could."""
    alone = completeness(tmp_path, logs / "main.log.1", logs / "main.log", counters=prom)
    assert view(alone, "coverage")["completeness"].to_list() == ["proven"]


def test_a_line_taken_out_is_missed_by_the_counters(logs: Path, prom: tuple[str, ...], tmp_path: Path) -> None:
    """One operation taken out of a device that is alone: two entries, between the scrapes around it."""
    body = (logs / "second.log").read_bytes().splitlines(keepends=True)
    victim = json.loads(body[1000][body[1000].index(b"{") :])["request"]["id"].encode()
    (tmp_path / "second.log").write_bytes(b"".join(line for line in body if victim not in line))
    alone = completeness(tmp_path, tmp_path / "second.log", counters=prom)
    (row,) = rows(alone, "counter")
    assert (row["verdict"], row["count"]) == ("gap", 2)
    assert row["evidence"].endswith("counted 924 requests and 923 responses; there are 923 requests and 922 responses")


def test_another_key_believes_no_canary(logs: Path, tmp_path: Path) -> None:
    """With a key that is not the client's every canary is forged: one place, and no gap from such numbers."""
    found = rows(completeness(tmp_path, logs / "main.log.1", logs / "main.log", key="another"), "canary")
    assert [(row["verdict"], row["cause"], row["count"]) for row in found] == [("altered", "canary_mac", 14)]
