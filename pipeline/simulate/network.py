"""Where requests come from. Addresses are 32-bit whole numbers; a zone is a /24, as in the detectors.

Ranges: 10.64.0.0/12 pods by node, 10.16.0.0/12 machines by team, 10.8.0.0/16 VPN, 10.40.0.0/16 build runners, and
198.18.0.0/15 (set aside for tests by RFC 2544) for everything outside: homes, hosted runners, partners.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rng = np.random.Generator
Ints = npt.NDArray[np.int64]


def _net(a: int, b: int, c: int = 0) -> int:
    return (a << 24) + (b << 16) + (c << 8)


PODS, MACHINES, VPN, RUNNERS, OUTSIDE = _net(10, 64), _net(10, 16), _net(10, 8), _net(10, 40), _net(198, 18)


def hosts(rng: Rng, zones: Ints) -> Ints:
    """One address in each zone."""
    return zones + rng.integers(2, 250, len(zones))


def pod_zones(rng: Rng, cluster: Ints, nodes: int) -> Ints:
    """The node each pod of these clusters lands on."""
    node = rng.integers(0, nodes, len(cluster))
    return PODS + (((cluster * 256) + node) << 8)


def outside_zones(rng: Rng, count: int) -> Ints:
    """Networks that are nobody's here: skewed, since people and hosters share providers."""
    skewed = np.minimum((rng.pareto(0.6, count) * 6).astype(np.int64), 511)
    return OUTSIDE + (skewed << 8)


def dotted(addresses: npt.NDArray[np.uint32]) -> list[str]:
    """The usual text form. For distinct addresses, not for every row."""
    return [f"{a >> 24}.{a >> 16 & 255}.{a >> 8 & 255}.{a & 255}" for a in addresses.tolist()]


def zones(addresses: npt.NDArray[np.uint32]) -> list[str]:
    """The /24 of each, as text."""
    return [f"{a >> 24}.{a >> 16 & 255}.{a >> 8 & 255}.0/24" for a in addresses.tolist()]
