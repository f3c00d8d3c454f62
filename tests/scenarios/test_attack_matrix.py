"""What somebody can do to an audit trail before it is read, and what is told of each; and what is harmless.

The attacks on lines are in `tests/attacks.py`, those on the lake in `test_attacks_on_the_lake.py`; here are those on
files between two runs. Every attack must be told with its verdict, its cause and its place, and nothing else; what is
harmless must be told of not at all.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.core import plugins
from pipeline.summary import broken as breaks
from tests.attacks import ATTACKS, Attack, Told, over_kafka, sampled
from tests.lakes import run, view
from tests.processes import command, surroundings
from tests.trail import (
    CANARY_KEY,
    MAIN,
    PREFIX,
    SECOND,
    START,
    Request,
    Trail,
    lines_of,
    requests,
    start_line,
    trail,
    written,
)

# The detectors that speak of integrity; the others have nothing to do with it and take time.
_QUIET = [name for name in plugins.kinds("detectors") if name not in ("integrity", "invariant")]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "canary.key").write_text(CANARY_KEY)
    return tmp_path


def read(home: Path, *paths: Path, counters: tuple[str, ...] = (), batch: int | None = None) -> dict[str, Any]:
    """One run over files."""
    tables = {"canary": {"key": {"file": str(home / "canary.key")}}, "detection": {"disabled": _QUIET}}
    return run(home / "lake", *paths, batch=batch, tables=tables, counters=counters)


def told(home: Path, harmless: tuple[str, ...] = ("late",)) -> list[dict[str, Any]]:
    """What integrity says in the end. `late` takes back what was said before, and accuses nobody."""
    return view(home / "lake", "integrity").filter(~pl.col("verdict").is_in(harmless)).to_dicts()


def held_against(rows: list[dict[str, Any]], expected: list[Told], places: dict[str, list[int]]) -> list[str]:
    """What was expected and not told, and what was told and not expected."""
    left, wrong = list(rows), []
    for wanted in expected:
        match = next((row for row in left if _fits(row, wanted, places)), None)
        if match is None:
            wrong.append(f"not told: {wanted}")
        else:
            left.remove(match)
    return wrong + [f"told: {row['source']} {row['verdict']} {row['cause']} {row['evidence']}" for row in left]


def _fits(row: dict[str, Any], wanted: Told, places: dict[str, list[int]]) -> bool:
    starts = places[wanted.device]
    asked = {
        "verdict": wanted.verdict, "cause": wanted.cause, "count": wanted.count,
        "from_position": None if wanted.first is None else starts[wanted.first],
        "to_position": None if wanted.last is None else starts[wanted.last],
    }  # fmt: skip
    named = row["source"].rpartition("/")[2] in (wanted.device, "-")
    return named and all(value is None or row[name] == value for name, value in asked.items())


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_what_is_done_to_lines_is_told(attack: Attack, home: Path) -> None:
    """Each attack on the lines of files is told with verdict, cause and place, and nothing else is."""
    harmed = trail(*attack.devices)
    expected = attack.harm(harmed)
    summary = read(home, *harmed.write(home / "logs"), counters=harmed.counters(home / "scrapes"))
    places = {device: harmed.positions(device) for device in harmed.lines}
    assert held_against(told(home), expected, places) == []
    broken = any(wanted.verdict not in ("device_change", "in_clear") for wanted in expected)
    assert breaks(summary) == broken


@pytest.mark.parametrize("attack", sampled(ATTACKS))
def test_the_same_is_told_of_compressed_files(attack: Attack, home: Path) -> None:
    """An attack is told alike, at the same places, when one device is packed with gzip and the other with zstd.

    Of the attacks on a single device some are in the one and some in the other.
    """
    harmed = trail(*attack.devices)
    expected = attack.harm(harmed)
    packed = ("gz", "zst") if ATTACKS.index(attack) // 2 % 2 else ("zst", "gz")
    paths = harmed.write(home / "logs", packed)
    read(home, *paths, counters=harmed.counters(home / "scrapes"))
    places = {device: harmed.positions(device) for device in harmed.lines}
    plain = [{**row, "source": row["source"].removesuffix(".gz").removesuffix(".zst")} for row in told(home)]
    assert held_against(plain, expected, places) == []


ALONE = [attack for attack in ATTACKS if attack.devices == (MAIN,)]


@pytest.mark.parametrize("attack", ALONE, ids=[attack.name for attack in ALONE])
def test_the_same_is_told_of_standard_input(attack: Attack, home: Path) -> None:
    """An attack on a single device is told alike when its lines come through a pipe."""
    harmed = trail(MAIN)
    expected = attack.harm(harmed)
    (path,) = harmed.write(home / "logs")
    config = home / "keytrail.toml"
    config.write_text(
        f'[canary]\nkey = {{ file = "{home / "canary.key"}" }}\n[detection]\ndisabled = {_QUIET!r}\n'
        '[integrity.devices]\naudit = "-"\n'
    )
    counters = ",".join(harmed.counters(home / "scrapes"))
    words = command("run", "-", "--lake", home / "lake", "--config", config, "--counters", counters)
    with path.open("rb") as lines:
        done = subprocess.run(words, stdin=lines, env=surroundings(home), cwd=home, capture_output=True, check=False)
    assert done.returncode == 10, done.stderr.decode()
    assert held_against(told(home), expected, {MAIN: harmed.positions(MAIN)}) == []


CUT = {
    "stretch_moved": (), "torn": (), "canaries_suppressed": (), "deleted_on_one": (), "swapped": pytest.mark.slow,
    "block_replayed": pytest.mark.slow, "clock_back": pytest.mark.slow,
}  # fmt: skip


@pytest.mark.parametrize("attack", [pytest.param(a, marks=CUT[a.name], id=a.name) for a in ATTACKS if a.name in CUT])
def test_what_is_told_does_not_depend_on_the_cuts(attack: Attack, home: Path, tmp_path: Path) -> None:
    """Batches of 40 entries give the same integrity, coverage and findings as everything at once."""
    harmed = trail(*attack.devices)
    attack.harm(harmed)
    paths, counters = harmed.write(home / "logs"), harmed.counters(home / "scrapes")
    seen = []
    for batch in (None, 40):
        read(home, *paths, counters=counters, batch=batch)
        seen.append([view(home / "lake", name) for name in ("integrity", "coverage", "findings")])
        shutil.rmtree(home / "lake")
    for whole, cut in zip(*seen, strict=True):
        assert whole.equals(cut)


def sources(attack: Attack, expected: list[Told]) -> list[str]:
    """What the table says of standard input and of Kafka; compressed files are as plain ones."""
    left = over_kafka(expected)
    kafka = "the same" if left == expected else "but for counts" if left else "no"
    return ["the same" if attack in ALONE else "two devices", kafka]


def test_the_page_on_integrity_lists_the_whole_matrix() -> None:
    """Every attack stands in docs/integrity.md with what is told of it, and so does everything that is harmless."""
    page = (Path(__file__).parents[2] / "docs" / "integrity.md").read_text()
    rows = {row.split("|")[1].strip(): row for row in page.splitlines() if row.startswith("|")}
    for attack in ATTACKS:
        expected = attack.harm(trail(*attack.devices))
        for wanted in expected:
            assert f"`{wanted.verdict}` {wanted.cause}" in rows[attack.done], attack.done
        assert [cell.strip() for cell in rows[attack.done].split("|")[3:5]] == sources(attack, expected), attack.done
    for harm, expected in FILES:
        for verdict, cause, *_ in expected:
            assert f"`{verdict}` {cause}" in rows[str(harm.__doc__)], harm.__name__
    for change in (*HARMLESS, *ROTATIONS):
        assert str(change.__doc__) in page, change.__name__


def test_the_whole_trail_is_proven(home: Path) -> None:
    """Without any attack nothing is told, and every stream's hour is proven by the server's counters."""
    whole = trail()
    summary = read(home, *whole.write(home / "logs"), counters=whole.counters(home / "scrapes"))
    assert told(home, ()) == []
    assert not breaks(summary)
    assert view(home / "lake", "coverage")["completeness"].to_list() == ["proven", "proven"]
    assert view(home / "lake", "alerts").is_empty()


# Files between two runs: the first run has read a single device up to request r-150.


@dataclass(slots=True)
class Half:
    """A device read up to a line: its trail, its file, what that held then and what was to follow."""

    trail: Trail
    path: Path
    before: bytes
    after: bytes

    def start(self, request: str) -> int:
        """The byte at which a request's line begins in the whole file."""
        return self.trail.positions(MAIN)[self.trail.at(MAIN, request)]

    def from_on(self, request: str) -> bytes:
        """What follows from a request on."""
        return self.after[self.start(request) - len(self.before) :]

    def append(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)


