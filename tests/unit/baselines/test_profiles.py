from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipeline.baselines import SCOPES, Baselines, Config, names
from pipeline.core.coded import coded
from pipeline.core.model import Window
from pipeline.core.ports import Stateful
from pipeline.core.schema import BASELINE, INTEGRITY, OPERATION, TIME, conform, empty

HOUR = 3_600_000_000
DAY = 24 * HOUR
MONDAY = 1_700_438_400_000_000  # 2023-11-20 00:00 UTC


def window(start: int, rows: list[dict[str, Any]], *, closed: bool = True, hours: int = 1) -> Window:
    default = {"principal": "approle/app", "secret": "kv/db", "client_ip": "10.0.0.1", "outcome": "success"}
    full = [{**default, "time": start, "complete_time": row.get("time", start), **row} for row in rows]
    frame = pl.DataFrame(full, infer_schema_length=None).with_columns(pl.col("time", "complete_time").cast(TIME))
    return Window(start, start + hours * HOUR, conform(frame, OPERATION), empty(INTEGRITY), None, closed=closed)


def ask(baselines: Baselines, scope: str, at_us: int, **keys: str) -> dict[str, Any]:
    return baselines.lookup(scope, pl.DataFrame({k: [v] for k, v in keys.items()}), at_us).row(0, named=True)


def test_a_part_with_memory() -> None:
    """Baselines satisfies the port of parts with memory."""
    assert isinstance(Baselines(Config()), Stateful)


def test_the_three_scopes() -> None:
    """One operation makes a principal, a secret and an edge, each with its times and counts."""
    baselines = Baselines(Config())
    baselines.learn(window(MONDAY, [{"time": MONDAY + 5}, {"time": MONDAY + 9, "client_ip": "10.0.0.2"}]))
    for scope, keys in (
        ("principal", {"principal": "approle/app"}),
        ("secret", {"secret": "kv/db"}),
        ("edge", {"principal": "approle/app", "secret": "kv/db"}),
    ):
        got = ask(baselines, scope, MONDAY + HOUR, **keys)
        assert (got["known"], got["operations"], got["succeeded"]) == (True, 2, True)
        assert (got["first_us"], got["last_us"]) == (MONDAY + 5, MONDAY + 9)
        assert (got["distinct_ips"], got["distinct_secrets"], got["days_active"]) == (2, 1, 1)


def test_nobody_and_nothing_make_no_key() -> None:
    """Anonymous operations count for the secret alone, and those without a secret for the principal alone."""
    baselines = Baselines(Config())
    rows = [
        {"principal": "anonymous"},
        {"principal": ""},
        {"principal": None},
        {"principal": "guest/x", "principal_type": "anonymous"},
        {"principal": "approle/auth", "secret": ""},
    ]
    baselines.learn(window(MONDAY, rows))
    view = baselines.view()
    assert view.select("scope", "key", "operations").rows() == [
        ("principal", "approle/auth", 1),
        ("secret", "kv/db", 4),
    ]


def test_an_unknown_key() -> None:
    """A key nobody has seen is not known, has no times, and the prior for its rate."""
    baselines = Baselines(Config(prior_operations=2.0, prior_hours=4.0))
    baselines.learn(window(MONDAY, [{}]))
    got = ask(baselines, "edge", MONDAY + HOUR, principal="approle/app", secret="kv/other")
    assert (got["known"], got["first_us"], got["last_us"], got["operations"]) == (False, None, None, 0)
    assert (got["alpha"], got["beta"], got["expected_per_hour"], got["succeeded"]) == (2.0, 4.0, 0.5, False)


def test_answers_stand_beside_their_questions() -> None:
    """Answers come in the order of the questions, repeated and unknown and null ones among them."""
    baselines = Baselines(Config())
    baselines.learn(window(MONDAY, [{"secret": f"kv/{i}"} for i in range(5) for _ in range(i + 1)]))
    keys = pl.DataFrame({"secret": ["kv/4", "nope", "kv/0", "kv/4", None, ""]})
    assert baselines.lookup("secret", keys, MONDAY + HOUR)["operations"].to_list() == [5, 0, 1, 5, 0, 0]
    assert baselines.lookup("secret", keys.head(0), MONDAY + HOUR).is_empty()


def test_a_scope_that_is_none_is_refused() -> None:
    """A scope nobody keeps is an error that names those there are."""
    with pytest.raises(ValueError, match="principal, secret, edge"):
        Baselines(Config()).lookup("mount", pl.DataFrame({"mount": ["kv/"]}), MONDAY)


def test_an_open_window_is_refused() -> None:
    """A window that may still grow is not learned, since it would count twice."""
    baselines = Baselines(Config())
    with pytest.raises(ValueError, match="not closed"):
        baselines.learn(window(MONDAY, [{}], closed=False))
    assert len(baselines) == 0


