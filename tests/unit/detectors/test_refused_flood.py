"""Refusals of callers that no token names."""

from __future__ import annotations

import polars as pl

from detectors import denials
from pipeline.baselines import Baselines, Config
from pipeline.core.clock import HOUR_US
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, OPERATION, conform, empty
from pipeline.windows import count


def hour(number: int, **refusals: int) -> Window:
    """An hour in which so many renewals were refused at each address."""
    rows = [
        {"principal": "anonymous", "principal_type": "anonymous", "path": "auth/token/renew-self", "operation": "auth",
         "outcome": "denied", "store": "vault", "namespace": "", "secret": "", "client_ip": address.replace("_", "."),
         "uid": f"{number}-{address}-{n}"}
        for address, many in refusals.items()
        for n in range(many)
    ]  # fmt: skip
    start = number * HOUR_US
    when = pl.from_epoch(pl.lit(start), time_unit="us").dt.replace_time_zone("UTC")
    frame = conform(pl.DataFrame(rows).with_columns(time=when, complete_time=when), OPERATION)
    return Window(start, start + HOUR_US, count(frame), empty(INTEGRITY), Baselines(Config()), closed=True)


def test_what_many_addresses_do_is_told_once() -> None:
    """Tokens that end together are one finding, which names how many addresses and the loudest first."""
    detector = denials.create(denials.Config(flood=30))
    (found,) = detector.inspect(hour(100, ip_10_1=40, ip_10_2=60, ip_10_3=5)).to_dicts()
    assert found["message"].startswith(
        "100 requests without a valid token were refused from 2 addresses (ip.10.2, ip.10.1)"
    )
    assert found["client_ip"] == "ip.10.2"
    assert found["techniques"] == ["T1499"]


def test_a_flood_that_goes_on_is_told_when_it_grows() -> None:
    """An hour as the one before says nothing new; half as much again does."""
    detector = denials.create(denials.Config(flood=30))
    told = [len(detector.inspect(hour(100 + n, ip=many))) for n, many in enumerate((40, 50, 900, 900))]
    assert told == [1, 0, 1, 0]


def test_an_earlier_memory_is_gone_on_from() -> None:
    """States from before refusals of nobody were remembered say what they did of the others."""
    old = denials.create(denials.Config(flood=30))
    old.inspect(hour(100, ip=400))
    frames = {name: frame for name, frame in old.snapshot().items() if name != "unknown"}
    new = denials.create(denials.Config(flood=30))
    new.restore(frames)
    assert len(new.inspect(hour(101, ip=400))) == 1