@pytest.fixture
def half(home: Path) -> Half:
    whole = trail(MAIN)
    (path,) = whole.write(home / "logs")
    body, end = path.read_bytes(), whole.positions(MAIN)[whole.at(MAIN, "r-150")]
    path.write_bytes(body[:end])
    read(home, path)
    assert told(home, ()) == []
    return Half(whole, path, body[:end], body[end:])


def cut_back(half: Half) -> None:
    """a file cut back"""
    os.truncate(half.path, half.start("r-120"))


def cut_back_and_written_on(half: Half) -> None:
    """a file cut back and written on past where it was read to"""
    os.truncate(half.path, half.start("r-120"))
    half.append(half.after)


def rolled_back(half: Half) -> None:
    """an older copy put in a file's place"""
    older = half.path.with_name("older")
    older.write_bytes(half.before[: half.start("r-120")])
    older.replace(half.path)


def copied_and_truncated(half: Half) -> None:
    """copytruncate that loses what came in between"""
    shutil.copy(half.path, f"{half.path}.1")
    os.truncate(half.path, 0)
    half.append(half.from_on("r-170"))


def emptied(half: Half) -> None:
    """a file emptied and written on"""
    os.truncate(half.path, 0)
    half.append(half.from_on("r-170"))


def sibling_removed(half: Half) -> None:
    """a rotated file removed before it was read"""
    half.append(half.after[: half.start("r-170") - len(half.before)])
    half.path.rename(f"{half.path}.1")
    half.path.write_bytes(half.from_on("r-170"))
    Path(f"{half.path}.1").unlink()


