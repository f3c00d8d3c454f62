"""Input that is broken, huge, lying or meant to hurt: counted, its neighbours intact, nothing stops."""

from __future__ import annotations

import gzip
import json
import os
import random
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from pipeline.core.errors import NoInputError
from tests import command
from tests.lakes import run, view
from tests.processes import keytrail, measured
from tests.scenarios.vault_lines import entry, line, pair, pairs

if TYPE_CHECKING:
    from pathlib import Path

GOOD = 4  # whole pairs before and behind each oddity
MIB = 1 << 20


def doubled_key() -> bytes:
    return line(entry(0, "request", 0)).replace(b'"path":', b'"path":"kv/data/other","path":', 1)


def escaped_key() -> bytes:
    """The same entry with a key written in escapes: to be read as what it is."""
    return line(entry(900, "request", 3)).replace(b'"request":', b'"\\u0072equest":', 1)


ODD: dict[str, tuple[bytes, list[str], int]] = {
    # name: what stands between good pairs, its reasons, how many events are in it
    "bad utf-8": (line(entry(0, "request", 0)).replace(b"app/1.0", b"app/\xff\xfe"), ["bad_utf8"], 0),
    "duplicate key": (doubled_key(), ["duplicate_key"], 0),
    "lone surrogate": (line(entry(0, "request", 0)).replace(b"app/1.0", b"\\ud800"), ["lone_surrogate"], 0),
    "too deep": (b'{"time":' + b"[" * 2_000 + b"]" * 2_000 + b"}", ["too_deep"], 0),
    "NUL bytes": (b"\x00" * 5_000, ["nul_run"], 0),
    "torn": (line(entry(0, "request", 0))[:200], ["torn"], 0),
    "no time": (line({**entry(0, "request", 0), "time": "yesterday"}), ["bad_time"], 0),
    "year 9999": (line({**entry(0, "request", 0), "time": "9999-12-31T23:59:59.999999Z"}), ["bad_time"], 0),
    "year 1": (line({**entry(0, "request", 0), "time": "0001-01-01T00:00:00Z"}), ["bad_time"], 0),
    "prose": (b"panic: runtime error", ["unknown_format"], 0),
    "another shape": (b'{"level":"info","msg":"started"}', ["unknown_format"], 0),
    "an array": (b"[1,2,3]", ["not_object"], 0),
    "xml": (b"<json:object><json:string>x</json:string></json:object>", ["jsonx"], 0),
    "escaped key": (escaped_key(), [], 1),
    "carriage return": (line(entry(901, "request", 3)) + b"\r", [], 1),
    "prefix": (b"@cee: " + line(entry(902, "request", 3)), [], 1),
    "glued": (line(entry(903, "request", 3)) + line(entry(903, "response", 3.002)), [], 2),
    "torn and glued": (line(entry(0, "request", 0))[:150] + line(entry(904, "request", 3)), ["torn"], 1),
    "byte order mark": (b"\xef\xbb\xbf" + line(entry(905, "request", 3)), [], 1),
    "unknown field": (line({**entry(906, "request", 3), "novel": {"a": [1, {"b": None}]}}), [], 1),
    "numbers past all": (line(entry(907, "request", 3)).replace(b'"token_type"', b'"token_ttl":1e999,"token_type"'),
                         [], 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def odd_lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[int, int]]]:
    """One file with every oddity between good pairs; its lake, and where each oddity lies (from, to)."""
    home = tmp_path_factory.mktemp("odd")
    body, places = b"", {}
    for i, (name, (odd, _, _)) in enumerate(ODD.items()):
        body += pairs(range(i * GOOD, (i + 1) * GOOD), start=i * GOOD)
        places[name] = (len(body), len(body) + len(odd))
        body += odd + b"\n"
    body += pairs(range(len(ODD) * GOOD, (len(ODD) + 1) * GOOD), start=len(ODD) * GOOD)
    (home / "audit.log").write_bytes(body)
    result = run(home / "lake", home / "audit.log")
    assert result["entries"] == len(view(home / "lake", "raw"))
    return home / "lake", places


def inside(frame: pl.DataFrame, place: tuple[int, int]) -> pl.DataFrame:
    return frame.filter(pl.col("position").is_between(*place, closed="left"))


@pytest.mark.parametrize("name", list(ODD))
def test_each_oddity_is_counted(odd_lake: tuple[Path, dict[str, tuple[int, int]]], name: str) -> None:
    """What cannot be an entry is rejected with its own reason, what can be one is an event, at its own place."""
    lake, places = odd_lake
    odd, reasons, events = ODD[name]
    rejected = inside(view(lake, "rejected"), places[name])
    assert rejected["reason"].to_list() == reasons
    assert len(inside(view(lake, "events"), places[name])) == events
    assert all(size <= len(odd) for size in rejected["size"])
    assert all(len(sample) <= 200 and sample.isprintable() for sample in rejected["sample"])


