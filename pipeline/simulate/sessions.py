"""Tokens: who holds which, from when to when, and from where.

Services keep `slots` (pods or machines) that always hold one token, the next following the last; everybody else
opens a session for a job or a day's work. All are laid out before the first request, so any of them can be looked up
by time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.simulate import network
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import DAY, SECOND
from pipeline.simulate.streams import stream

if TYPE_CHECKING:
    from pipeline.simulate.estate import Estate
    from pipeline.simulate.scenario import Scenario

Ints = npt.NDArray[np.int64]
Rng = np.random.Generator
Table = npt.NDArray[np.void]

SESSION = np.dtype(
    [
        ("principal", "i4"), ("slot", "i4"), ("start", "i8"), ("end", "i8"), ("ttl", "i8"), ("ip", "u4"),
        ("home", "u4"),
        ("agent", "u2"), ("revoked", "?"), ("reads", "i4"), ("parent", "i8"),
    ]
)  # fmt: skip

# Life of a container, share by upper bound in seconds (Sysdig 2019 container report).
_LIVES = np.array((10, 60, 300, 600, 1800, 3600, 21600, 86400, 604800, 1209600, 2419200), float)
_SETTLED = 6  # first class of a service's pods: above an hour
_RESTLESS = 0.2  # share of the services whose pods live as shortly as jobs do
_SHARES = np.array((22, 17, 15, 9, 10, 4, 6, 3, 8, 4, 2), float) / 100


@dataclass(frozen=True)
class Shift:
    """From `at` on, slots of `principals` run elsewhere or with another client; `restart` gives each a new token."""

    principals: Ints
    at: int
    until: int
    restart: bool = True
    zone: int = -1  # /24, -1 leaves it
    agent: int = -1
    spread: int = 600 * SECOND

    @property
    def changes(self) -> bool:
        """Whether it does more than restart."""
        return self.zone >= 0 or self.agent >= 0


class Sessions:
    """The table of tokens. `slotted` rows come first, ordered by slot and time; later ones are appended."""

    def __init__(self, table: Table, slots: int, origin: int) -> None:
        self._rows, self._count = table, len(table)
        self._origin = origin
        first = np.flatnonzero(table["slot"] >= 0)
        self._key = self._place(table["slot"][first].astype(np.int64), table["start"][first])
        self.slots = slots
        self.fixed = len(table)
        self.policies: dict[int, tuple[str, ...]] = {}  # of tokens that do not have just their principal's

    @property
    def table(self) -> Table:
        """All tokens."""
        return self._rows[: self._count]

    @property
    def ordinary(self) -> Table:
        """Tokens whose requests the ordinary stream makes; those behind them belong to incidents."""
        return self.table[: self.fixed]

    def _place(self, slot: Ints, when: Ints) -> Ints:
        return slot * 2**43 + np.clip((when - self._origin) // 1_000_000, 0, 2**43 - 1)

    def at(self, slot: Ints, when: Ints) -> Ints:
        """The token each slot holds at that time (ns)."""
        return np.searchsorted(self._key, self._place(slot, when), side="right") - 1

    def policies_of(self, session: int, estate: Estate) -> tuple[str, ...]:
        """Of a token: its own where it was made with some, else its principal's."""
        return self.policies.get(session) or estate.policies[int(self.table["principal"][session])]

    def settle(self) -> None:
        """From here on, tokens are added by incidents only."""
        self.fixed = len(self.table)

    def add(self, fresh: Table) -> Ints:
        """Append sessions and say which numbers they have."""
        start, self._count = self._count, self._count + len(fresh)
        if self._count > len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros(self._count, SESSION)])
        self._rows[start : self._count] = fresh
        return np.arange(start, self._count)

    def of(self, principal: int) -> Ints:
        """All sessions of one principal, by start."""
        found = np.flatnonzero(self.table["principal"] == principal)
        return found[np.argsort(self.table["start"][found], kind="stable")]


def slot_owner(estate: Estate) -> tuple[Ints, Ints]:
    """First slot of each principal (one more at the end), and the principal of each slot."""
    counts = estate.principals["slots"].astype(np.int64)
    first = np.concatenate([[0], np.cumsum(counts)])
    return first, np.repeat(np.arange(len(counts)), counts)


def lives(rng: Rng, restless: npt.NDArray[np.bool_], alive: bool = False) -> Ints:
    """Lengths of pod lives in ns, for jobs and the like (`restless`) of any class, else of the longer ones only.

    `alive` draws those that a look at any moment finds: the longer, the likelier.
    """
    drawn = []
    for least in (0, _SETTLED):
        shares = np.where(np.arange(len(_LIVES)) >= least, _SHARES * (_LIVES if alive else 1), 0.0)
        pick = rng.choice(len(_LIVES), len(restless), p=shares / shares.sum())
        low = np.where(pick > 0, _LIVES[pick - 1], 2.0)
        drawn.append(((low + (_LIVES[pick] - low) * rng.random(len(restless))) * SECOND).astype(np.int64))
    return np.where(restless, drawn[0], drawn[1])


def lay_out(estate: Estate, scenario: Scenario, shifts: list[Shift]) -> Sessions:
    """Every token of the ordinary run, with what the confusers changed."""
    table = _restarted(estate, scenario, _slotted(estate, scenario), shifts)
    for shift in shifts:
        if shift.changes:
            _elsewhere(table, shift)
    first, _ = slot_owner(estate)
    return Sessions(table, int(first[-1]), scenario.start_ns - 2 * DAY)


