"""Records that a source holds back from the decoder, as rejected pieces among the decoded ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pipeline.core.model import Pieces

if TYPE_CHECKING:
    from pipeline.core.model import Decoded, RawBatch


def with_refused(raw: RawBatch, decoded: Decoded) -> Decoded:
    """`decoded` with an empty piece for each refused record consumed, where it stands; its reason is the source's.

    The decoder must have made no piece of these records: they are empty or blank.
    """
    rows = [row for row in sorted(raw.refused) if row < decoded.consumed]
    if not rows:
        return decoded
    pieces = decoded.pieces
    at = np.searchsorted(pieces.starts, raw.starts[rows], side="left")
    new = at + np.arange(len(rows))  # where they come to stand
    kept = np.delete(np.arange(len(pieces.starts) + len(rows)), new)
    number = pl.Series(kept, dtype=pl.UInt32)
    refused = pl.DataFrame(
        {"piece": new, "reason": [raw.refused[row] for row in rows]}, schema={"piece": pl.UInt32, "reason": pl.String}
    )
    rejected = decoded.rejected.with_columns(number.gather(decoded.rejected["piece"]).alias("piece"))
    return replace(
        decoded,
        pieces=Pieces(
            np.insert(pieces.starts, at, raw.starts[rows]),
            np.insert(pieces.ends, at, raw.starts[rows]),
            np.insert(pieces.positions, at, raw.positions[rows]),
        ),
        events=decoded.events.with_columns(number.gather(decoded.events["piece"]).alias("piece")),
        rejected=pl.concat([rejected.select("piece", "reason"), refused]).sort("piece"),
        replaced={int(kept[piece]): text for piece, text in decoded.replaced.items()},
        brackets=[int(kept[piece]) for piece in decoded.brackets],
    )
