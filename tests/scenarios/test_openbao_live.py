"""A recorded OpenBao, five devices, against what its own clients saw."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from pipeline.store import query
from tests import command
from tests.everything import holding
from tests.lakes import real_logs, run, view
from tests.processes import keytrail
from tests.scenarios.openbao_truth import DEVICES, disagreements, truth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def logs() -> Path:
    return real_logs("openbao-live")


@pytest.fixture(scope="module")
def together(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The lake of one run over all devices, and all that this run and the readers after it printed."""
    home = tmp_path_factory.mktemp("together")
    lake = home / "lake"
    written = keytrail("run", *(logs / name for name in DEVICES), "--lake", lake, home=home)
    assert written.returncode == 10, written.stderr
    asked: list[tuple[str, ...]] = [("alerts", "--format", style) for style in ("table", "json", "ocsf")]
    asked += [("query", f"SELECT * FROM {name}", "--format", "json") for name in ("raw", "findings", "rejected")]
    answers = [command.keytrail(*words, "--lake", lake) for words in asked]
    assert [answer.code for answer in answers] == [0] * len(asked)
    return lake, "\n".join(answer.stdout + answer.stderr for answer in (written, *answers))


def operations(lake: Path) -> list[dict[str, Any]]:
    return pl.DataFrame(pl.from_arrow(query(lake, "SELECT * FROM operations"))).to_dicts()


def test_operations_are_what_the_clients_saw(logs: Path, together: tuple[Path, str]) -> None:
    """Each of the 1,029 requests is one operation with the client's own principal, secret, outcome and address."""
    seen = truth(logs)
    rows = operations(together[0])
    assert len(seen) == len(rows) == 1029
    assert disagreements(seen, rows) == []
    without = sorted(row["path"] for row in rows if row["latency_ms"] is None)
    assert without == ["sys/seal", "sys/wrapping/unwrap"]  # by design these have no response


@pytest.mark.parametrize(
    ("column", "lie"),
    [("principal", "approle/other"), ("secret", "kv/other"), ("outcome", "failure"), ("client_ip", "10.0.0.99"),
     ("namespace", "other"), ("latency_ms", 1e6), ("latency_ms", -1.0)],
)  # fmt: skip
def test_the_comparison_notices_a_wrong_column(logs: Path, together: tuple[Path, str], column: str, lie: Any) -> None:
    """One operation with one wrong value is told, and so is one that is missing or doubled."""
    seen, rows = truth(logs), operations(together[0])
    row = next(row for row in rows if row["latency_ms"] is not None)
    assert disagreements(seen, [{**r, column: lie} if r is row else r for r in rows])
    assert disagreements(seen, [r for r in rows if r is not row])
    assert disagreements(seen, [*rows, {**row, "uid": "0" * 32}])


def lines(logs: Path, *names: str) -> Iterator[dict[str, Any]]:
    for name in names:
        for line in (logs / name).read_text("utf-8").splitlines():
            yield json.loads(line[line.index("{") :])


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def clear_values(logs: Path) -> set[str]:
    """Tokens, accessors and values that only the device without hashing wrote as they are."""
    bearers = ("client_token", "accessor", "client_token_accessor", "token")
    found: set[str] = set()
    for entry in lines(logs, "raw.log"):
        asked, answered = entry["request"], entry.get("response") or {}
        found |= {*strings(asked.get("data")), *strings(answered.get("data"))}
        parts = [entry["auth"], asked, answered.get("auth") or {}, answered.get("wrap_info") or {}]
        found |= {part[name] for part in parts for name in bearers if part.get(name)}
    hashed = set(strings(list(lines(logs, "main.log.1", "main.log"))))
    moments = {value for value in found if value[:4].isdigit() and value[4:5] == "-"}
    return {value for value in found - hashed - moments if len(value) >= 6 and not value.startswith(("/", "hmac-"))}


def test_no_clear_value_is_anywhere(logs: Path, together: tuple[Path, str]) -> None:
    """Not one token, accessor or value of the raw device is in the lake's files or in anything printed."""
    lake, printed = together
    values = clear_values(logs)
    assert sum(value.startswith("s.") for value in values) == 5
    assert len(values) >= 15
    assert holding(lake, values, printed) == {}


