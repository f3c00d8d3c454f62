"""Standard input. See README.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import msgspec

from pipeline.sources.fault import Fault
from pipeline.sources.stdin.source import Stdin

if TYPE_CHECKING:
    from pipeline.core.clock import Clock
    from pipeline.core.model import Position

__all__ = ["Config", "Fault", "Stdin", "create"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[sources.stdin]`."""

    max_record_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 16 << 20  # longer lines are streamed past
    linger_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.2  # how long a batch that has begun waits for more


def create(
    config: Config,
    positions: Mapping[tuple[str, str], Position],
    *,
    follow: bool,
    clock: Clock,
    stream: str = "-",
    fd: int = 0,
) -> Stdin:
    """A source over a pipe, going on from `positions`. It ends when the writer closes the pipe, `follow` or not.

    Raises SourceError when a position's state is of another make.
    """
    del follow  # a pipe that is closed cannot bring more
    return Stdin(config, positions, clock, stream, fd)
