"""From raw records to DECODED rows: one folder per audit format, and the folder's name is the config's `kind`.

A folder has `Config`, `format_of(config)` (see `_format.Format`) and `create(config)`, a decoder of that format alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.decoders._decoder import PieceDecoder
from pipeline.decoders._format import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.ports import Decoder

__all__ = ["Format", "together"]


def together(formats: Sequence[Format]) -> Decoder:
    """A decoder that takes each entry for what it is, for one thread.

    Those that come one by one are asked first, then those that come in documents, each kind in the order of names.
    """
    return PieceDecoder(sorted(formats, key=lambda one: (one.documents, one.name)))