def test_the_search_for_clear_values_finds_what_is_there(together: tuple[Path, str]) -> None:
    """The same search finds a principal in events, states and print, and a request id in the raw lines."""
    lake, printed = together
    places = holding(lake, {"userpass/alice"}, printed)
    assert any("events" in place for place in places)
    assert any("operations" in place for place in places)
    assert any(place.startswith("state windows") for place in places)
    assert "printed 0" in holding(lake, {"in_clear"}, "in_clear")
    first = operations(lake)[0]["correlation_uid"]
    assert any("data/raw" in place for place in holding(lake, {first}))


def test_raw_lines_are_kept_redacted(logs: Path, together: tuple[Path, str]) -> None:
    """The 32 lines with clear values are kept with those replaced and say so; all others byte for byte."""
    rows = view(together[0], "raw").select("source", "file", "position", "raw", "redacted")
    redacted = rows.filter("redacted")
    assert redacted["source"].unique().to_list() == [str(logs / "raw.log")]
    assert len(redacted) == 32
    bodies = {name: (logs / name).read_bytes() for name in DEVICES}
    for file, position, raw in rows.filter(~pl.col("redacted")).select("file", "position", "raw").iter_rows():
        body = bodies[file.rpartition("/")[2]]
        assert body[position : position + len(raw)] == raw


def missing_on_socket(logs: Path) -> tuple[list[dict[str, Any]], int, int]:
    """Entries of the main and second device while the socket device lived that it lacks; the lines on either side."""
    have = {(entry["request"]["id"], entry["type"]) for entry in lines(logs, "socket.log")}
    entries = sorted(lines(logs, "main.log.1", "main.log", "second.log"), key=lambda entry: entry["time"])
    first, last = (
        index(i for i, e in order(entries) if (e["request"]["id"], e["type"]) in have) for index, order in
        ((next, enumerate), (next, lambda es: reversed(list(enumerate(es)))))
    )  # fmt: skip
    lost = [e for e in entries[first:last] if (e["request"]["id"], e["type"]) not in have]
    body = (logs / "socket.log").read_bytes()
    starts = [0, *(i + 1 for i, byte in enumerate(body[:-1]) if byte == 10)]
    times = [entry["time"] for entry in lines(logs, "socket.log")]
    before = max(start for start, time in zip(starts, times, strict=True) if time < lost[0]["time"])
    after = min(start for start, time in zip(starts, times, strict=True) if time > lost[-1]["time"])
    return lost, before, after


def test_verdicts(logs: Path, together: tuple[Path, str]) -> None:
    """The hole of the socket is told exactly, with the second life of the third device and the raw one; no more.

    But for the canaries: their numbers 5 and 6 were never sent, and without a key their MACs are not checked.
    """
    rows = view(together[0], "integrity").filter(~pl.col("cause").str.starts_with("canary"))
    told = {row["source"].rpartition("/")[2]: row for row in rows.to_dicts()}
    assert Counter(rows["verdict"]) == {"gap": 1, "device_change": 1, "in_clear": 1}
    lost, before, after = missing_on_socket(logs)
    gap = told["socket.log"]
    assert gap["verdict"] == "gap"
    assert gap["count"] == len({(e["request"]["id"], e["type"]) for e in lost}) == 52
    assert (gap["from_position"], gap["to_position"]) == (before, after)
    moments = [moment.isoformat(timespec="microseconds")[:26] for moment in (gap["from_time"], gap["to_time"])]
    times = sorted(entry["time"][:26] for entry in lost)
    per_entry = [min(e["time"][:26] for e in lost if (e["request"]["id"], e["type"]) == key) for key in
                 {(e["request"]["id"], e["type"]) for e in lost}]  # fmt: skip
    assert moments == [times[0], max(per_entry)]
    assert all(str(logs / name) in gap["evidence"] for name in ("main.log", "second.log"))
    third = (logs / "third.log").read_bytes()
    second_life = third.rindex(b"\n", 0, third.rindex(b'"path":"sys/audit/test"')) + 1
    assert (told["third.log"]["verdict"], told["third.log"]["from_position"]) == ("device_change", second_life)
    raw = (logs / "raw.log").read_bytes()
    clear = told["raw.log"]
    assert (clear["verdict"], clear["count"]) == ("in_clear", 32)
    assert (clear["from_position"], clear["to_position"]) == (raw.index(b"\n") + 1, raw[:-1].rindex(b"\n") + 1)


