"""What an earlier verification saw, kept outside the bucket: whoever takes a whole chain away is found out by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.core.errors import ConfigError
from pipeline.integrity.cloudtrail.names import Chain, micros, rfc3339

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.integrity.cloudtrail.digest import Digest


class Head(msgspec.Struct, frozen=True):
    """A chain's newest sound digest. `end` is RFC 3339, `sha256` that of its inflated contents."""

    account: str
    region: str
    trail: str
    home: str
    backfill: bool
    bucket: str
    key: str
    end: str
    sha256: str

    @property
    def chain(self) -> Chain:
        """Which chain it was the head of."""
        return Chain(self.account, self.region, self.trail, self.home, self.backfill)

    @property
    def end_us(self) -> int:
        """When it ended; 0 when `end` is no time."""
        return micros(self.end) or 0


def head_of(chain: Chain, digest: Digest) -> Head:
    """The head a digest makes."""
    return Head(
        chain.account, chain.region, chain.trail, chain.home, chain.backfill,
        digest.bucket, digest.key, rfc3339(digest.end), digest.sha256,
    )  # fmt: skip


def read_heads(path: Path) -> tuple[Head, ...]:
    """Heads as `write_heads` left them; none when there is no such file. Raises ConfigError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"cannot read the chains seen before in {path}: {type(error).__name__}") from None
    try:
        return tuple(msgspec.json.decode(data, type=list[Head]))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} holds no chains seen before: {error}") from None


def write_heads(path: Path, heads: tuple[Head, ...]) -> None:
    """Replaces the file as one step. Raises ConfigError."""
    try:
        beside = path.with_name(path.name + ".new")
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(heads)) + b"\n")
        beside.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write the chains seen to {path}: {type(error).__name__}") from None