# What is done, and what is told: verdict, cause, and the seconds between which it happened (None: as the file tells).
FILES: list[tuple[Callable[[Half], None], list[tuple[str, str, float | None, float | None]]]] = [
    (cut_back, [("truncated", "truncated", None, 149.253), ("duplicate", "duplicate", 1.0, 119.253)]),
    (cut_back_and_written_on, [("altered", "altered", None, 149.253), ("duplicate", "duplicate", 1.0, 119.253)]),
    (rolled_back, [("gap", "recreated", None, 149.253), ("duplicate", "duplicate", 1.0, 119.253)]),
    (copied_and_truncated, [("gap", "canary_gap", 145.253, 175.25)]),
    (emptied, [("truncated", "truncated", 149.253, 170.25), ("gap", "canary_gap", 145.253, 175.25)]),
    (sibling_removed, [("gap", "recreated", 149.253, 170.25), ("gap", "canary_gap", 145.253, 175.25)]),
]  # fmt: skip


@pytest.mark.parametrize(("harm", "expected"), FILES, ids=[harm.__name__ for harm, _ in FILES])
def test_what_is_done_to_files_between_two_runs_is_told(
    harm: Callable[[Half], None], expected: list[tuple[str, str, float | None, float | None]], half: Half, home: Path
) -> None:
    """Each is told with its verdict and cause, between the last line read before and the first read after."""
    harm(half)
    summary = read(home, half.path.parent)
    assert breaks(summary)
    rows = told(home)
    assert sorted((row["verdict"], row["cause"]) for row in rows) == sorted(wanted[:2] for wanted in expected)
    by_cause = {row["cause"]: row for row in rows}
    for _, cause, low, high in expected:
        seconds = [(by_cause[cause][name] - START).total_seconds() for name in ("from_time", "to_time")]
        assert low in (None, seconds[0])
        assert high in (None, seconds[1])


def rotated(half: Half) -> None:
    """SIGHUP rotation: the file is renamed"""
    half.append(half.after[: half.start("r-170") - len(half.before)])
    half.path.rename(f"{half.path}.1")
    half.path.write_bytes(half.from_on("r-170"))


def rotated_and_packed(half: Half) -> None:
    """the rotated file is compressed"""
    half.append(half.after[: half.start("r-170") - len(half.before)])
    Path(f"{half.path}.1.gz").write_bytes(gzip.compress(half.path.read_bytes()))
    half.path.unlink()
    half.path.write_bytes(half.from_on("r-170"))


