"""The server's counters against the lines of each stream: what is missing, what is too much, what is proven."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pipeline.core.clock import ALWAYS
from pipeline.core.errors import ConfigError
from pipeline.core.schema import INTEGRITY, empty
from pipeline.integrity.counters import Counters
from pipeline.integrity.scrapes import Scrape, metric_name, parse, read
from tests.streams import START, entry, frame

Rows = list[dict[str, object]]
EPOCH = int(START.timestamp() * 1e6)


def pair(source: str, number: int, **other: object) -> Rows:
    """Request and response of one second."""
    return [entry(source, f"r{number}", p, number + (p == "response") / 100, **other) for p in ("request", "response")]


def stream(source: str, seconds: int, scraped: tuple[int, ...], start: bool = True) -> Rows:
    """A request a second; those of the seconds `scraped` are scrapes. The device's start comes first."""
    rows: Rows = [entry(source, "p", "request", -1, probe=True, path="sys/audit/test")] if start else []
    for n in range(seconds):
        rows += pair(source, n, path="sys/metrics") if n in scraped else pair(source, n)
    return rows


def scrape(second: float, requests: int, responses: int, process: float | None = None, **devices: int) -> Scrape:
    """A scrape in the middle of the request of a second. `devices` have as many requests as responses."""
    at = EPOCH + int(second * 1e6)
    calls = {("", "request"): requests, ("", "response"): responses}
    calls |= {(name, phase): count for name, count in devices.items() for phase in ("request", "response")}
    return Scrape("x", at + 1000, at + 9000, calls, {}, process)


def judged(scrapes: list[Scrape], *streams: Rows, cut: int = 10_000, reload: bool = False, **more: object) -> Counters:
    """Counters that have read the streams in batches of `cut` lines."""
    counters = Counters(scrapes, **more)  # type: ignore[arg-type]
    for rows in streams:
        events = frame(rows)
        for at in range(0, len(events), cut):
            counters.stream(str(rows[0]["source"]), events[at : at + cut])
            if reload:
                saved, counters = counters.snapshot(), Counters(scrapes, **more)  # type: ignore[arg-type]
                counters.restore(saved)
    return counters


def places(found: pl.DataFrame) -> list[tuple[object, ...]]:
    return found.select("source", "verdict", "cause", "count").rows()


def test_counters_that_match_say_nothing_and_prove_the_stream() -> None:
    """Every line counted: no verdict, and the stream is proven from its device's start to the last scrape."""
    counters = judged([scrape(10, 11, 10), scrape(30, 31, 30)], stream("a", 40, (10, 30)))
    assert counters.judge(ALWAYS).is_empty()
    proven = counters.evidence()
    assert proven.select("source", "kind", "start", "end").rows() == [
        ("a", "counters", EPOCH - 1_000_000, EPOCH + 30_010_000)
    ]


def test_a_line_that_is_missing_is_a_gap_between_the_scrapes() -> None:
    """One request and its response fewer than the server counted: a gap of two from scrape to scrape."""
    rows = [row for row in stream("a", 40, (10, 30)) if row["correlation_uid"] != "r20"]
    counters = judged([scrape(10, 11, 10), scrape(30, 31, 30)], rows)
    found = counters.judge(ALWAYS)
    assert places(found) == [("a", "gap", "counter_mismatch", 2)]
    row = found.row(0, named=True)
    assert (row["from_position"], row["to_position"]) == (2100, 5900)
    assert [(t - START).total_seconds() for t in (row["from_time"], row["to_time"])] == [10, 30.01]
    told = "between two scrapes the server counted 20 requests and 20 responses; there are 19 requests and 19 responses"
    assert row["evidence"] == told
    assert counters.evidence()["end"].to_list() == [EPOCH + 10_010_000]


def test_a_line_too_many_was_never_written_by_the_server() -> None:
    """Lines the server never counted are altered when both scrapes are of one process, else not to be judged."""
    rows = stream("a", 40, (10, 30))
    rows[50:50] = [{**row, "correlation_uid": "forged"} for row in rows[48:50]]
    same = judged([scrape(10, 11, 10, 5.0), scrape(30, 31, 30, 5.0)], rows)
    assert places(same.judge(ALWAYS)) == [("a", "altered", "counter_surplus", 2)]
    unknown = judged([scrape(10, 11, 10), scrape(30, 31, 30)], rows)
    assert places(unknown.judge(ALWAYS)) == [("a", "unverifiable", "counter_surplus", 2)]


