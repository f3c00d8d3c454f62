"""The Kafka client leaves sockets to the garbage collector: have that happen where it is known, not in another test."""

from __future__ import annotations

import gc
import warnings


def collect() -> None:
    """Collect what nobody holds any more, without a word about unclosed sockets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