def test_neighbours_of_oddities_are_whole(odd_lake: tuple[Path, dict[str, tuple[int, int]]]) -> None:
    """Every pair around the oddities is one whole operation with its latency; nothing else is paired."""
    operations = view(odd_lake[0], "operations")
    good = operations.filter(pl.col("correlation_uid") < "id-0000900")
    assert len(good) == (len(ODD) + 1) * GOOD
    assert set(good.select("principal", "outcome", "paired", "latency_ms").rows()) == {
        ("userpass/ada", "success", True, 2.0)
    }
    rest = operations.filter(pl.col("correlation_uid") >= "id-0000900")
    assert rest.filter("paired")["correlation_uid"].to_list() == ["id-0000903"]


def test_samples_show_no_value(odd_lake: tuple[Path, dict[str, tuple[int, int]]]) -> None:
    """What is kept of an unreadable line shows nothing that could be a value."""
    samples = " ".join(view(odd_lake[0], "rejected").filter(pl.col("reason") != "unknown_format")["sample"])
    assert "ada" not in samples
    assert "app/s" not in samples


def packed(path: Path, *parts: tuple[bytes, int]) -> None:
    """A gzip file of (block, times), without ever holding it unpacked."""
    press = zlib.compressobj(9, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        for block, times in parts:
            for _ in range(times):
                file.write(press.compress(block))
        file.write(press.flush())


def test_giants_in_flat_memory(tmp_path: Path) -> None:
    """A line of 50 MiB, bombs of 300 MiB in gzip, 100,000 levels of nesting: refused by name, in bounded memory."""
    logs = tmp_path / "logs"
    logs.mkdir()
    before, behind = pairs(range(3)), pairs(range(3, 6), start=10)
    big = b'{"time":"2026-03-02T08:00:05Z","type":"request","request":{"id":"x","data":{"v":"'
    (logs / "long.log").write_bytes(before + big + b"x" * 50 * MIB + b'"}}}\n' + behind)
    deep = (
        b'{"time":"2026-03-02T08:00:05Z","type":"request","request":{"data":'
        + b'{"a":' * 100_000
        + b"1"
        + b"}" * 100_002
    )
    (logs / "deep.log").write_bytes(before.replace(b"id-", b"dd-") + deep + b"\n" + behind.replace(b"id-", b"dd-"))
    zipped = [part.replace(b"id-", b"zz-") for part in (before, behind)]
    packed(logs / "bomb.log.gz", (zipped[0], 1), (b"\x00" * MIB, 150), (b"y" * MIB, 150), (b"\n" + zipped[1], 1))
    ended = [part.replace(b"id-", b"nn-") for part in (before, behind)]
    packed(logs / "ends.log.gz", (ended[0], 1), (b"\n" * MIB, 40), (ended[1], 1))
    lake = tmp_path / "lake"
    code, out, err, peak = measured("run", logs, "--lake", lake, "--format", "json", home=tmp_path)
    assert code in {0, 10}, err
    assert peak < 900 * MIB
    operations = view(lake, "operations")
    assert Counter(operations["correlation_uid"].str.head(2)) == {"id": 6, "dd": 6, "zz": 6, "nn": 6}
    assert operations["paired"].all()
    told = {(row["source"].rpartition("/")[2], row["reason"]): row for row in view(lake, "rejected").to_dicts()}
    assert told["long.log", "oversize"]["size"] == len(big) + 50 * MIB + 4
    assert told["deep.log", "too_deep"]["size"] == len(deep)
    assert told["bomb.log.gz", "oversize"]["size"] == 300 * MIB
    assert json.loads(out)["entries"] == 24 * 2 + len(told)


def crowd(path: Path, count: int, *, distinct: bool) -> None:
    """Reads by `count` principals of as many secrets from as many addresses and agents; or by one of each."""
    with path.open("wb") as file:
        for n in range(count):
            i = n if distinct else 0
            file.write(
                pair(
                    n, n * 40_000 / count, who=f"userpass-user{i}", path=f"kv/data/team{i % 97}/secret{i}",
                    remote_address=f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}",
                    headers={"user-agent": [f"agent/{i}"]},
                )
            )  # fmt: skip


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_memory_follows_what_is_kept_not_what_is_sent(tmp_path: Path, count: int) -> None:
    """So many distinct principals, secrets, addresses and agents cost a bounded amount more than one of each."""
    peaks = {}
    for name, distinct in (("alike", False), ("distinct", True)):
        (tmp_path / name).mkdir()
        crowd(tmp_path / name / "audit.log", count, distinct=distinct)
        lake = tmp_path / name / "lake"
        code, _, err, peaks[name] = measured("run", tmp_path / name / "audit.log", "--lake", lake, home=tmp_path)
        assert code == 0, err
        assert len(view(lake, "operations")) == count
    assert peaks["distinct"] - peaks["alike"] < 400 * MIB
    baselines = view(tmp_path / "distinct" / "lake", "baselines")
    assert baselines.filter(scope="edge")["key"].n_unique() > 0.8 * count  # the last window is still open


