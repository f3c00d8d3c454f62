"""Files and folders, compressed ones too, read once or followed. See README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec

from pipeline.sources.fault import Fault
from pipeline.sources.file_tail.source import FileTail

if TYPE_CHECKING:
    from pipeline.core.clock import Clock
    from pipeline.core.model import Position

__all__ = ["Config", "Fault", "FileTail", "create"]

_Positive = Annotated[float, msgspec.Meta(gt=0)]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[sources.file_tail]`. Every default makes sense."""

    max_record_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 16 << 20  # longer lines are streamed past
    block_bytes: Annotated[int, msgspec.Meta(ge=1024)] | None = None  # default: 256 MiB shared out, 1 to 32 MiB each
    exclude: tuple[str, ...] = ()  # file names in folders, as shell patterns
    poll_seconds: _Positive = 0.1  # how often a followed file is looked at
    rescan_seconds: _Positive = 2.0  # how often followed folders are searched for new files
    settle_seconds: _Positive = 5.0  # how long a rotated file's unterminated end may still be completed


def create(
    config: Config,
    paths: Sequence[str],
    positions: Mapping[tuple[str, str], Position],
    *,
    follow: bool,
    clock: Clock,
) -> FileTail:
    """A source over `paths`, each a file or a folder, going on from `positions` (keyed by stream and partition).

    Raises NoInputError when a path does not exist or there is nothing to read (one that follows waits), SourceError
    when a position's state is of another make.
    """
    return FileTail(config, paths, positions, clock, follow=follow)