def copied_whole_and_truncated(half: Half) -> None:
    """copytruncate that loses nothing"""
    half.append(half.after[: half.start("r-170") - len(half.before)])
    shutil.copy(half.path, f"{half.path}.1")
    os.truncate(half.path, 0)
    half.append(half.from_on("r-170"))


def grown(half: Half) -> None:
    """a file that was read half written"""
    half.append(half.after)


ROTATIONS = [rotated, rotated_and_packed, copied_whole_and_truncated, grown]


@pytest.mark.parametrize("change", ROTATIONS)
def test_rotation_is_told_of_not_at_all(change: Callable[[Half], None], half: Half, home: Path) -> None:
    """A file renamed, packed, copied whole before it is cut, or simply written on says nothing, and loses nothing."""
    change(half)
    summary = read(home, half.path.parent)
    assert told(home, ()) == []
    assert not breaks(summary)
    assert len(view(home / "lake", "operations")) == len(list(requests()))


# What is harmless. Each changes a whole trail into another whole trail.


def device_enabled(t: Trail) -> None:
    """a device enabled: its start, and the answer to its own enabling without the request"""
    asked = Request("on", 100.1, "sys/audit/third", "update", "ops")
    for device in (MAIN, SECOND):
        insert(t, device, asked)
    later = [request for request in requests() if request.seconds > asked.seconds]
    lines = written("third.log", later, "salt of the third", 1 / 3000)[1:]
    answer = list(lines_of(asked, "salt of the third", 1 / 3000))[1]
    t.lines["third.log"] = [start_line("third.log", 100.1005), answer, *lines]


def device_disabled(t: Trail) -> None:
    """a device disabled by request: it hears the request and not the answer"""
    asked = Request("off", 200.1, "sys/audit/audit-2", "delete", "ops")
    for device in (MAIN, SECOND):
        insert(t, device, asked)
    del t.lines[SECOND][t.at(SECOND, "off") + 1 :]


def device_disabled_and_enabled(t: Trail) -> None:
    """a device disabled and enabled again in one file: two lives, two salts"""
    device_disabled(t)
    insert(t, MAIN, Request("on", 230.1, "sys/audit/audit-2", "update", "ops"))
    later = [request for request in requests() if request.seconds > 230.1]
    lines = written(SECOND, later, "another salt", 1 / 5000)[1:]
    answer = next(line for line in lines_of(Request("on", 230.1, "sys/audit/audit-2", "update", "ops"), "another", 0)
                  if line.phase == "response")  # fmt: skip
    start = start_line(SECOND, 230.1005, 1)
    t.lines[SECOND] += [replace(line, data=PREFIX[SECOND].encode() + line.data) for line in (start, answer)] + lines


def insert(t: Trail, device: str, request: Request, *phases: str) -> None:
    """A request into a device, where its times belong."""
    prefix = PREFIX.get(device, "").encode()
    late = list(t.lines).index(device) / 5000
    for line in lines_of(request, f"salt of {device}", late):
        if not phases or line.phase in phases:
            when = str(line.told()["time"])
            at = next((i for i, other in enumerate(t.lines[device]) if str(other.told()["time"]) > when), None)
            t.lines[device].insert(len(t.lines[device]) if at is None else at, replace(line, data=prefix + line.data))


def sealed(t: Trail) -> None:
    """`sys/seal`: a request without an answer"""
    for device in t.lines:
        insert(t, device, Request("seal", 299.9, "sys/seal", "update", "ops"), "request")


def stepped_down(t: Trail) -> None:
    """`sys/step-down`: a request without an answer"""
    for device in t.lines:
        insert(t, device, Request("down", 150.6, "sys/step-down", "update", "ops"), "request")


def refused_unanswered(t: Trail, request: Request, error: str) -> None:
    for device in t.lines:
        insert(t, device, request, "request")
        t.edit(device, request.uid, "request", lambda told: told.update(error=error))


def unwrapped_again(t: Trail) -> None:
    """a used wrapping token unwrapped, looked up or wrapped again: a request without an answer"""
    for n, what in enumerate(("unwrap", "lookup", "rewrap")):
        request = Request(what, 150.6 + n / 10, f"sys/wrapping/{what}", "update", "search")
        refused_unanswered(t, request, "wrapping token is not valid or does not exist")


def over_quota(t: Trail) -> None:
    """a request over its quota: a request without an answer"""
    error = 'request path "kv/data/billing/db": rate limit quota exceeded'
    refused_unanswered(t, Request("many", 150.6, "kv/data/billing/db"), error)