def _slotted(estate: Estate, scenario: Scenario) -> Table:
    _, owner = slot_owner(estate)
    rng = stream(scenario.seed, "slots")
    people = estate.principals[owner]
    pod = people["role"] == Role.POD
    restless = people["phase"] < _RESTLESS
    cycle = people["max_ttl"] * SECOND
    start, end = _first(rng, people, scenario.start_ns, np.where(pod, lives(rng, restless, alive=True), cycle))
    machine_ip = network.hosts(rng, people["zone"])
    parts = [np.zeros(0, SESSION)]
    on = np.arange(len(owner))
    while len(on):
        ip = np.where(pod[on], _pod_ips(rng, people["cluster"][on], scenario.size.nodes), machine_ip[on])
        parts.append(_rows(on, people[on], start[on], end[on], ip))
        parts[-1]["principal"] = owner[on]
        gap = (rng.exponential(4.0, len(on)) * SECOND).astype(np.int64) + SECOND // 2
        start[on] = end[on] + np.where(pod[on], gap, 0)
        end[on] = start[on] + np.where(pod[on], lives(rng, restless[on]), cycle[on])
        on = on[start[on] < scenario.end_ns]
    table = np.concatenate(parts)
    table = table[table["start"] < estate.principals["gone"][table["principal"]]]
    table["end"] = np.minimum(table["end"], estate.principals["gone"][table["principal"]])
    ordered: Table = table[np.lexsort((table["start"], table["slot"]))]
    return ordered


def _first(rng: Rng, people: Table, begin: int, length: Ints) -> tuple[Ints, Ints]:
    """Start and end of what each slot holds when the run begins, or when its service is born."""
    under_way = begin - (length * rng.random(len(people))).astype(np.int64)
    start = np.where(people["born"] > begin - DAY, people["born"], under_way)
    return start, start + length


def _pod_ips(rng: Rng, cluster: Ints, nodes: int) -> Ints:
    return network.hosts(rng, network.pod_zones(rng, cluster, nodes))


def _rows(slot: Ints, people: Table, start: Ints, end: Ints, ip: Ints) -> Table:
    made = np.zeros(len(slot), SESSION)
    made["slot"], made["start"], made["end"], made["ip"], made["home"] = slot, start, end, ip, ip
    made["ttl"], made["agent"] = people["ttl"], people["agent"]
    made["reads"], made["parent"] = 6, -1
    return made


def _restarted(estate: Estate, scenario: Scenario, table: Table, shifts: list[Shift]) -> Table:
    """The table with tokens ended and followed where a shift restarts their slots: pods move, machines stay."""
    first, _ = slot_owner(estate)
    slots, times = [], []
    for number, shift in enumerate(shifts):
        if shift.restart:
            mine = np.concatenate([np.arange(first[p], first[p + 1]) for p in shift.principals.tolist()])
            slots.append(mine)
            drawn = stream(scenario.seed, "shift", number).random(len(mine))
            times.append(shift.at + (drawn * shift.spread).astype(np.int64))
    if not slots:
        return table
    slot, when = np.concatenate(slots), np.concatenate(times)
    held = Sessions(table, len(first), scenario.start_ns - 2 * DAY).at(slot, when)
    within = (table["start"][held] + 2 * SECOND < when) & (when + 2 * SECOND < table["end"][held])
    fresh = table[held[within]]
    fresh["start"] = when[within] + SECOND
    fresh["ip"] = _moved(stream(scenario.seed, "moved"), fresh["home"].astype(np.int64), scenario.size.nodes)
    both = np.concatenate([table, fresh])
    both = both[np.lexsort((both["start"], both["slot"]))]
    same = both["slot"][1:] == both["slot"][:-1]
    both["end"][:-1] = np.where(same, np.minimum(both["end"][:-1], both["start"][1:]), both["end"][:-1])
    return both


def _moved(rng: Rng, home: Ints, nodes: int) -> Ints:
    """Another node of the same cluster for pods; machines keep their address."""
    node = rng.integers(0, nodes, len(home)) << 8
    return np.where(home >= network.PODS, (home & 0xFFFF0000) + node + rng.integers(2, 250, len(home)), home)


def _elsewhere(table: Table, shift: Shift) -> None:
    """Move or upgrade, in place, the slots that start anew while the shift lasts."""
    later = np.isin(table["principal"], shift.principals) & (table["slot"] >= 0)
    later &= (table["start"] >= shift.at) & (table["start"] < shift.until)
    if shift.zone >= 0:  # as many /24s as a site needs
        rack = (table["slot"][later].astype(np.int64) % 16) << 8
        table["ip"][later] = shift.zone + rack + (table["ip"][later] & 255)
    if shift.agent >= 0:
        table["agent"][later] = shift.agent


def blank(count: int, principal: Ints | int, start: Ints | int, length: Ints | int) -> Table:
    """Sessions outside any slot, with lengths in ns."""
    made = np.zeros(count, SESSION)
    made["principal"], made["start"], made["slot"], made["parent"] = principal, start, -1, -1
    made["end"] = made["start"] + length
    return made
