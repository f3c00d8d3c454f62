"""What is asked for: how long, how large, which seed, which incidents."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from pipeline.core.errors import ConfigError

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

MOST_RATE = 1_000_000

DIFFICULTIES = ("easy", "medium", "hard", "near")
STORES = ("openbao", "vault")


class Preset(msgspec.Struct, frozen=True):
    """Size of an estate. Read rates per hour and service are lognormal(median, sigma), cut at `top`."""

    teams: int
    services: int
    cron: int
    ci: int
    humans: int
    secrets: int
    median: float = 3.0
    sigma: float = 1.9
    top: float = 3000.0
    slots: float = 3.0  # mean number of pods or machines of a service
    job_hours: int = 1  # the shortest period of a timed job
    ttl: int = 1  # multiplies the usual times to live
    deploys: float = 1.2  # per team and working day
    nodes: int = 32  # of each cluster, a /24 each


PRESETS = {
    "xs": Preset(
        teams=4, services=15, cron=5, ci=2, humans=11, secrets=150,
        median=0.6, sigma=0.7, top=4.0, slots=1.2, job_hours=6, ttl=12,
        deploys=0.1, nodes=3,
    ),
    "s": Preset(teams=50, services=610, cron=120, ci=30, humans=230, secrets=6_000),
    "m": Preset(teams=200, services=3_050, cron=600, ci=150, humans=1_190, secrets=50_000, nodes=120),
    "l": Preset(teams=800, services=12_200, cron=2_400, ci=600, humans=4_790, secrets=150_000, nodes=240),
}  # fmt: skip


class Attack(msgspec.Struct, frozen=True):
    """One incident to stage. `day` is where it begins, in days from the start; None leaves it to the seed."""

    name: str
    difficulty: str = "medium"
    day: float | None = None


class Scenario(msgspec.Struct, frozen=True):
    """A labelled stream, fully: the same value gives the same bytes.

    `rate` multiplies every read rate. `confusers` None means all that fit into the length. Attacks without a day fall
    after the first `history` share of the time. `devices` audit devices record the same requests, each with its own
    salt; `prefix` is glued before each line of every device but the first.
    """

    days: int = 7
    start: str = "2026-03-02T00:00:00Z"
    rate: float = 1.0
    seed: int = 1
    preset: str = "s"
    store: str = "openbao"
    attacks: tuple[Attack, ...] = ()
    confusers: tuple[str, ...] | None = None
    devices: int = 1
    prefix: str = ""
    history: float = 2 / 3

    def __post_init__(self) -> None:
        """Raises ConfigError, naming the field and what is allowed."""
        _within("preset", self.preset, tuple(PRESETS))
        _within("store", self.store, STORES)
        for attack in self.attacks:
            _within("difficulty", attack.difficulty, DIFFICULTIES)
        if self.days < 1 or self.devices < 1 or not 0 < self.rate <= MOST_RATE or not 0 <= self.history < 1:
            raise ConfigError(
                f"days and devices must be at least 1, rate above 0 and at most {MOST_RATE:,}, history in [0, 1)"
            )
        if not 0 <= self.seed < 2**63:
            raise ConfigError("seed must be a whole number from 0 to 2^63-1")
        try:
            datetime.fromisoformat(self.start)
        except ValueError as error:
            raise ConfigError(f"start is no RFC 3339 time: {self.start!r}") from error

    @property
    def start_ns(self) -> int:
        """The first instant, in nanoseconds since 1970."""
        moment = datetime.fromisoformat(self.start)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * SECOND

    @property
    def end_ns(self) -> int:
        """The instant after the last."""
        return self.start_ns + self.days * DAY

    @property
    def size(self) -> Preset:
        """The estate's size."""
        return PRESETS[self.preset]


def _within(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"unknown {field} {value!r}; there are: {', '.join(allowed)}")
