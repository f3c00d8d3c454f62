"""The client's own records as a chunk: the slower way, which the faster one is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.sources.kafka.chunk import Chunk, chunk_of


def chunk_of_records(records: Sequence[Any]) -> Chunk:
    """Records of one partition, at least one. Nothing is known here of what lies between them."""
    offsets = np.array([record.offset for record in records], np.int64)
    values = [record.value for record in records]
    return chunk_of(values, offsets, int(offsets[-1]) + 1, (), records[-1].leader_epoch)
