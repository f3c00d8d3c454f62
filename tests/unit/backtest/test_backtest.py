"""`keytrail backtest`: the lake once more, under this configuration or another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import config as conf
from pipeline.backtest import Replayed, compare, replay
from pipeline.core.clock import system_clock
from pipeline.core.model import Commit
from pipeline.core.schema import OPERATION
from pipeline.store import Lake, StoreConfig
from tests.command import keytrail
from tests.lakes import view
from tests.unit.detectors.test_sigma_rules import rows

RULE = """
title: Every reading
name: every_reading
status: test
level: high
logsource: {product: vault, service: audit}
detection:
  sel: {operation: read, outcome: success}
  condition: sel
"""


def again(lake: Path, *trees: dict[str, Any], span: tuple[int | None, int | None] = (None, None)) -> Replayed:
    with Lake.open(lake, StoreConfig(), writer=False, clock=system_clock) as opened:
        return replay(opened, tuple(conf.Settings(None, tree) for tree in trees or ({},)), span, None)


def delivered(lake: Path) -> set[str]:
    alerts = view(lake, "alerts")
    return set(alerts.filter(pl.col("route").is_in(["page", "ticket"]))["uid"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_same_configuration_tells_what_was_told(small_lake: Path) -> None:
    """Replayed under the configuration of the run, the lake gives the alerts of the run, by uid."""
    told = again(small_lake).told[0]
    assert told.alerts
    assert set(told.alerts) == delivered(small_lake)


def test_two_configurations_that_are_the_same_do_not_differ(small_lake: Path) -> None:
    """Held against itself a configuration has nothing new and nothing gone, whether its detectors are shared or not."""
    assert compare(*again(small_lake, {}, {}).told).sentence == "+0, -0, same incidents"
    apart = again(small_lake, {}, {"detection": {"window_seconds": 1800}}).told[1]
    alone = again(small_lake, {"detection": {"window_seconds": 1800}}).told[0]
    assert apart.alerts.keys() == alone.alerts.keys()
    assert apart.opened_us == alone.opened_us


def test_a_detector_that_is_off_takes_its_alerts_with_it(small_lake: Path) -> None:
    """What only one side tells is named, and the other way round it is new."""
    off: dict[str, Any] = {"detection": {"disabled": ["invariant"]}}
    gone = compare(*again(small_lake, off, {}).told)
    assert gone.gone
    assert not gone.new
    new = compare(*again(small_lake, {}, off).told)
    assert (new.new, new.gone, new.found) == (gone.gone, gone.new, gone.lost)


def test_nothing_is_written(small_lake: Path, tmp_path: Path) -> None:
    """A lake that was replayed is byte for byte the same."""
    before = contents(small_lake)
    again(small_lake)
    assert contents(small_lake) == before


def test_only_what_lies_in_the_range_counts(small_lake: Path) -> None:
    """Alerts before the range are learned from and not counted; nothing after it is read."""
    times = view(small_lake, "operations")["time"].dt.epoch("us").sort()
    middle = int(times[len(times) // 2])
    late, early = again(small_lake, span=(middle, None)), again(small_lake, span=(None, middle))
    assert late.operations == len(times)
    assert early.operations == len(times.filter(times < middle))
    whole = again(small_lake).told[0]
    assert late.told[0].alerts.keys() == {uid for uid, at in whole.opened_us.items() if at >= middle}


def committed(lake: Path, *files: pl.DataFrame, revised: pl.DataFrame | None = None) -> None:
    config = StoreConfig(compact_rows=1_000_000)
    for worker, frame in enumerate(files):
        with Lake.open(lake, config, writer=True, clock=system_clock, worker=f"w{worker}") as opened:
            opened.write("operations", frame)
            opened.commit(Commit((), {"operations": revised} if revised is not None and worker == 0 else {}))


def test_operations_come_in_the_canonical_order(tmp_path: Path) -> None:
    """Files of several workers that overlap, and rows replaced since, come in one order, each operation once."""
    made = rows(*({"path": f"kv/{i}"} for i in range(3000)))
    times = pl.int_range(pl.len()) * 1_000_000 + 1_772_409_600_000_000
    slow = times + pl.when(pl.int_range(pl.len()) % 7 == 0).then(60_000_000).otherwise(5_000)
    made = made.with_columns(time=times.cast(made.schema["time"]), complete_time=slow.cast(made.schema["time"]))
    changed = made[100:103].with_columns(outcome=pl.lit("failure"))
    odd, even = made.filter(pl.int_range(pl.len()) % 2 == 1), made.filter(pl.int_range(pl.len()) % 2 == 0)
    committed(tmp_path / "lake", odd[:700], even[:900], odd[700:], even[900:], revised=changed)
    with Lake.open(tmp_path / "lake", StoreConfig(), writer=False, clock=system_clock) as opened:
        frames = list(opened.operations())
    whole = pl.concat(frames)
    assert len(frames) > 2, "not all at once"
    expected = pl.concat([made.filter(~pl.col("uid").is_in(changed["uid"].implode())), changed]).sort(
        "complete_time", "uid"
    )
    assert whole.select(OPERATION.names()).equals(expected)
    with Lake.open(tmp_path / "lake", StoreConfig(), writer=False, clock=system_clock) as opened:
        some = pl.concat(opened.operations(1_772_409_610_000_000, 1_772_409_620_000_000))
    assert len(some) == 10


@pytest.fixture
def configs(tmp_path: Path) -> tuple[Path, Path]:
    """A configuration with a loud rule of the user's own, and one without."""
    (tmp_path / "rule.yml").write_text(RULE)
    loud, quiet = tmp_path / "loud.toml", tmp_path / "quiet.toml"
    loud.write_text(
        f'[alerts]\nexempt = ["invariant", "silence", "rules"]\n[detectors.sigma]\nrules = ["{tmp_path}/rule.yml"]\n'
    )
    quiet.write_text("")
    return loud, quiet