def test_canaries_never_sent_are_missed(logs: Path, together: tuple[Path, str]) -> None:
    """Numbers 5 and 6 are a gap on both devices that carry canaries, between a line of number 4 and one of number 7."""
    rows = view(together[0], "integrity").filter(pl.col("cause") == "canary_gap")
    assert rows["source"].to_list() == [str(logs / "main.log"), str(logs / "second.log")]
    for row in rows.to_dicts():
        body = (logs / row["source"]).read_bytes()
        around = [body[at : body.index(b"\n", at)] for at in (row["from_position"], row["to_position"])]
        numbers = [json.loads(line[line.index(b"{") :])["request"]["headers"]["x-audit-canary"][0] for line in around]
        assert [number.partition(".")[0] for number in numbers] == ["4", "7"]
        assert (row["verdict"], row["count"]) == ("gap", 2)


def test_one_stream_a_device(logs: Path, together: tuple[Path, str]) -> None:
    """The rotated sibling has its device's name as source and its own as file; every operation names its devices."""
    lake = together[0]
    pairs = {(source, file) for source, file in view(lake, "events").select("source", "file").iter_rows()}
    named = {(source.rpartition("/")[2], file.rpartition("/")[2]) for source, file in pairs}
    assert named == {("main.log", "main.log.1"), *((name, name) for name in DEVICES if name != "main.log.1")}
    main, second = str(logs / "main.log"), str(logs / "second.log")
    assert all(main in row["devices"] or second in row["devices"] for row in operations(lake))


APART = ("correlation_uid", "principal", "principal_type", "secret", "outcome", "client_ip", "namespace", "paired",
         "devices", "operation", "discloses_value", "api_operation", "mount", "path", "secret_version", "error",
         "user_agent", "session")  # fmt: skip


@pytest.mark.parametrize(
    "order",
    [(("main.log.1", "main.log"), ("second.log",), ("third.log", "socket.log", "raw.log")),
     (("second.log",), ("raw.log",), ("main.log.1", "main.log", "third.log"), ("socket.log",))],
    ids=["main-first", "second-first"],
)  # fmt: skip
def test_devices_read_in_separate_runs(
    logs: Path, together: tuple[Path, str], tmp_path: Path, order: tuple[tuple[str, ...], ...]
) -> None:
    """Devices that are read one after the other, each in a run of its own, give the same operations, once each."""
    for names in order:
        run(tmp_path / "lake", *(logs / name for name in names))
    apart = view(tmp_path / "lake", "operations")
    assert disagreements(truth(logs), apart.to_dicts()) == []
    at_once = view(together[0], "operations")
    same = [name for name in APART if name != "session"]  # a session is hashed with the salt of the device it is from
    assert apart["uid"].is_unique().all()
    left, right = (frame.select(same).sort("correlation_uid") for frame in (apart, at_once))
    assert left.equals(right)
    verdicts = Counter(view(tmp_path / "lake", "integrity")["verdict"])
    assert set(verdicts) <= {"gap", "device_change", "in_clear", "late", "unverifiable"}


def test_a_run_again_reads_nothing(logs: Path, together: tuple[Path, str]) -> None:
    """The same files once more on the same lake bring no entry and change no view."""
    lake, _ = together
    before = {name: view(lake, name) for name in ("operations", "events", "alerts", "integrity")}
    again = keytrail("run", *(logs / name for name in DEVICES), "--lake", lake, "--format", "json", home=lake.parent)
    told = json.loads(again.stdout)
    assert (told["entries"], told["operations"], told["integrity"]) == (0, 0, {})
    assert again.returncode == 0
    assert all(view(lake, name).equals(frame) for name, frame in before.items())