def path_help(t: Trail) -> None:
    """path-help: requests without an id"""
    for device in t.lines:
        for n in range(3):
            insert(t, device, Request(f"help-{n}", 150.5 + n / 10, "kv/data", "help", "ops"))
            for phase in ("request", "response"):
                t.edit(device, f"help-{n}", phase, lambda told: told["request"].pop("id"))


def mount_asked(t: Trail) -> None:
    """a request to a mount itself: the answer's path has the slash that the request's lacked"""
    for device in t.lines:
        insert(t, device, Request("mount", 150.6, "kv", "help", "ops"))
        t.edit(device, "mount", "response", lambda told: told["request"].update(path="kv/"))


def forwarded(t: Trail) -> None:
    """forwarding: a standby's device tells the same requests"""
    carried = [request for request in requests() if request.uid.startswith("r-1") and not request.error]
    lines = written("standby.log", carried, "salt of the standby", -0.0005)[1:]
    t.lines["standby.log"] = [line.edited(lambda told: told.update(forwarded_from="10.0.0.2:8201")) for line in lines]


def small_disorder(t: Trail) -> None:
    """small disorder: neighbouring lines changed places"""
    for device, lines in t.lines.items():
        for at in range(40, 560, 7):
            if "canary" not in lines[at].request and "scrape" not in lines[at].request:
                lines[at], lines[at + 2] = lines[at + 2], lines[at]
        t.lines[device] = lines


def slow_answers(t: Trail) -> None:
    """answers that take half a minute"""
    for device in t.lines:
        insert(t, device, Request("slow", 100.6, "kv/data/billing/db", latency=30))


def new_canary_token(t: Trail) -> None:
    """the canary's client logs in anew"""
    log_in = Request("again", 149.9, "auth/approle/login", "update", "canary", log_in=True)

    def renew(told: dict[str, Any]) -> None:
        for part, names in (
            ("auth", ("client_token", "accessor")),
            ("request", ("client_token", "client_token_accessor")),
        ):
            for name in names:
                if name in told[part]:
                    told[part][name] = told[part][name][:-4] + "ffff"
        if "auth" in told.get("response", {}):
            told["response"]["auth"]["accessor"] = told["response"]["auth"]["accessor"][:-4] + "ffff"

    for device in t.lines:
        insert(t, device, log_in)
        t.edit(device, "again", "response", renew)
        for number in range(16, 31):
            for phase in ("request", "response"):
                t.edit(device, f"canary-{number}", phase, renew)


HARMLESS = [
    device_enabled, device_disabled, device_disabled_and_enabled, sealed, stepped_down, unwrapped_again, over_quota,
    path_help, mount_asked, forwarded, small_disorder, slow_answers, new_canary_token,
]  # fmt: skip


@pytest.mark.parametrize("change", HARMLESS)
def test_what_is_harmless_is_told_of_not_at_all(change: Callable[[Trail], None], home: Path) -> None:
    """Nothing that a store does by design is held against its trail; a second life of a device is noted."""
    whole = trail()
    change(whole)
    summary = read(home, *whole.write(home / "logs"))
    noted = ("device_change",) if change is device_disabled_and_enabled else ()
    assert told(home, noted) == []
    assert not breaks(summary)


def test_a_device_switched_off_by_request_is_an_alert(home: Path) -> None:
    """The trail is whole, and that somebody switched a device off is a critical alert of its own."""
    whole = trail()
    device_disabled(whole)
    read(home, *whole.write(home / "logs"))
    alerts = view(home / "lake", "alerts")
    assert ("critical", "Audit device disabled") in alerts.select("severity", "title").rows()


def test_a_device_that_logs_in_clear_is_an_alert(home: Path) -> None:
    """Switching such a device on is a critical alert, before anything was written in clear."""
    whole = trail()
    for device in whole.lines:
        insert(whole, device, Request("on", 100.1, "sys/audit/raw", "update", "ops"))
        for phase in ("request", "response"):
            whole.edit(device, "on", phase, lambda told: told["request"].update(data={"options": {"log_raw": "true"}}))
    read(home, *whole.write(home / "logs"))
    titles = view(home / "lake", "alerts")["title"].to_list()
    assert any("in clear" in title for title in titles)