def test_a_gate_for_new_alerts(small_lake: Path, configs: tuple[Path, Path]) -> None:
    """More new alerts than --max-new, or more lost incidents than --max-lost, is exit 1; the sentence says how many."""
    loud, quiet = configs
    done = keytrail("backtest", "--lake", small_lake, "--config", loud, "--against", quiet, "--max-new", "0")
    assert done.code == 1
    assert done.stderr.startswith("+")
    new = int(done.stderr[1:].partition(",")[0])
    assert new > 0
    more = keytrail("backtest", "--lake", small_lake, "--config", loud, "--against", quiet, "--max-new", str(new))
    assert more.code == 0
    back = keytrail("backtest", "--lake", small_lake, "--config", quiet, "--against", loud, "--max-new", "0")
    assert back.code == 0
    assert f"-{new}" in back.stderr
    lost = keytrail("backtest", "--lake", small_lake, "--config", quiet, "--against", loud, "--max-lost", "0")
    assert lost.code == (1 if "lost" in lost.stderr else 0)


def test_figures_and_alerts_as_ndjson(small_lake: Path, configs: tuple[Path, Path]) -> None:
    """One row a configuration, or with --alerts one an alert with what became of it."""
    loud, quiet = configs
    asked = ("backtest", "--lake", small_lake, "--config", loud, "--against", quiet, "--format", "json")
    figures = keytrail(*asked).rows
    assert [row["config"] for row in figures] == [str(loud), str(quiet)]
    assert figures[0]["alerts"] > figures[1]["alerts"] > 0
    alerts = keytrail(*asked, "--alerts").rows
    changes = [row["change"] for row in alerts]
    assert changes.count("new") + changes.count("both") == figures[0]["alerts"]
    assert all(
        row["title"] == "Every reading" or row["change"] != "new" for row in alerts if "sigma" in row["detectors"]
    )


def test_labels_say_what_was_caught(small_lake: Path, tmp_path: Path) -> None:
    """Labelled incidents are counted, and those that an alert tells of; a file that is none is refused."""
    told = again(small_lake).told[0]
    row = next(row for row in told.alerts.values() if row["principal"])
    moment = row["first_time"].isoformat()
    known = {"id": "1", "principal": row["principal"], "secrets": [], "from": moment, "to": moment}
    labels = tmp_path / "labels.jsonl"
    labels.write_text("\n".join(json.dumps(one) for one in (known, {**known, "principal": "nobody"})))
    [figures] = keytrail("backtest", "--lake", small_lake, "--labels", labels, "--format", "json").rows
    assert (figures["caught"], figures["labelled"]) == (1, 2)
    labels.write_text('{"id": 1}')
    assert keytrail("backtest", "--lake", small_lake, "--labels", labels).code == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--max-new", "0"], 2),
        (["--from", "yesterday"], 2),
        (["--from", "2026-03-02", "--to", "2026-03-01"], 2),
        (["--against", "missing.toml"], 2),
        (["--lake", "no-such-lake"], 3),
    ],
)
def test_what_cannot_be_asked_is_refused(small_lake: Path, words: list[str], code: int) -> None:
    """A gate without a second configuration, times that are none, files and lakes that are not there."""
    assert keytrail("backtest", "--lake", small_lake, *words).code == code
