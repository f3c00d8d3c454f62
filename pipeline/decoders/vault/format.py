"""The format as its decoder needs it: see `_format.Format`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.decoders._format import Clean, Signs
from pipeline.decoders.vault.columns import MOMENT, Columns
from pipeline.decoders.vault.entry import is_entry, row
from pipeline.decoders.vault.fields import FIELDS
from pipeline.decoders.vault.guard import Headers, in_text, suspicious
from pipeline.decoders.vault.redact import clean_row, redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

# An entry of the usual shape, with a time that could be read.
_PLAINLY: Final = pl.col("request") & pl.col("type").is_not_null() & pl.col("moment").is_not_null()

SIGNS: Final = Signs(
    ("time", "type", "auth", "request", "response", "error", "forwarded"),
    ("time", "auth"),
    r'hmac-sha256:[0-9a-f]|"(?:request|auth|client_token|remote_address|mount_type)":|"type":"re',
)


class VaultFormat:
    """Audit entries of HashiCorp Vault and OpenBao, all versions."""

    name = "vault"
    fields = FIELDS
    marks = ("request", "auth", "response")
    signs = SIGNS
    documents = False
    hint = r'"request"'

    def __init__(self, *, canary_header: str, headers: Sequence[str], threads: int) -> None:
        self.threads = threads
        canary = canary_header.lower()
        self._plain = frozenset(name.lower() for name in (*headers, "user-agent", canary))
        self._headers = Headers(sorted(self._plain), ("user-agent", canary))
        self._columns = Columns(canary_header)

    def timed(self, raw: pl.DataFrame) -> pl.DataFrame:
        """See Format."""
        return raw.with_columns(moment=MOMENT)

    def scanned(self, lines: pl.Series) -> pl.DataFrame:
        """See Format."""
        return in_text(lines)

    def believed(self, raw: pl.DataFrame, scanned: pl.DataFrame) -> pl.Series:
        """See Format."""
        odd = suspicious(scanned, raw, self._headers)
        return (~odd & raw.select(_PLAINLY).to_series()).fill_null(value=False)

    def found(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """See Format."""
        return body if is_entry(body) else None

    def row(self, body: dict[str, Any]) -> dict[str, Any]:
        """See Format."""
        return row(body)

    def clean(self, body: dict[str, Any], row: dict[str, Any]) -> Clean:
        """See Format."""
        kept = redacted(body, self._plain)
        return Clean(row, None, shown=False) if kept == body else Clean(clean_row(row), kept, shown=True)

    def columns(self, raw: pl.DataFrame, shown: pl.Series) -> pl.DataFrame:
        """See Format."""
        return self._columns.of(raw, shown)
