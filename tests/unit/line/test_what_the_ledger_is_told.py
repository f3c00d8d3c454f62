"""What a run puts into the log over files beside seals: positions, what is missing, the configuration; and that
verification holds the lake to it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import config as conf
from pipeline import erasing, verification
from pipeline.core.model import Hold
from pipeline.ledger import control, leaf
from pipeline.ledger.sealed import files_key
from tests.everything import holding
from tests.lakes import run
from tests.trail import CANARY_KEY, MAIN, SECOND, trail

STANDALONE = Path(control.__file__).parent / "standalone/keytrail_verify.py"
TABLES: dict[str, Any] = {"detection": {"disabled": ["integrity"]}}


class Home:
    """A lake, its key, and two devices of which the first half was read."""

    def __init__(self, folder: Path) -> None:
        self.lake, self.logs = folder / "lake", folder / "logs"

    def go_on(self, **tables: Any) -> None:
        """Read what was not read yet."""
        for name in (MAIN, SECOND):
            shutil.copy(self.logs / f"{name}.whole", self.logs / name)
        run(self.lake, self.logs / MAIN, self.logs / SECOND, tables=TABLES | tables)

    def bodies(self, kind: int) -> list[dict[str, Any]]:
        return [dict(r.body) for r in control.parsed(self.lake / "ledger/files") if r.kind == kind]

    def positions(self, change: str, *values: Any) -> int:
        """Change the lake's catalogue as somebody with a SQLite shell would."""
        with sqlite3.connect(self.lake / "commit.sqlite") as sql:
            return sql.execute(change, values).rowcount

    def verified(self, *heads: Path) -> pl.DataFrame:
        """What verification finds broken."""
        config = conf.LedgerConfig(signing_key=str(self.lake.parent / "signing.key"))
        (found,) = verification.verify_lake(self.lake, None, heads, None, config)
        broken = found.report.rows.filter(~pl.col("verdict").is_in(("ok", "redacted")))
        assert found.report.exit_code == (10 if len(broken) else 0)
        return broken


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("made") / "home"
    whole = trail()
    whole.drop(MAIN, "r-100")
    for path in whole.write(home / "logs"):
        lines = path.read_bytes().splitlines(keepends=True)
        path.with_name(f"{path.name}.whole").write_bytes(b"".join(lines))
        path.write_bytes(b"".join(lines[: len(lines) // 2]))
    run(home / "lake", home / "logs" / MAIN, home / "logs" / SECOND, tables=TABLES)
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    """A copy to tamper with. The files are others now, but for a source that goes by their heads the same."""
    shutil.copytree(made, tmp_path / "home")
    return Home(tmp_path / "home")


def test_positions_are_those_of_the_catalogue(home: Home) -> None:
    """Each moved place is in the record of its commit, in order; all of it verifies, over two runs."""
    home.go_on()
    with sqlite3.connect(home.lake / "commit.sqlite") as sql:
        stands = {(stream, part): offset for stream, part, offset in
                  sql.execute("SELECT stream, partition, offset FROM positions")}  # fmt: skip
    told: dict[tuple[str, str], int] = {}
    for body in home.bodies(leaf.SOURCE_STATE):
        told |= {(item["stream"], item["partition"]): item["offset"] for item in body["sources"]}
    assert told == stands
    assert home.verified().is_empty()


@pytest.mark.parametrize("by", [-700, 700])
@pytest.mark.parametrize("later", [False, True], ids=["at once", "after another run"])
def test_a_position_moved_by_hand_is_found(home: Home, by: int, *, later: bool) -> None:
    """Back or on, in one stream of two, whether or not a run has gone on from there."""
    assert home.positions("UPDATE positions SET offset = offset + ? WHERE stream LIKE '%' || ?", by, SECOND) == 1
    if later:
        home.go_on()
    broken = home.verified()
    told = broken.filter(cause="position")
    assert told["verdict"].to_list() == ["altered"]
    assert told["source"][0].endswith(SECOND)
    assert broken.filter(pl.col("cause") != "position").is_empty()


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ("UPDATE positions SET state = replace(state, '\"size\":', '\"size\":1')", "altered"),
        ("UPDATE positions SET state = 'no JSON'", "altered"),
        ("UPDATE positions SET offset = 'none'", "altered"),
        ("UPDATE positions SET worker = 'ghost'", "unsigned"),
        ("UPDATE positions SET partition = 'another' WHERE stream LIKE '%-2.log'", "gap unsigned"),
        ("DELETE FROM positions", "gap"),
    ],
)
def test_what_else_is_done_to_positions_is_found(home: Home, change: str, verdict: str) -> None:
    """States, owners, names, and positions that are gone."""
    assert home.positions(change)
    broken = home.verified()
    assert set(broken["cause"]) == {"position"}
    assert " ".join(sorted(set(broken["verdict"]))) == verdict


def test_a_record_taken_out_is_found(home: Home) -> None:
    """By what finds every other record: its leaf stays."""
    path = home.lake / "ledger/files/ctl.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for kind in (leaf.SOURCE_STATE, leaf.GAP, leaf.CONFIG):
        path.write_bytes(b"".join(line for line in lines if json.loads(line)["kind"] != kind))
        assert {"altered", "gap"} & set(home.verified().filter(source="ledger/files/ctl.jsonl")["verdict"]), kind
    path.write_bytes(b"".join(lines))
    assert home.verified().is_empty()


def test_a_lake_from_before_is_held_to_nothing_it_does_not_say(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written by a version that told the ledger files alone: no complaint; the next run tells of every place."""
    older = home.lake.parent / "older"
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.ledger.sealed.SealedLedger.telling", lambda ledger, *_: ledger.prepare)
        run(older / "lake", home.logs / MAIN, home.logs / SECOND, tables=TABLES)
    old = Home(older)
    old.logs = home.logs
    assert not old.bodies(leaf.SOURCE_STATE)
    assert old.positions("UPDATE positions SET offset = offset - 1") == 2
    assert old.verified().is_empty()
    assert old.positions("UPDATE positions SET offset = offset + 1") == 2
    old.go_on()
    assert [body.get("all") for body in old.bodies(leaf.SOURCE_STATE)] == [True, None]
    assert old.verified().is_empty()


def test_verifiers_that_are_not_ours_take_these_records(home: Home) -> None:
    """The standalone file walks the log over files, its records included, and holds the entries as before."""
    home.go_on()
    (found,) = verification.verify_lake(home.lake, None, (), None)
    for folder, key in (("ledger", found.pinned.verifier), ("ledger/files", files_key(found.pinned.verifier))):
        done = subprocess.run(
            [sys.executable, STANDALONE, "tree", home.lake / folder, "--key", key.vkey()],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert f"; {len(list(control.parsed(home.lake / folder)))} control records match" in done.stdout


def test_what_is_missing_is_told_as_it_stands(home: Home) -> None:
    """A loss that devices show is a record of kind 4 in its commit, with its place and nothing that a line says."""
    home.go_on()
    gaps = [item for body in home.bodies(leaf.GAP) for item in body["gaps"]]
    losses = [item for item in gaps if item["cause"] == "device_loss"]
    assert [(item["verdict"], item["count"], Path(item["source"]).name) for item in losses] == [("gap", 2, MAIN)]
    assert set(losses[0]) == {
        "source", "verdict", "cause", "uid", "count", "from_position", "to_position", "from_us", "to_us"
    }  # fmt: skip


def test_what_canaries_and_counters_say_is_told(home: Home, tmp_path: Path) -> None:
    """Records of kind 9: the hours they vouch for, and what they speak against; an hour again only when it moves."""
    whole = trail()
    options: dict[str, Any] = {"counters": whole.counters(tmp_path / "counters")}
    key = tmp_path / "canary.key"
    key.write_text(CANARY_KEY)
    tables = TABLES | {"canary": {"key": {"file": str(key)}}, "line": {"commit_seconds": 0.0}}
    other = Home(tmp_path / "other")
    run(other.lake, *whole.write(other.logs), batch=50, tables=tables, **options)
    results = [item for body in other.bodies(leaf.RECONCILIATION) for item in body["results"]]
    last = {Path(item["source"]).name: item["completeness"] for item in results if "completeness" in item}
    assert last == {MAIN: "proven", SECOND: "proven"}
    graded = [(item["source"], item["completeness"], item["evidence"], item["count"]) for item in results]
    assert len(graded) < 20 < len(other.bodies(leaf.SEAL))
    assert not other.bodies(leaf.GAP)
    assert not holding(other.lake, {CANARY_KEY})


def test_the_configuration_is_told_when_it_is_another(home: Home) -> None:
    """Once for as many runs as go by it; another setting, and another detector, is another record."""
    (first,) = home.bodies(leaf.CONFIG)
    home.go_on()
    assert home.bodies(leaf.CONFIG) == [first]
    with (home.logs / f"{MAIN}.whole").open("ab") as file:
        file.write((home.logs / f"{MAIN}.whole").read_bytes().splitlines(keepends=True)[-1])
    home.go_on(alerts={"per_day": 7})
    _, second = home.bodies(leaf.CONFIG)
    assert second["configuration"] != first["configuration"]
    assert second["version"] == first["version"]
    assert home.verified().is_empty()


def test_a_configuration_is_no_legal_hold(home: Home) -> None:
    """Both are of kind 7; holds go on being placed, told and lifted beside it."""
    order = erasing.Order(home.lake, "litigation", "counsel", conf.LedgerConfig(), home.lake.parent / "signing.key")
    erasing.place_hold(order, Hold("case-9", (), 0, erasing.LAST_US))
    assert home.verified().is_empty()
    erasing.release_hold(order, "case-9")
    home.go_on()
    assert home.verified().is_empty()
    assert len(home.bodies(leaf.CONFIG)) == 1


def test_a_configuration_kept_from_the_log_is_found(home: Home) -> None:
    """Whoever makes the lake say that a configuration was told of, so that the next run does not, is told of."""
    from msgspec import msgpack  # noqa: PLC0415

    with sqlite3.connect(home.lake / "commit.sqlite") as sql:
        head = msgpack.decode(sql.execute("SELECT head FROM ledger").fetchone()[0])
        head["files"]["told"]["configuration"] = "0" * 64
        sql.execute("UPDATE ledger SET head = ?", (msgpack.encode(head),))
    assert home.verified().select("source", "verdict", "cause").rows() == [
        ("ledger/files/ctl.jsonl", "altered", "configuration")
    ]