def test_the_rate_of_a_steady_key() -> None:
    """Sixty operations an hour for four weeks are expected again, with the matching Gamma."""
    baselines = Baselines(Config())
    for hour in range(24 * 28):
        start = MONDAY + hour * HOUR
        baselines.learn(window(start, [{"time": start + i * 60_000_000} for i in range(60)]))
    got = ask(baselines, "principal", MONDAY + 28 * DAY, principal="approle/app")
    assert got["expected_per_hour"] == pytest.approx(60, rel=0.15)
    assert got["alpha"] / got["beta"] == pytest.approx(got["expected_per_hour"])
    assert got["days_active"] == 28
    row = baselines.view().row(0, named=True)
    assert row["rate_per_hour"] == pytest.approx(60, rel=0.01)


def test_the_rate_of_a_key_that_fell_silent() -> None:
    """A key that stops is expected less and less, halved and more after a half-life."""
    baselines = Baselines(Config(half_life_days=2.0))
    for hour in range(240):
        baselines.learn(window(MONDAY + hour * HOUR, [{}] * 10))
    end = MONDAY + 240 * HOUR
    rates = [ask(baselines, "secret", end + d * DAY, secret="kv/db")["expected_per_hour"] for d in (0, 2, 4, 20)]
    assert rates[0] == pytest.approx(10, rel=0.2)
    assert rates[1] < 0.6 * rates[0]
    assert rates[2] < 0.6 * rates[1]
    assert rates[3] < 0.05


def test_the_hour_of_the_day() -> None:
    """A nightly job is expected at its hour and hardly at any other."""
    baselines = Baselines(Config())
    for day in range(28):
        baselines.learn(window(MONDAY + day * DAY + 3 * HOUR, [{}] * 50))
    at = MONDAY + 28 * DAY
    by_hour = [
        ask(baselines, "edge", at + h * HOUR, principal="approle/app", secret="kv/db")["expected_per_hour"]
        for h in range(24)
    ]
    assert int(np.argmax(by_hour)) == 3
    assert by_hour[3] == pytest.approx(50, rel=0.25)
    assert max(by_hour[:3] + by_hour[4:]) < 1


def test_the_day_of_the_week() -> None:
    """A key at work on weekdays alone is expected far less on a Sunday."""
    baselines = Baselines(Config())
    for day in (d for d in range(56) if d % 7 < 5):
        for hour in range(9, 17):
            baselines.learn(window(MONDAY + day * DAY + hour * HOUR, [{}] * 20))
    at = MONDAY + 56 * DAY + 10 * HOUR
    tuesday = ask(baselines, "secret", at + DAY, secret="kv/db")["expected_per_hour"]
    sunday = ask(baselines, "secret", at + 6 * DAY, secret="kv/db")["expected_per_hour"]
    assert tuesday == pytest.approx(20, rel=0.3)
    assert sunday < 0.3 * tuesday
    shares = baselines.view().filter(scope="secret")["hours_of_week"][0].to_numpy()
    assert len(shares) == 168
    assert shares.sum() == pytest.approx(1)
    assert shares[10] > 10 * shares[6 * 24 + 3]


def test_one_loud_hour_makes_no_season() -> None:
    """A key seen on one day only is not yet held to have a daily pattern."""
    baselines = Baselines(Config())
    baselines.learn(window(MONDAY + 3 * HOUR, [{}] * 1000))
    now = ask(baselines, "secret", MONDAY + 27 * HOUR, secret="kv/db")["expected_per_hour"]
    later = ask(baselines, "secret", MONDAY + 28 * HOUR, secret="kv/db")["expected_per_hour"]
    assert now < 10 * later


def test_breadth() -> None:
    """A principal's secrets and a secret's principals are counted exactly, its addresses to within a fifth."""
    baselines = Baselines(Config())
    rows = [
        {"principal": f"p{i % 7}", "secret": f"kv/{i}", "client_ip": f"10.1.{i // 256}.{i % 256}"} for i in range(2000)
    ]
    baselines.learn(window(MONDAY, rows * 2))
    got = ask(baselines, "principal", MONDAY + HOUR, principal="p3")
    assert got["distinct_secrets"] == len({row["secret"] for row in rows if row["principal"] == "p3"})
    assert got["distinct_ips"] == pytest.approx(286, rel=0.3)
    assert ask(baselines, "secret", MONDAY + HOUR, secret="kv/5")["distinct_principals"] == 1


