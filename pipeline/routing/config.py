"""What decides how findings fold, where alerts go, and which are kept quiet."""

from __future__ import annotations

from typing import Literal

import msgspec

PER_DAY_MAX = 1_000_000
MINUTES_MAX = 100 * 365.25 * 24 * 60

Severity = Literal["informational", "low", "medium", "high", "critical"]


class Suppression(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Findings nobody wants to hear of, for a reason and until a moment. They are stored all the same.

    The match fields are globs (`*`, `?`); `client_ip` may also be a network in CIDR form. All given fields must match;
    at least one must be given. `expires`, and `starts` of a window that is still to come, are RFC 3339 with an offset,
    and are held against the time of the finding. What cannot be used is reported, not applied.
    """

    reason: str = ""
    starts: str = ""
    expires: str = ""
    owner: str = ""
    detector: str = ""
    cause: str = ""
    principal: str = ""
    secret: str = ""
    client_ip: str = ""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[alerts]` table. Globs match detector names and causes.

    `by_secret` are causes that tell of a secret whoever asks for it: they group by secret. `integrity` are those that
    say that the record itself is broken. `unattributed` are principals that many share, so that two detectors that
    agree on one of them prove nothing; nor does it that what an emergency account does (`alone`) is new to it.

    Findings of one key are one incident for `group_hours` from the first; what a rule tells again and again goes on
    while no pause is half as long again, a week at most. `quiet_minutes` without any close an alert.

    `per_day` is how many alerts a day the whole lake is to deliver, as page or ticket. Families in `exempt` are always
    told; the others have `shares` of the day (`other_share` each, where they are not named), and only their findings
    that are worth it become alerts. A score below its family's floor is not worth it however much room the day has
    (one half is a chance of one in a million, 0.4 of one in 10,000); one that is not `strong` for its family gets room
    that nobody else wants (`spare_share`). The rest are kept as findings. Families of one of the `kindred` groups see
    the same act from several sides (how much, how many, which, in what order), so that their agreement proves nothing;
    where from, when and how it got in are other questions. Shares, floors and kin were chosen on simulated estates,
    seeds 11 to 13, 101 to 112 and 403 to 405.

    `certain` are causes in which nothing is weighed (somebody changed who may do what, or what is recorded, and made
    use of it; a token outlived its revocation): from high on they are told however full the day is.
    """

    per_day: float = 5
    exempt: tuple[str, ...] = ("invariant", "rules", "silence", "leak", "sli")
    certain: tuple[str, ...] = ("policy_then_read", "role_then_use", "audit_then_read", "used_after_revocation")
    kindred: tuple[tuple[str, ...], ...] = (
        ("breadth", "rate", "pair", "slow", "denial", "enumeration", "multivariate", "rotation", "sequence", "act"),
    )
    shares: dict[str, float] = msgspec.field(
        default_factory=lambda: {"pair": 2.0, "source": 2.0, "program": 2.0, "rate": 0.3, "multivariate": 0.1}
    )
    other_share: float = 1.0
    floors: dict[str, float] = msgspec.field(
        default_factory=lambda: {"pair": 0.4, "source": 0.45, "multivariate": 0.745}
    )
    strong: dict[str, float] = msgspec.field(default_factory=lambda: {"pair": 0.45, "multivariate": 0.8})
    spare_share: float = 0.01
    group_hours: float = 24
    quiet_minutes: float = 120
    page_severity: Severity = "critical"
    page_confidence: float = 0.8
    agree_severity: Severity = "high"  # with this in two families, or as broken integrity, an alert pages
    ticket_severity: Severity = "medium"
    by_secret: tuple[str, ...] = ("rotation*", "stale*", "expired*", "leak*")
    integrity: tuple[str, ...] = ("integrity*", "ledger*")
    alone: tuple[str, ...] = ("break_glass*",)
    unattributed: tuple[str, ...] = ("", "anonymous", "token", "wrapping", "unknown")
    suppressions: tuple[Suppression, ...] = ()
    open_max: int = 10_000
    seen_max: int = 200_000
    principals_max: int = 100_000

    def __post_init__(self) -> None:
        if not 0 < self.quiet_minutes <= self.group_hours * 60 <= MINUTES_MAX:
            raise ValueError("quiet_minutes must be above 0 and at most group_hours, these at most a century")
        if not all(0 <= share <= 1 for share in (self.page_confidence, *self.floors.values(), *self.strong.values())):
            raise ValueError("page_confidence, floors and strong must lie in 0..1")
        if (
            not 0 < self.per_day <= PER_DAY_MAX
            or not min(self.other_share, self.spare_share) > 0
            or any(not share > 0 for share in self.shares.values())
        ):
            raise ValueError("per_day and shares must be above 0, per_day at most a million")
        if min(self.open_max, self.seen_max, self.principals_max) < 1:
            raise ValueError("open_max, seen_max and principals_max must be at least 1")

    @property
    def group_us(self) -> int:
        """The stretch of event time one incident may cover, in µs."""
        return round(self.group_hours * 3_600_000_000)

    @property
    def pause_us(self) -> int:
        """How long may come between what a rule tells again and again, in µs."""
        return self.group_us * 3 // 2

    @property
    def quiet_us(self) -> int:
        """How long nothing must have come before an alert closes, in µs."""
        return round(self.quiet_minutes * 60_000_000)
