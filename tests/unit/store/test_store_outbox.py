from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import StoreError
from pipeline.store import Lake, StoreConfig
from tests.unit.store.store_frames import alert, commit_of

CONFIG = StoreConfig(publish_seconds=0)
NOW = 1_800_000_000_000_000_000


def writer(path: Path, worker: str = "main") -> Lake:
    lake = Lake.open(path, CONFIG, writer=True, clock=lambda: NOW, worker=worker)
    lake.set_sinks(["siem", "page", "siem"])
    return lake


def ids(lake: Lake, sink: str, limit: int = 100) -> list[str]:
    return [message.event_id for message in lake.pending(sink, limit, NOW)]


def test_messages_wait_for_every_sink_in_the_order_they_were_made(tmp_path: Path) -> None:
    """Each message waits for each sink once, states of one alert in order, and comes back as it was given."""
    first, second, other = alert("a", 1), alert("a", 2), alert("b", 1)
    with writer(tmp_path / "lake") as lake:
        lake.commit(commit_of(1, messages=[first, other]))
        lake.commit(commit_of(2, messages=[second]))
    with writer(tmp_path / "lake") as lake:
        assert lake.pending("siem", 100, NOW) == [first, other, second]
        assert ids(lake, "page", limit=2) == ["a:1", "b:1"]
        assert lake.pending("siem", 1, NOW)[0].alert["first_time"] == first.alert["first_time"]
        assert (lake.depth("siem"), lake.oldest_ns("siem")) == (3, NOW)
        assert (lake.depth("none"), lake.oldest_ns("none")) == (0, None)


def test_a_delivered_message_leaves_when_all_sinks_have_it(tmp_path: Path) -> None:
    """Delivery to one sink changes nothing for the other; the last one frees the space."""
    with writer(tmp_path / "lake") as lake:
        lake.commit(commit_of(1, messages=[alert("a", 1), alert("a", 2)]))
        full = lake.bytes()
        lake.delivered("siem", ["a:1"])
        assert (ids(lake, "siem"), ids(lake, "page"), lake.bytes()) == (["a:2"], ["a:1", "a:2"], full)
        lake.delivered("page", ["a:1", "a:2"])
        assert 0 < lake.bytes() < full
        lake.delivered("siem", ["a:2", "unknown:1"])
        assert lake.bytes() == 0


def test_a_postponed_sink_has_nothing_pending_until_its_time(tmp_path: Path) -> None:
    """Postponing one sink holds its messages back, over a restart too, and no other sink's; delivering ends it."""
    with writer(tmp_path / "lake") as lake:
        lake.commit(commit_of(1, messages=[alert("a", 1), alert("b", 1)]))
        lake.postpone("siem", NOW + 10, "503")
    with writer(tmp_path / "lake") as lake:
        assert lake.pending("siem", 10, NOW + 9) == []
        assert lake.depth("siem") == 2
        assert len(lake.pending("page", 10, NOW + 9)) == 2
        assert len(lake.pending("siem", 10, NOW + 10)) == 2
        lake.delivered("siem", ["a:1"])
        assert [m.event_id for m in lake.pending("siem", 10, NOW)] == ["b:1"]


def test_a_refused_message_is_kept_aside_until_replayed(tmp_path: Path) -> None:
    """A dead letter blocks nothing and fills nothing, is told with its reason, and comes back in its old place."""
    with writer(tmp_path / "lake") as lake:
        lake.commit(commit_of(1, messages=[alert("a", 1), alert("b", 1)]))
        lake.dead("siem", {"a:1": "400 bad field"})
        assert (ids(lake, "siem"), lake.depth("siem"), ids(lake, "page")) == (["b:1"], 1, ["a:1", "b:1"])
        assert lake.dead_letters("siem") == {"a:1": "400 bad field"}
        lake.delivered("page", ["a:1", "b:1"])
        lake.delivered("siem", ["b:1"])
        assert lake.bytes() == 0
        assert (lake.replay("siem"), lake.replay("siem")) == (1, 0)
        assert lake.bytes() > 0
        assert ids(lake, "siem") == ["a:1"]
        assert lake.dead_letters("siem") == {}


def test_messages_belong_to_the_commit_that_made_them(tmp_path: Path) -> None:
    """A commit that fails leaves no message; one whose sinks are not set keeps none; an event id is kept once."""
    with writer(tmp_path / "lake") as lake:
        lake.commit(commit_of(1, messages=[alert("a", 1)]))
        lake.commit(commit_of(2, messages=[alert("a", 1)]))
        assert ids(lake, "siem") == ["a:1"]
        (lake.path / "writer.lock").unlink()
        with Lake.open(lake.path, CONFIG, writer=True, clock=lambda: NOW) as newer:
            with pytest.raises(StoreError):
                lake.commit(commit_of(3, messages=[alert("c", 1)]))
            newer.commit(commit_of(3, messages=[alert("d", 1)]))
            assert ids(newer, "siem") == ["a:1"]


def test_a_dead_workers_messages_are_taken_over_and_a_living_ones_are_not(tmp_path: Path) -> None:
    """What a worker that is gone left undelivered is delivered by the next that opens the lake."""
    with writer(tmp_path / "lake", "a") as a:
        a.commit(commit_of(1, messages=[alert("a", 1)]))
        with writer(tmp_path / "lake", "b") as b:
            assert ids(b, "siem") == []
    with writer(tmp_path / "lake", "b") as b:
        assert ids(b, "siem") == ["a:1"]


def test_a_sink_taken_out_of_the_config_does_not_fill_the_outbox(tmp_path: Path) -> None:
    """What waits for a sink that is not set keeps, but counts for nothing until the sink is back."""
    with writer(tmp_path / "lake") as lake:
        lake.commit(commit_of(1, messages=[alert("a", 1)]))
        lake.delivered("page", ["a:1"])
        lake.set_sinks(["page"])
        assert lake.bytes() == 0
        lake.set_sinks(["siem"])
        assert lake.bytes() > 0
        assert ids(lake, "siem") == ["a:1"]
