"""What a user may set about service level indicators."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Days = Annotated[float, msgspec.Meta(ge=0, le=36_500)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What differs for one scope; what is left out stays the default.

    m1: share of reads that succeed. m2: milliseconds that 95 of 100 operations stay below. m3: share of rotations that
    are done, and in time. m5: reads of secrets past their lifetime. m8: seconds until what leaked is of no more
    use. m10: share of reads that no cache would have answered.
    """

    m1: Share | None = None
    m2: Positive | None = None
    m3: Share | None = None
    m5: NotNegative | None = None
    m8: Positive | None = None
    m10: Share | None = None


class Compromised(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret, as the column `secret` names it, that somebody may have had from then on."""

    secret: Annotated[str, msgspec.Meta(min_length=1)]
    since: Annotated[datetime, msgspec.Meta(tz=True)]
    store: str = "vault"
    namespace: str = ""

    def __post_init__(self) -> None:
        """Refuse a moment that has no date in UTC."""
        try:
            self.since.astimezone(UTC)
        except OverflowError:
            raise ValueError("since: has no date in UTC") from None


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[slis]

    A window closes `grace_seconds` after its end and is kept for `late_windows` more, so that late operations still
    count. `objectives` are keyed by a store (`vault`, for everything in it) or by a scope (`mount:team-a/kv/`,
    `namespace:team-a`); the scope wins. Past `max_mounts` and `max_namespaces` in one window the rest is `other`.

    A cache is taken to keep what it fetched for `cache_seconds`. Of each such time at most `max_cached` versions
    that a session read are remembered.

    `lifetime_days`: how long a secret may stay as it is, by what its name begins with; the longest such beginning
    counts, 0 exempts. Of at most `max_declared` secrets it is known when they were changed.

    `compromised`: secrets that are taken to have leaked. The clock of each runs until the value of then is of
    no more use.
    """

    window_seconds: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 300
    grace_seconds: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 60
    late_windows: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 12
    max_mounts: Count = 2_000
    max_namespaces: Count = 500
    m1: Share = 0.999
    m2: Positive = 200.0
    m3: Share = 0.99
    m5: NotNegative = 0.0
    m8: Positive = 1_800.0
    m10: Share = 0.95
    cache_seconds: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 300
    max_cached: Count = 200_000
    lifetime_days: dict[str, Days] = msgspec.field(default_factory=dict)
    max_declared: Count = 50_000
    compromised: Annotated[tuple[Compromised, ...], msgspec.Meta(max_length=1_000)] = ()
    objectives: dict[str, Objective] = msgspec.field(default_factory=dict)


def objective(config: Config, sli: str, store: str, scope: str) -> float:
    """The objective of one SLI in one scope of one store."""
    for key in (scope, store):
        value = getattr(config.objectives.get(key), sli.lower(), None)
        if value is not None:
            return float(value)
    return float(getattr(config, sli.lower()))


def thresholds(config: Config) -> tuple[float, ...]:
    """Every latency, in ms and ascending, that some scope is measured against."""
    return tuple(sorted({config.m2, *(o.m2 for o in config.objectives.values() if o.m2 is not None)}))