def test_a_restart_begins_the_counters_anew() -> None:
    """Counters that fell are of a new process: what it counted must be there, what came before is not judged."""
    calm = judged([scrape(10, 11, 10), scrape(30, 5, 4)], stream("a", 40, (10, 30)))
    assert calm.judge(ALWAYS).is_empty()
    short = [row for row in stream("a", 40, (10, 30)) if row["correlation_uid"] not in {f"r{n}" for n in range(11, 30)}]
    assert places(judged([scrape(10, 11, 10), scrape(30, 5, 4)], short).judge(ALWAYS)) == [
        ("a", "gap", "counter_mismatch", 7)
    ]


def test_each_device_is_held_to_its_own_counter() -> None:
    """A device off for a while has counters of its own; its name is its file's, its start's, or the configuration's."""
    main = stream("main.log", 40, (10, 30))
    enabled = entry("x.log", "on", "response", 15.4, path="sys/audit/side", api_operation="update")
    probe = entry("x.log", "p", "request", 15.3, probe=True, path="sys/audit/test")
    side = [probe, enabled, *[row for n in range(16, 20) for row in pair("x.log", n)]]
    first, last = scrape(10, 11, 10, main=11), scrape(30, 31, 30, main=31)
    last.calls.update({("main", "response"): 30, ("side", "request"): 4, ("side", "response"): 5})
    first.calls["main", "response"] = 10
    assert judged([first, last], main, side).judge(ALWAYS).is_empty()
    assert places(judged([first, last], main, side[:-1]).judge(ALWAYS)) == [("x.log", "gap", "counter_mismatch", 1)]
    unnamed = [{**side[0]}, *side[2:-1]]
    assert judged([first, last], main, unnamed).judge(ALWAYS).is_empty()
    named = judged([first, last], main, unnamed, named={"side": "x.log"})
    assert places(named.judge(ALWAYS)) == [("x.log", "gap", "counter_mismatch", 2)]


def test_a_filtered_device_is_held_to_nothing() -> None:
    """A device declared as filtered may hold fewer lines than were counted."""
    rows = stream("a", 40, (10, 30))[:20] + stream("a", 40, (10, 30))[20:][-24:]
    scrapes = [scrape(10, 11, 10), scrape(30, 31, 30)]
    assert judged(scrapes, rows, filtered=("a",)).judge(ALWAYS).is_empty()


def test_a_scrape_that_is_not_audited_is_fenced_by_its_time() -> None:
    """Two seconds either way are in doubt; what is missing beyond that is a loss."""
    rows = stream("main", 60, ())
    scrapes = [scrape(10.5, 0, 0, main=11), scrape(40.5, 0, 0, main=41)]
    assert judged(scrapes, rows).judge(ALWAYS).is_empty()
    gone = {f"r{n}" for n in range(20, 30)}
    short = [row for row in rows if row["correlation_uid"] not in gone]
    found = judged(scrapes, short).judge(ALWAYS)
    assert found.select("verdict", "cause").rows() == [("gap", "counter_mismatch")]
    assert 10 <= found["count"][0] <= 20


def test_small_losses_add_up() -> None:
    """Losses within the doubt of each pair of scrapes are told once they exceed the doubt of the first and the last."""
    rows = [
        row
        for row in stream("main", 200, ())
        if str(row["correlation_uid"]) not in {f"r{n}" for n in range(5, 200, 10)}
    ]
    scrapes = [scrape(n + 0.5, 0, 0, main=n + 1) for n in range(0, 180, 10)]
    found = judged(scrapes, rows).judge(ALWAYS)
    assert found["verdict"].unique().to_list() == ["gap"]
    assert found["count"].sum() >= 28


