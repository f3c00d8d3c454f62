"""The format as its decoder needs it: what `_object` gives, and the events that AKS records hold beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pipeline.decoders._expressions import moment
from pipeline.decoders._object import Described, ObjectFormat
from pipeline.decoders.azure.columns import Columns
from pipeline.decoders.azure.entry import AS_TEXT, IS_CLUSTER, PLAIN, SIGNS, found, is_cluster
from pipeline.decoders.azure.event import PREFIX, Events
from pipeline.decoders.azure.fields import EXACT, FIELDS
from pipeline.decoders.azure.redact import SUSPECTS, redacted

if TYPE_CHECKING:
    from pipeline.decoders.azure.entry import Body


class AzureFormat(ObjectFormat):
    """Records of Key Vault, Managed HSM, the Activity Log and AKS. The time of an AKS record is that of its event."""

    def __init__(self) -> None:
        self._events = Events()
        self._vaults = Columns()
        told = Described(
            name="azure",
            fields=FIELDS,
            marks=("operationName",),
            hint=r'"operationName"',
            times=("time",),
            found=self._found,
            plain=PLAIN,
            clean=self._cleaned,
            suspects=f"{AS_TEXT}|{SUSPECTS}",
            columns=self._decoded,
            signs=SIGNS,
            nullable=("in:identity",),
        )
        super().__init__(told)

    def timed(self, raw: pl.DataFrame) -> pl.DataFrame:
        """See Format: with the events' RAW columns, null where there is none."""
        raw = raw.with_columns(stamped=moment(pl.col("time")).is_not_null())
        rows = raw.select(IS_CLUSTER.arg_true()).to_series().to_numpy()
        read = self._events.raw(raw["properties_log"][rows], raw["exact"][rows])
        places = np.zeros(len(raw), np.int64)
        places[rows] = np.arange(1, len(rows) + 1)
        timed = super().timed(raw).hstack(pl.concat([read.clear(1), read])[places])
        return timed.with_columns(moment=pl.coalesce(f"{PREFIX}moment", "moment"))

    def _found(self, body: Body) -> Body | None:
        record = found(body)
        if record is None or not is_cluster(record):
            return record
        return None if self._events.row(record) is None else {**record, EXACT: True}

    def _cleaned(self, body: Body) -> tuple[Body, bool]:
        if is_cluster(body):
            return self._events.cleaned(body)
        kept = redacted(body)
        return (body, False) if kept == body else (kept, True)

    def _decoded(self, raw: pl.DataFrame) -> pl.DataFrame:
        clusters = raw.select(IS_CLUSTER).to_series()
        if not clusters.any():
            return self._vaults.of(raw)
        if clusters.all():
            return self._events.columns(raw)
        apart = pl.concat([self._vaults.of(raw.filter(~clusters)), self._events.columns(raw.filter(clusters))])
        order = pl.concat([(~clusters).arg_true(), clusters.arg_true()])
        return apart[order.arg_sort()]
