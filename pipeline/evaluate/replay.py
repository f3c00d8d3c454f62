"""What a person would have been told: findings through the real router, with an allowance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from pipeline.routing import Config, Router

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.core.model import Message

DELIVERED = ("ticket", "page")


@dataclass(frozen=True)
class Told:
    """One delivered alert: its last row, when it was first sent as ticket or page (µs), and its findings in order.

    `said` has an item for each time it was sent so: when (µs), and how many of the findings it had then.
    """

    row: Mapping[str, Any]
    opened_us: int
    paged: bool
    findings: tuple[int, ...]  # rows of the frame given to `replay`
    said: tuple[tuple[int, int], ...]

    @property
    def about(self) -> tuple[str, str, str]:
        """What it is about: principal, or else secret, or else store; rules keep their cause apart."""
        row = self.row
        who = row["principal"] or row["secret"] or row["store"]
        kind = "principal" if row["principal"] else "secret" if row["secret"] else "store"
        return kind, who, row["cause"] if row["families"][0] in Config().exempt else ""


def replay(findings: pl.DataFrame, config: Config, per_day: float, until_us: int) -> list[Told]:
    """Every alert that was delivered at `per_day` alerts a day, in the order of opening.

    `findings` are FINDING rows of one run, `ready` set; times are those of the stream.
    """
    router = Router(msgspec.structs.replace(config, per_day=per_day))
    result = router.push(findings, until_us)
    place = {uid: i for i, uid in enumerate(findings["uid"].to_list())}
    ready = findings["ready"].to_physical().to_list()
    last = {row["uid"]: row for row in result.alerts.iter_rows(named=True)}
    said: dict[str, list[tuple[int, int]]] = {}
    paged: set[str] = set()
    for message, at in zip(result.messages, _moments(result.messages, place, ready), strict=True):
        if message.alert["route"] in DELIVERED and message.alert["state"] != "closed":
            said.setdefault(message.alert_uid, []).append((at, len(message.alert["finding_uids"])))
            if message.alert["route"] == "page":
                paged.add(message.alert_uid)
    found = [
        Told(last[uid], when[0][0], uid in paged, tuple(place[one] for one in last[uid]["finding_uids"]), tuple(when))
        for uid, when in said.items()
    ]
    return sorted(found, key=lambda one: (one.opened_us, one.row["uid"]))


def _moments(messages: Sequence[Message], place: Mapping[str, int], ready: Sequence[int]) -> list[int]:
    """When each was said: as its newest finding was ready. One without a new finding (another alert of the principal
    lends it weight) goes with the next that has one."""
    counts: dict[str, int] = {}
    own: list[int | None] = []
    for message in messages:
        findings = message.alert["finding_uids"]
        new = len(findings) > counts.get(message.alert_uid, 0)
        counts[message.alert_uid] = len(findings)
        own.append(ready[place[findings[-1]]] if new else None)
    moments: list[int] = []
    later = max(ready, default=0)
    for at in reversed(own):
        later = later if at is None else at
        moments.append(later)
    return moments[::-1]
