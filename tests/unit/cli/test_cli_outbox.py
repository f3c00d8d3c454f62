"""`keytrail outbox`: what waits, what was refused, and its way back or out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.core.model import Commit
from pipeline.store import Lake, StoreConfig
from tests import command
from tests.processes import keytrail
from tests.receivers.messages import message


def test_what_a_sink_refused_is_listed_and_replayed(tmp_path: Path) -> None:
    """Per sink what waits and what is dead; after `replay` the dead letters wait again, and a second one finds none."""
    with Lake.open(tmp_path / "lake", StoreConfig(), writer=True, clock=lambda: 1_700_000_000_000_000_000) as lake:
        lake.set_sinks(("siem", "chat"))
        lake.commit(Commit((), messages=[message(1), message(2), message(3)]))
        lake.delivered("chat", [message(n).event_id for n in (1, 2)])
        lake.dead("siem", {message(2).event_id: "status 400"})
        shown = command.keytrail("outbox", "--format", "json", "--lake", tmp_path / "lake")
        rows = {row["sink"]: row for row in shown.rows}
        assert {name: (row["waiting"], row["refused"]) for name, row in rows.items()} == {
            "siem": (2, 1),
            "chat": (1, 0),
        }
        assert rows["siem"]["oldest"].startswith("2023-11-14T22:13:20")
        (dead,) = command.keytrail("outbox", "refused", "--format", "json", "--lake", tmp_path / "lake").rows
        assert (dead["sink"], dead["event_id"], dead["reason"]) == ("siem", message(2).event_id, "status 400")
        again = keytrail("outbox", "replay", "siem", home=tmp_path)
        assert (again.returncode, again.stderr) == (0, "1 refused by siem wait for it again\n")
        assert [m.event_id for m in lake.pending("siem", 9, 0)] == [message(n).event_id for n in (1, 2, 3)]
    assert command.keytrail("outbox", "refused", "--lake", tmp_path / "lake").code == 0
    assert command.keytrail("outbox", "replay", "siem", "--lake", tmp_path / "none").code == 3


def test_what_a_sink_refused_is_dropped_and_told(tmp_path: Path) -> None:
    """Named dead letters go, or all of one sink; what waits, and what another sink refused, stays."""
    ids = [message(n).event_id for n in (1, 2, 3, 4)]
    with Lake.open(tmp_path / "lake", StoreConfig(), writer=True, clock=lambda: 1_700_000_000_000_000_000) as lake:
        lake.set_sinks(("siem", "chat"))
        lake.commit(Commit((), messages=[message(n) for n in (1, 2, 3, 4)]))
        lake.dead("siem", dict.fromkeys(ids[:3], "status 400"))
        lake.dead("chat", {ids[0]: "status 422"})
        one = keytrail("outbox", "drop", "siem", ids[1], ids[3], "--format", "json", home=tmp_path)
        assert (one.returncode, one.stderr) == (0, "1 refused by siem dropped\n")
        (row,) = map(json.loads, one.stdout.splitlines())
        assert (row["sink"], row["event_id"], row["reason"]) == ("siem", ids[1], "status 400")
        rest = keytrail("outbox", "drop", "siem", "--format", "json", home=tmp_path)
        assert [json.loads(line)["event_id"] for line in rest.stdout.splitlines()] == [ids[0], ids[2]]
        assert lake.dead_letters("siem") == {}
        assert [m.event_id for m in lake.pending("siem", 9, 0)] == ids[3:]
        assert list(lake.dead_letters("chat")) == ids[:1]
    assert command.keytrail("outbox", "drop", "siem", "--lake", tmp_path / "none").code == 3


@pytest.mark.parametrize(
    "words", [("replay", "seim"), ("drop", "seim"), ("replay", "si\udce9m"), ("drop", "si\udce9m")]
)
def test_a_sink_that_the_lake_does_not_know_is_refused(tmp_path: Path, words: tuple[str, str]) -> None:
    """By the names there are, also of a sink that has everything; a name that is no UTF-8 too."""
    with Lake.open(tmp_path / "lake", StoreConfig(), writer=True, clock=lambda: 1_700_000_000_000_000_000) as lake:
        lake.set_sinks(("siem",))
        lake.set_sinks(("chat",))
        lake.commit(Commit((), messages=[message(1)]))
    done = command.keytrail("outbox", *words, "--lake", tmp_path / "lake")
    assert done.code == 2
    assert done.error.endswith("there are: chat, siem")
    assert command.keytrail("outbox", words[0], "siem", "--lake", tmp_path / "lake").code == 0


def test_a_lake_without_sinks_says_so(tmp_path: Path) -> None:
    """There is no name to be wrong about."""
    with Lake.open(tmp_path / "lake", StoreConfig(), writer=True, clock=lambda: 1_700_000_000_000_000_000) as lake:
        lake.commit(Commit(()))
    done = command.keytrail("outbox", "replay", "siem", "--lake", tmp_path / "lake")
    assert done.code == 2
    assert "no run of this lake had a sink" in done.error
