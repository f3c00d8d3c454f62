"""What can be set about the lake."""

from __future__ import annotations

from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Level = Annotated[int, msgspec.Meta(ge=1, le=22)]


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[store]` table. Every default suits one machine that reads a few hundred million entries a month."""

    retention_days: Annotated[int, msgspec.Meta(ge=1)] | None = None  # of event time; None keeps everything
    compact_rows: Positive = 1_000_000  # rows of a full file
    compact_files: Annotated[int, msgspec.Meta(ge=2)] = 32  # small files a table may have before they are merged
    fold_files: Annotated[int, msgspec.Meta(ge=1)] = 16  # revision files a table may have before they are folded in
    group_rows: Positive = 20_000  # rows of a Parquet row group, at least, where a commit has so many
    group_bytes: Positive = 64 << 20  # memory at which a row group is written all the same
    file_bytes: Positive = 512 << 20  # memory size of the rows after which a new file is begun
    queue_frames: Positive = 8  # frames waiting for the writing thread before `write` waits
    publish_seconds: Seconds = 2.0  # between two audit.duckdb; 0 publishes within each commit
    keep_removed_seconds: Seconds = 3600.0  # a published file that was replaced stays that long for its readers
    keep_unpublished_seconds: Seconds = 60.0  # one that no audit.duckdb ever named
    raw_level: Level = 1  # zstd, for raw entries
    level: Level = 1  # zstd, for all other tables and for states
    busy_seconds: Seconds = 30.0  # how long another worker's commit is waited for

    @property
    def small_rows(self) -> int:
        """A file with fewer rows, and fewer bytes than `small_bytes`, is one to merge."""
        return max(2, self.compact_rows // 16)

    @property
    def small_bytes(self) -> int:
        """See `small_rows`."""
        return max(2, self.file_bytes // 16)