YEAR = 365 * 86_400


@pytest.mark.parametrize("many", [1, 200])
@pytest.mark.parametrize("off", [YEAR, -YEAR], ids=["ahead", "behind"])
def test_a_clock_a_year_off(tmp_path: Path, off: int, many: int) -> None:
    """One or many entries a year off are told as such; every operation is there once, with its own time."""
    lines = pairs(range(300)) + pairs(range(300, 300 + many), start=300 + off) + pairs(range(600, 900), start=600)
    (tmp_path / "audit.log").write_bytes(lines)
    result = run(tmp_path / "lake", tmp_path / "audit.log")
    operations = view(tmp_path / "lake", "operations")
    assert operations["correlation_uid"].n_unique() == len(operations) == 600 + many
    assert operations["paired"].all()
    assert set(operations["latency_ms"]) == {2.0}
    assert result["integrity"].keys() == {"clock_step"} if many > 1 or off > 0 else {"late"}
    findings = view(tmp_path / "lake", "findings").filter(pl.col("detector") != "integrity")
    assert len(findings) < 20


def test_a_clock_off_does_not_depend_on_cuts(tmp_path: Path) -> None:
    """Leaps ahead and back give the same lake in small batches as in one."""
    from tests.lakes import differences  # noqa: PLC0415

    parts = (pairs(range(50)), pairs(range(50, 53), start=YEAR), pairs(range(60, 90), start=60),
             pairs(range(90, 190), start=-YEAR), pairs(range(200, 260), start=200))  # fmt: skip
    (tmp_path / "audit.log").write_bytes(b"".join(parts))
    for name, batch in (("small", 9), ("whole", None)):
        run(tmp_path / name / "lake", tmp_path / "audit.log", batch=batch)
    assert differences(tmp_path / "small" / "lake", tmp_path / "whole" / "lake") == []


@pytest.mark.parametrize("length", [1, 30, 120])
def test_replayed_lines(tmp_path: Path, length: int) -> None:
    """Lines of two hours ago that stand in the log again are duplicates, and no operation is there twice."""
    old = pairs(range(200))
    replay = b"".join(old.splitlines(keepends=True)[20 : 20 + 2 * length])
    body = old + pairs(range(200, 7_400, 40), step=40, start=200) + replay + pairs(range(8_000, 8_100), start=8_000)
    (tmp_path / "audit.log").write_bytes(body)
    result = run(tmp_path / "lake", tmp_path / "audit.log")
    operations = view(tmp_path / "lake", "operations")
    assert operations["correlation_uid"].n_unique() == len(operations)
    duplicates = view(tmp_path / "lake", "integrity").filter(verdict="duplicate")
    assert int(duplicates["count"].sum()) == 2 * length
    assert result["integrity"]["duplicate"] == len(duplicates)


