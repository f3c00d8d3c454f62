"""Stretches of time for which something vouches for a stream: what coverage rests on beside devices compared."""

from __future__ import annotations

from typing import Final

import polars as pl

# kind: canaries (every number came) or counters (the store's own count matched). Times in µs. A span that grows keeps
# its source, kind and start.
SPAN: Final = pl.Schema(
    {"source": pl.String(), "kind": pl.String(), "start": pl.Int64(), "end": pl.Int64(), "note": pl.String()}
)
