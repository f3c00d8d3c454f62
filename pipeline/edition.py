"""Which form the states of a commit have: a keytrail that is older than whoever wrote them must not guess at them.

A newer one goes on from older states; what it does not find in them is as if nothing were remembered of it yet. One
that is older refuses: the lake stays as it is, and the newer one goes on from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.model import Frames

PART: Final = "edition"
EDITION: Final = 21  # one more whenever a frame or a column of any state is added, changed or dropped
_FRAME: Final = "written"


def written() -> Frames:
    """What goes with every commit."""
    return {_FRAME: pl.DataFrame({"edition": [EDITION]}, schema={"edition": pl.Int64()})}


def of(states: Mapping[str, Frames]) -> int:
    """The edition of states; 0 for those from before there were editions, and for none."""
    frame = states.get(PART, {}).get(_FRAME)
    return 0 if frame is None else int(frame["edition"][0])


def check(states: Mapping[str, Frames], place: str) -> None:
    """Raises StoreError for states that a newer keytrail wrote."""
    if (found := of(states)) > EDITION:
        raise StoreError(
            f"{place} was written by a newer keytrail (states of edition {found}, this one knows {EDITION}): "
            "go on with that one, or a later one"
        )