def test_days_are_counted_once() -> None:
    """A day counts once however often a key comes, also across midnight and for a late operation of a day before."""
    baselines = Baselines(Config())
    baselines.learn(window(MONDAY, [{}, {}]))
    baselines.learn(window(MONDAY + HOUR, [{"time": MONDAY + HOUR}]))
    baselines.learn(
        window(MONDAY + 4 * DAY, [{"time": MONDAY + 4 * DAY}, {"time": MONDAY + 3 * DAY}, {"time": MONDAY + 1}])
    )
    baselines.learn(window(MONDAY + 100 * DAY, [{"time": MONDAY + 100 * DAY}]))
    assert ask(baselines, "secret", MONDAY + 101 * DAY, secret="kv/db")["days_active"] == 4


def test_a_clock_ahead() -> None:
    """An operation dated in the future was last seen when its window ended, not in that future."""
    baselines = Baselines(Config())
    baselines.learn(window(MONDAY, [{"time": MONDAY + 9000 * DAY, "complete_time": MONDAY + 7}]))
    assert ask(baselines, "secret", MONDAY + HOUR, secret="kv/db")["last_us"] == MONDAY + HOUR - 1


def test_a_key_that_was_only_ever_refused() -> None:
    """An edge of denials is known, and told apart from one that worked."""
    baselines = Baselines(Config())
    baselines.learn(window(MONDAY, [{"outcome": "denied"}, {"principal": "approle/b"}]))
    refused = ask(baselines, "edge", MONDAY + HOUR, principal="approle/app", secret="kv/db")
    assert (refused["known"], refused["succeeded"]) == (True, False)
    assert ask(baselines, "secret", MONDAY + HOUR, secret="kv/db")["succeeded"]


def test_the_coldest_go_first() -> None:
    """Past the limit the keys unseen for longest go, no edge outlives its ends, and the loss is counted."""
    baselines = Baselines(Config(max_keys=100))
    for i in range(130):
        baselines.learn(
            window(MONDAY + i * HOUR, [{"principal": f"p{i}", "secret": f"kv/{i}", "time": MONDAY + i * HOUR}])
        )
    view = baselines.view()
    for scope in SCOPES:
        kept = view.filter(scope=scope)
        assert kept.height <= 100
        assert baselines.evicted[scope] == 130 - kept.height
    assert ask(baselines, "edge", MONDAY + 200 * HOUR, principal="p129", secret="kv/129")["operations"] == 1
    assert not ask(baselines, "secret", MONDAY + 200 * HOUR, secret="kv/0")["known"]
    oldest_kept = 130 - view.filter(scope="secret").height
    assert sorted(view.filter(scope="secret")["key"]) == sorted(f"kv/{i}" for i in range(oldest_kept, 130))


def test_a_name_evicted_takes_its_edges_along() -> None:
    """When a principal goes its edges go, while the secret they led to stays."""
    baselines = Baselines(Config(max_keys=10))
    for i in range(11):
        start = MONDAY + i * HOUR
        baselines.learn(window(start, [{"principal": f"p{i}", "time": start}]))
    assert not ask(baselines, "edge", MONDAY + DAY, principal="p0", secret="kv/db")["known"]
    assert ask(baselines, "edge", MONDAY + DAY, principal="p10", secret="kv/db")["known"]
    assert ask(baselines, "secret", MONDAY + DAY, secret="kv/db")["operations"] == 11


def test_active_keys() -> None:
    """A sweep lists the keys above a rate with what they should have done since they were last seen."""
    baselines = Baselines(Config())
    for hour in range(24 * 14):
        start = MONDAY + hour * HOUR
        busy = [{"secret": "kv/busy", "time": start}] * 6
        rare = [{"secret": "kv/rare", "time": start}] if hour % 100 == 0 else []
        baselines.learn(window(start, busy + rare))
    at = MONDAY + 14 * DAY + 5 * HOUR
    got = baselines.active("secret", 1.0, at)
    assert got["secret"].to_list() == ["kv/busy"]
    assert got["expected_since_last"][0] == pytest.approx(36, rel=0.15)
    profile = baselines.lookup("secret", got.select("secret"), at)
    assert_frame_equal(got.select(profile.columns), profile)
    assert baselines.active("edge", 0.0, at).columns[:2] == ["principal", "secret"]
    assert baselines.active("edge", 1e9, at).is_empty()


def test_silence_outside_the_hours_of_work_is_expected() -> None:
    """A nightly job owes nothing by noon and a whole night's work a day later."""
    baselines = Baselines(Config())
    for day in range(28):
        start = MONDAY + day * DAY + 3 * HOUR
        baselines.learn(window(start, [{"time": start + HOUR - 1}] * 50))
    last_day = MONDAY + 27 * DAY
    noon = baselines.active("secret", 0.1, last_day + 12 * HOUR)["expected_since_last"][0]
    late = baselines.active("secret", 0.1, last_day + 30 * HOUR)["expected_since_last"][0]
    assert noon < 3
    assert late == pytest.approx(50, rel=0.3)