def test_names_that_hurt(tmp_path: Path) -> None:
    """Files whose names hold line ends, escapes, question marks and quotes are read and told without harm."""
    logs = tmp_path / "logs"
    logs.mkdir()
    names = ["a\nb.log", "c\x1b[31md.log", "e?f.log", "g'h\".log", "i\u202ej.log", "k;l$(m).log"]
    for i, name in enumerate(names):
        (logs / name).write_bytes(pairs(range(i * 10, i * 10 + 3)))
    (logs / "sub*dir").mkdir()
    (logs / "sub*dir" / "[x].log").write_bytes(pairs(range(100, 103)))
    done = keytrail("run", logs, "--lake", tmp_path / "lake", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(view(tmp_path / "lake", "operations")) == 21
    assert {os.path.basename(source) for source in view(tmp_path / "lake", "events")["source"]} == {*names, "[x].log"}
    shown = [done] + [
        keytrail(
            "query", "SELECT source, file FROM events", "--format", style, "--lake", tmp_path / "lake", home=tmp_path
        )
        for style in ("table", "csv", "json")
    ]
    assert [harm for answer in shown for harm in harmful(answer.stdout + answer.stderr)] == []


def harmful(text: str) -> list[str]:
    """Characters that a terminal or a reader's eye would obey."""
    return [c for c in text if c != "\n" and not c.isprintable()]


def test_words_that_a_terminal_would_obey(tmp_path: Path) -> None:
    """Escapes in principals, paths, agents, errors and ids never reach a terminal as they are."""
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\u2028\r\t"
    body = b"".join(
        pair(n, n, who=f"userpass-{evil}{n}", path=f"kv/data/{evil}", headers={"user-agent": [evil]}) for n in range(5)
    )
    refused = [{**entry(9, phase, 9, path=f"sys/policy/{evil}", operation="update"), "error": evil} for phase in
               ("request", "response")]  # fmt: skip
    body += b"".join(line(half) + b"\n" for half in refused)
    body += b'{"time":"' + evil.encode() + b'"}\n'
    (tmp_path / "audit.log").write_bytes(body)
    lake = tmp_path / "lake"
    asked: list[tuple[Any, ...]] = [
        ("run", tmp_path / "audit.log"),
        ("run", tmp_path / "audit.log", "--format", "json"),
    ]
    asked += [("alerts", "--format", style) for style in ("table", "json", "ocsf")]
    asked += [
        ("query", f"SELECT * FROM {name}", "--format", style)
        for name, style in (("operations", "table"), ("operations", "csv"), ("operations", "json"), ("rejected", "csv"))
    ]
    answers = [command.keytrail(*words, "--lake", lake) for words in asked]
    assert len(view(lake, "operations")) == 6
    assert view(lake, "operations")["principal"].str.contains("owned").any()
    for words, answer in zip(asked, answers, strict=True):
        assert harmful(answer.stdout + answer.stderr) == [], words


def test_formulas_in_csv(tmp_path: Path) -> None:
    """A principal that a spreadsheet would take for a formula is quoted in CSV."""
    (tmp_path / "audit.log").write_bytes(pair(1, 0, who='=HYPERLINK("http://x")', path="=1+1"))
    keytrail("run", tmp_path / "audit.log", "--lake", tmp_path / "lake", home=tmp_path)
    sql = "SELECT path FROM operations"
    answer = keytrail("query", sql, "--format", "csv", "--lake", tmp_path / "lake", home=tmp_path)
    assert answer.stdout.splitlines()[1:] == ["'=1+1"]


def test_things_that_are_no_files(tmp_path: Path) -> None:
    """A pipe, a link in a circle, a link to nowhere, an empty file: told and passed by, the log beside them is read."""
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "audit.log").write_bytes(pairs(range(3)))
    os.mkfifo(logs / "pipe.log")
    (logs / "round").symlink_to(logs)
    (logs / "self.log").symlink_to(logs / "self.log")
    (logs / "nowhere.log").symlink_to(logs / "gone.log")
    (logs / "empty.log").touch()
    (logs / "folder.log").mkdir()
    done = keytrail("run", logs, "--lake", tmp_path / "lake", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(view(tmp_path / "lake", "operations")) == 3
    assert "pipe.log" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    """A log without read permission is told, the one beside it is read; alone, it is no input."""
    (tmp_path / "a.log").write_bytes(pairs(range(3)))
    (tmp_path / "b.log").write_bytes(pairs(range(3)))
    (tmp_path / "b.log").chmod(0)
    run(tmp_path / "lake", tmp_path)
    assert len(view(tmp_path / "lake", "operations")) == 3
    with pytest.raises(NoInputError, match="permission denied"):
        run(tmp_path / "other", tmp_path / "b.log")


# Long enough to hold a lone bracket and a form feed, each on a line of its own.
NOISE = b"".join(random.Random(seed).randbytes(20_000) for seed in (18, 31))


@pytest.mark.parametrize(
    ("name", "body"),
    [("audit.log", b""), ("audit.log", b"\n\n \n"), ("audit.log", NOISE), ("audit.log.gz", b"no gzip"),
     ("audit.log.gz", gzip.compress(pairs(range(50)))[:-300]), ("audit.log", b"no line end")],
    ids=["empty", "blank", "noise", "no gzip", "cut gzip", "one word"],
)  # fmt: skip
def test_files_without_sense(tmp_path: Path, name: str, body: bytes) -> None:
    """Nothing, noise, and archives that are cut or none: the run ends in order, and what could be read is there."""
    (tmp_path / name).write_bytes(body)
    result = run(tmp_path / "lake", tmp_path / name)
    raw = view(tmp_path / "lake", "raw")["raw"]
    alone = raw.filter(raw.is_in([b"[", b"]", b",", b"}"]))  # they could hold the entries of a list: kept, not counted
    assert result["entries"] == len(raw) - len(alone)
    assert len(view(tmp_path / "lake", "rejected")) == sum(result["rejected"].values())
    if b"kv/data" in zlib_tolerant(body):
        assert result["operations"] > 20


def zlib_tolerant(body: bytes) -> bytes:
    """As much of a gzip file as can be unpacked, nothing when it is none."""
    try:
        return zlib.decompressobj(31).decompress(body)
    except zlib.error:
        return b""
