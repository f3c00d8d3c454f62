"""Randomness by name: every concern draws from its own substream, so that adding one never moves another."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """The generator of one concern: the same for the same seed and names, whatever else has been drawn."""
    words = [n if isinstance(n, int) else zlib.crc32(n.encode()) for n in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))