def test_the_view() -> None:
    """The view has the promised columns, edges under "principal -> secret", also when there is nothing yet."""
    baselines = Baselines(Config())
    assert baselines.view().schema == BASELINE
    baselines.learn(window(MONDAY, [{}]))
    assert baselines.learned_until_us == MONDAY + HOUR
    view = baselines.view()
    assert view.schema == BASELINE
    assert view.filter(scope="edge")["key"].to_list() == ["approle/app -> kv/db"]


def test_hours_are_shown_for_the_busiest() -> None:
    """Past its limit the view leaves the hours of the week of the quieter keys out."""
    baselines = Baselines(Config(view_hours=2))
    baselines.learn(window(MONDAY, [{"secret": "kv/a"}] * 3 + [{"secret": "kv/b"}]))
    shown = baselines.view().filter(pl.col("hours_of_week").is_not_null())
    assert shown.select("scope", "key").rows() == [("edge", "approle/app -> kv/a"), ("principal", "approle/app")]
    assert Baselines(Config(view_hours=0)).view().is_empty()


def test_a_snapshot_stands_still() -> None:
    """What is learned after a snapshot does not change it."""
    baselines = Baselines(Config())
    baselines.learn(window(MONDAY, [{}]))
    before = baselines.snapshot()
    kept = {name: frame.clone() for name, frame in before.items()}
    rows = {name: frame.rows() for name, frame in before.items()}
    baselines.learn(window(MONDAY + HOUR, [{"secret": "kv/new", "client_ip": "10.9.9.9"}] * 5))
    assert {name: frame.rows() for name, frame in before.items()} == rows
    assert kept.keys() == before.keys()


def test_restored_goes_on_the_same() -> None:
    """A restored instance and the one it was taken from learn to the same bytes."""
    rng = np.random.default_rng(5)
    windows = [
        window(
            MONDAY + i * HOUR,
            [{"principal": f"p{rng.integers(9)}", "secret": f"kv/{rng.integers(40)}"} for _ in range(30)],
        )
        for i in range(20)
    ]
    one, other = Baselines(Config(max_keys=60)), Baselines(Config(max_keys=60))
    for w in windows[:10]:
        one.learn(w)
    other.restore(one.snapshot())
    for w in windows[10:]:
        one.learn(w)
        other.learn(w)
    for name, frame in one.snapshot().items():
        assert_frame_equal(frame, other.snapshot()[name])
    assert_frame_equal(one.view(), other.view())


def test_hashes_that_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names made to collide in their hash still have profiles of their own."""
    monkeypatch.setattr(names, "hash_texts", lambda texts: np.full(len(texts), 7, np.uint64))
    baselines = Baselines(Config())
    baselines.learn(window(MONDAY, [{"secret": f"kv/{i}"} for i in range(4) for _ in range(i + 1)]))
    baselines.learn(window(MONDAY + HOUR, [{"secret": "kv/2"}, {"secret": "kv/9"}]))
    keys = pl.DataFrame({"secret": ["kv/3", "kv/2", "kv/0", "kv/9", "kv/x"]})
    assert baselines.lookup("secret", keys, MONDAY + DAY)["operations"].to_list() == [4, 4, 1, 1, 0]
    copy = Baselines(Config())
    copy.restore(baselines.snapshot())
    assert copy.lookup("secret", keys, MONDAY + DAY)["operations"].to_list() == [4, 4, 1, 1, 0]


def test_different_half_lives_do_not_merge() -> None:
    """Histories that fade at different speeds are not joined."""
    with pytest.raises(ValueError, match="half-lives"):
        Baselines(Config()).merge(Baselines(Config(half_life_days=1.0)))


def test_numbers_stand_for_names_until_something_is_learned() -> None:
    """What `numbers` gives finds the same profiles as names do; after a window is learned they are found anew."""
    baselines = Baselines(Config())
    rows = [{"principal": f"p{i % 7}", "secret": f"kv/{i}"} for i in range(300)]
    first, second = window(MONDAY, rows), window(MONDAY + HOUR, [*rows, {"principal": "p9", "secret": "kv/9"}, {}])
    baselines.learn(first)
    for _ in range(2):
        named = coded(second, "secret").names.to_frame()
        for scope, keys in (("secret", named), ("edge", named.with_columns(principal=pl.lit("p2")))):
            numbered = keys.with_columns(secret=pl.Series(baselines.numbers("secret", second)))
            told = [
                baselines.lookup(scope, frame, MONDAY + HOUR, ("known", "operations")) for frame in (numbered, keys)
            ]
            assert_frame_equal(*told)
        baselines.learn(second)
    assert (baselines.numbers("secret", second) >= 0).all()
    assert (Baselines(Config()).numbers("secret", second) == -1).all()
