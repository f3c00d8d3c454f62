"""The Kubernetes events inside AKS records: lines in a field of a line, read as the format `kubernetes` reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np
import polars as pl

from pipeline.core import plugins
from pipeline.core.schema import DECODED, conform
from pipeline.decoders._exact import RefusedError, dumps
from pipeline.decoders._fields import raw_schema
from pipeline.decoders._table import Table
from pipeline.decoders._tokens import mask
from pipeline.decoders.azure.entry import log_of, opened

if TYPE_CHECKING:
    from pipeline.core.model import Bytes
    from pipeline.decoders._format import Format
    from pipeline.decoders.azure.entry import Body

PREFIX: Final = "event:"
_FILLER: Final = "1"  # a JSON text that is no object: a row of nulls
_NAME: Final = r"(?i)/managedclusters/([^/]+)"


class Events:
    """Reads events. One instance serves one thread."""

    def __init__(self) -> None:
        kubernetes = plugins.load("pipeline.decoders", "kubernetes")
        self._format: Format = kubernetes.format_of(kubernetes.Config())
        self._schema = raw_schema(self._format.fields)
        self._table: Table | None = None  # made when there is a first event

    def row(self, record: Body) -> Body | None:
        """The RAW row of the event in a record, None where there is none. Raises RefusedError."""
        log = _event_of(record)
        event = None if log is None else self._format.found(log)
        return None if event is None else self._format.row(event)

    def cleaned(self, record: Body) -> tuple[Body, bool]:
        """The record without what its event must not show, the same where there is nothing, and whether it did."""
        log, row = _event_of(record), self.row(record)
        if log is None or row is None:
            return record, False
        clean = self._format.clean(log, row)
        if clean.body is None:
            return record, False
        properties, text = opened(record["properties"]), dumps(clean.body)
        written = isinstance(properties["log"], str) and mask(text) == text  # in a text, what is masked may break it
        return {**record, "properties": {**properties, "log": text if written else clean.body}}, clean.shown

    def raw(self, logs: pl.Series, exact: pl.Series) -> pl.DataFrame:
        """RAW rows of the events written in `logs`, with their `moment`, and `known`: the quick parser is sure of it.

        Where it is not, events of `exact` rows are read by the exact one; of others nothing is told.
        """
        lines = logs.to_frame("line").select(_line()).to_series()
        raw = self._format.timed(self._read(lines))
        known = self._format.believed(raw, self._format.scanned(lines))
        rows = np.flatnonzero((~known & exact.fill_null(value=False)).to_numpy())
        if len(rows):
            made = [self._exact(logs[row]) or {} for row in rows.tolist()]
            read = self._format.timed(pl.DataFrame(made, schema=self._schema))
            places = np.arange(len(raw))
            places[rows] = len(raw) + np.arange(len(rows))
            raw = pl.concat([raw, read])[places]
        return raw.select(pl.all().name.prefix(PREFIX)).with_columns(known.alias(f"{PREFIX}known"))

    def columns(self, raw: pl.DataFrame) -> pl.DataFrame:
        """DECODED rows of records, whose RAW rows have those of their events beside them, `moment` and `shown`."""
        inner = raw.select(pl.col(f"{PREFIX}{name}").alias(name) for name in self._schema).with_columns(raw["moment"])
        made = conform(self._format.columns(inner, raw["shown"]), DECODED)
        cluster = raw["resourceId"].str.extract(_NAME).str.to_lowercase()
        return made.with_columns(cluster.alias("cluster"))

    def _exact(self, log: str | None) -> Body | None:
        """The same from a log alone; None for one that is refused, which is so where a record only says it is exact."""
        try:
            return self.row({"properties": {"log": log}})
        except RefusedError:
            return None

    def _read(self, lines: pl.Series) -> pl.DataFrame:
        if lines.is_empty():
            return pl.DataFrame(schema=self._schema)
        self._table = self._table or Table(self._format.fields, 1)
        try:
            raw = self._table.read([_bytes(lines)])
        except duckdb.Error:
            raw = None
        return (
            raw if raw is not None and len(raw) == len(lines) else pl.DataFrame(schema=self._schema).clear(len(lines))
        )


def _event_of(record: Body) -> Body | None:
    """The object in a record's log. An event has no category; with one it might be taken for another record of AKS."""
    log = log_of(record)
    return log if log is None or "category" not in log else {name: log[name] for name in log if name != "category"}


def _line() -> pl.Expr:
    """An event as one line. What has line ends inside is left to the exact parser: they may stand where none may."""
    text = pl.col("line").fill_null("").str.strip_chars(" \t\r\n")
    whole = text.str.starts_with("{") & text.str.ends_with("}") & ~text.str.contains(r"[\r\n\x00]")
    return pl.when(whole).then(text).otherwise(pl.lit(_FILLER)).alias("line")


def _bytes(lines: pl.Series) -> Bytes:
    """All lines, each ended by LF, without making an object of any."""
    ended = (lines + "\n").rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = ended.buffers()
    at = np.frombuffer(offsets, np.int64)[ended.offset : ended.offset + len(ended) + 1]
    return np.frombuffer(data, np.uint8)[at[0] : at[-1]]
