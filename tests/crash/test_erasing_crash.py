"""Death at any step of an erasure, a hold or a merge: verification is clean at once, and a second try completes it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import polars as pl
import pytest

from pipeline import config as conf
from pipeline.store import Lake, StoreConfig
from pipeline.verification import verify_lake
from tests.crash.line_nursery import Nursery
from tests.crash.line_story import words, write_config, write_logs
from tests.lakes import view

BEFORE = ("store.synced", "store.revised", "ledger.entries", "ledger.control", "ledger.intent", "store.transaction")
AFTER = ("store.committed", "ledger.guard", "ledger.signed", "ledger.copy", "ledger.checkpoint", "ledger.tidied:3")
UPKEEP = (
    ("store.compact.committed", (1, 3)),
    pytest.param("store.compact.written", (1, 3), marks=pytest.mark.slow),
    pytest.param("store.retain.committed", (1, 1), marks=pytest.mark.slow),
)


@pytest.fixture(scope="module")
def made(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs, and a lake that has read them."""
    home = tmp_path_factory.mktemp("made")
    write_logs(home / "logs")
    assert nursery.start(*words(home, write_config(home, 500), home / "logs")).wait() == 10
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home"


def clean(home: Path) -> pl.DataFrame:
    """Verification by somebody who repairs nothing."""
    config = conf.LedgerConfig(signing_key=str(home / "keys" / "key"))
    (found,) = verify_lake(home / "lake", None, (), None, config)
    assert found.report.exit_code == 0, found.report.rows.rows()
    return found.report.rows


def asked(home: Path, *words: str) -> tuple[str | Path, ...]:
    key = home / "keys" / "key"
    who = ("--reason", "why", "--authority", "who", "--lake", home / "lake", "--signing-key", key)
    return ("ledger", *words, *who)


def blank(home: Path, uids: list[str]) -> int:
    return view(home / "lake", "raw").filter(pl.col("uid").is_in(uids))["raw"].null_count()


def test_death_at_any_step_of_an_erasure(nursery: Nursery, home: Path) -> None:
    """Before the commit nothing was erased, after it everything was; and so for one set of entries after another."""
    raw = view(home / "lake", "raw").sort("leaf_index")
    uids = raw["uid"].to_list()
    for number, step in enumerate((*BEFORE, *AFTER)):
        chosen = uids[number * 7 : number * 7 + 5]
        child = nursery.start(*asked(home, "redact", *chosen), fault=step)
        assert child.wait() == -signal.SIGKILL, (step, child.text())
        clean(home)
        assert blank(home, chosen) == (0 if step in BEFORE else 5), step
        again = nursery.start(*asked(home, "redact", *chosen))
        assert again.wait() == 0, (step, again.text())
        assert blank(home, chosen) == 5
    rows = clean(home)
    assert rows.filter(cause="erased")["count"].sum() == 5 * len(BEFORE + AFTER)


@pytest.mark.parametrize(("step", "stands"), [("store.transaction", False), ("store.committed", True)])
def test_death_while_a_hold_is_placed(nursery: Nursery, home: Path, step: str, stands: bool) -> None:
    """It stands in ledger and lake, or in neither."""
    assert nursery.start(*asked(home, "hold", "case"), fault=step).wait() == -signal.SIGKILL
    clean(home)
    with Lake.open(home / "lake", StoreConfig(), writer=False, clock=lambda: 0) as lake:
        assert ("case" in lake.holds()) is stands
    assert nursery.start(*asked(home, "hold", "case")).wait() == (2 if stands else 0)
    assert nursery.start(*asked(home, "release", "case")).wait() == 0
    clean(home)


@pytest.mark.parametrize(("step", "counts"), UPKEEP)
def test_death_between_a_merge_and_its_seal_leaves_nothing_unsealed(
    nursery: Nursery, made: Path, tmp_path: Path, step: str, counts: tuple[int, ...]
) -> None:
    """The exchange of files and the seal over them are one commit: whoever verifies in between finds it clean."""
    write_config(tmp_path, 61)
    for count in counts:
        run = words(tmp_path, tmp_path / "keytrail.toml", made / "logs")
        assert nursery.start(*run, fault=f"{step}:{count}").wait() == -signal.SIGKILL
        clean(tmp_path)