def test_scrapes_without_a_time_are_taken_in_order() -> None:
    """As many as there are audited scrapes: each is one of them. Otherwise that is said, and nothing is judged."""
    rows = [row for row in stream("a", 40, (10, 30)) if row["correlation_uid"] != "r20"]
    timeless = [Scrape("x", None, None, dict(s.calls)) for s in (scrape(10, 11, 10), scrape(30, 31, 30))]
    assert places(judged(timeless, rows).judge(ALWAYS)) == [("a", "gap", "counter_mismatch", 2)]
    found = judged(timeless[:1], rows).judge(ALWAYS)
    assert found.select("verdict", "cause").rows() == [("unverifiable", "counter_time_unknown")]


def test_a_scrape_is_judged_when_the_streams_have_passed_it() -> None:
    """Not before a minute of event time after it, and once."""
    rows = [row for row in stream("a", 40, (10, 30)) if row["correlation_uid"] != "r20"]
    counters = judged([scrape(10, 11, 10), scrape(30, 31, 30)], rows)
    due = EPOCH + 30_009_000 + 60_000_000
    assert counters.judge(due).is_empty()
    assert len(counters.judge(due + 1)) == 1
    assert counters.judge(ALWAYS).is_empty()


@pytest.mark.parametrize("cut", [1, 7])
def test_cuts_and_restarts_change_nothing(cut: int) -> None:
    """Lines counted one by one, with the memory saved and loaded between, give the same verdicts and evidence."""
    rows = [row for row in stream("a", 60, (10, 30, 50)) if row["correlation_uid"] != "r20"]
    scrapes = [scrape(10, 11, 10), scrape(30, 31, 30), scrape(50, 51, 50)]
    whole, parts = judged(scrapes, rows), judged(scrapes, rows, cut=cut, reload=True)
    assert whole.judge(ALWAYS).equals(parts.judge(ALWAYS))
    assert whole.evidence().equals(parts.evidence())


def test_a_scrape_handed_in_later_is_judged_against_the_last_one() -> None:
    """A run that is given the next scrape only compares it with the one of the run before."""
    rows = [row for row in stream("a", 40, (10, 30)) if row["correlation_uid"] != "r20"]
    first = judged([scrape(10, 11, 10)], rows[:30])
    assert first.judge(ALWAYS).is_empty()
    second = Counters([scrape(30, 31, 30)])
    second.restore(first.snapshot())
    second.stream("a", frame(rows)[30:])
    assert places(second.judge(ALWAYS)) == [("a", "gap", "counter_mismatch", 2)]


TEXT = """# HELP vault_audit_log_request x
# scraped between 100.5 and 100.75
vault_audit_log_request{quantile="0.5"} 0.06
vault_audit_log_request_count 58
vault_audit_log_request_failure 0
vault_audit_log_response_count{node="a"} 30
vault_audit_log_response_count{node="b"} 27
vault_audit_my_dev__log_request_count 58
process_start_time_seconds 1.7e9
vault_audit_log_request_count NaN
not a sample
# scraped at 200
acme_audit_log_request_count 99
"""


def test_prometheus_text_is_read() -> None:
    """Totals, devices, labels and times; several scrapes in one file; what is no sample is left out."""
    one, two = parse(TEXT, "f")
    assert (one.start_us, one.end_us, one.process_start) == (100_500_000, 100_750_000, 1.7e9)
    assert one.calls == {("", "request"): 58, ("", "response"): 57, ("my_dev", "request"): 58}
    assert one.failures == {("", "request"): 0}
    assert (two.start_us, two.calls) == (200_000_000, {("", "request"): 99})
    assert metric_name("my-dev/") == "my_dev"


def test_a_file_without_counters_is_a_mistake_of_the_command_line(tmp_path: Path) -> None:
    """A file that holds no audit counter, or cannot be read, is refused by name."""
    path = tmp_path / "other.prom"
    path.write_text("up 1\n")
    with pytest.raises(ConfigError, match="no audit counters"):
        read([str(path)])
    with pytest.raises(ConfigError, match="cannot be read"):
        read([str(tmp_path / "absent")])


def test_without_scrapes_nothing_is_said() -> None:
    """Lines are counted all the same, for a later run that has scrapes."""
    counters = judged([], stream("a", 10, (3,)))
    assert counters.judge(ALWAYS).equals(empty(INTEGRITY))
