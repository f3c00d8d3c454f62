"""What has been found, on its way to alerts: each finding once, and what is to be said of it with the next commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from pipeline.core.model import Message
    from pipeline.parts import Parts
    from pipeline.totals import Totals

REMEMBERED_FINDINGS: Final = 50_000


class Told:
    """Remembers the last findings, and gathers the messages that wait for a commit."""

    def __init__(self, parts: Parts, totals: Totals) -> None:
        self._parts, self._totals = parts, totals
        self._uids: dict[str, None] = {}  # of the last findings, oldest first: none is written twice
        self._messages: list[Message] = []

    def route(self, findings: pl.DataFrame, watermark: int, *, hold: bool) -> pl.DataFrame:
        """Write the findings that are new and let the router fold them; ALERT rows that it made or changed."""
        fresh = self._untold(findings)
        self._parts.lake.write("findings", fresh)
        result = self._parts.router.push(fresh, watermark, hold=hold)
        alerts: pl.DataFrame = result.alerts
        self._messages.extend(result.messages)
        self._totals.told(alerts)
        return alerts

    def take(self) -> tuple[Message, ...]:
        """The messages since this was asked last."""
        messages, self._messages = self._messages, []
        return tuple(messages)

    def snapshot(self) -> pl.DataFrame:
        """The uids remembered."""
        return pl.DataFrame({"uid": list(self._uids)}, schema={"uid": pl.String})

    def restore(self, frame: pl.DataFrame) -> None:
        """Continue with those."""
        self._uids = dict.fromkeys(frame["uid"])

    def _untold(self, findings: pl.DataFrame) -> pl.DataFrame:
        """Those not written before: a place that grew, or a window judged again, is the same finding."""
        fresh = findings.unique("uid", keep="first", maintain_order=True)
        fresh = fresh.filter(pl.Series([uid not in self._uids for uid in fresh["uid"]], dtype=pl.Boolean))
        self._uids.update(dict.fromkeys(fresh["uid"]))
        for uid in list(self._uids)[: max(0, len(self._uids) - REMEMBERED_FINDINGS)]:
            del self._uids[uid]
        return fresh
