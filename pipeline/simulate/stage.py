"""Where an incident is acted out: it draws from its own substream and uses the same tokens, addresses, clients and
delays as everybody else, so that only its behaviour is different.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from pipeline.simulate import names, network
from pipeline.simulate.actions import Action, Outcome
from pipeline.simulate.calendar import weekday
from pipeline.simulate.estate import Estate, Role
from pipeline.simulate.rows import Rows, by_time, finish, rows
from pipeline.simulate.scenario import DAY, HOUR, SECOND
from pipeline.simulate.sessions import blank, slot_owner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.simulate.traffic import World

Ints = npt.NDArray[np.int64]


class Incident(msgspec.Struct, frozen=True, rename={"begin": "from", "end": "to"}):
    """One label: what was staged, by whom, on what, when, and the request ids that belong to it."""

    id: str
    attack: str
    difficulty: str
    principal: str
    secrets: tuple[str, ...]
    begin: str  # RFC 3339, UTC
    end: str
    correlation_uids: tuple[str, ...] = ()


MILLISECOND = 1_000_000
CUT_DELAY = 1_200_000  # ns between a request that stops or starts a device and the device doing so


@dataclass(frozen=True)
class Cut:
    """What a device does not tell: its lines with a time in [start, end). `renewed`: it came back with another salt."""

    device: int
    start: int
    end: int
    renewed: bool = False

    @property
    def request(self) -> int:
        """When the request was made that ends it: its line is not told, its answer is."""
        return self.end - CUT_DELAY


@dataclass
class Stage:
    """The hands of one incident. Times are ns since 1970."""

    world: World
    rng: np.random.Generator
    number: int
    name: str
    difficulty: str
    low: int  # it may begin from here on
    high: int  # and must be over by then
    at: int | None = None  # where it was asked to begin
    parts: list[Rows] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)

    @property
    def estate(self) -> Estate:
        """Who and what there is."""
        return self.world.estate

    def moment(self, length: int, hours: tuple[float, float] = (0, 24), workday: bool = False) -> int:
        """A time to begin something of that length, within these hours of day."""
        if self.at is not None:
            return self.at + self.soon(30)
        for _ in range(500):
            at = int(self.rng.integers(self.low, max(self.low + 1, self.high - length)))
            if hours[0] <= (at % DAY) / HOUR < hours[1] and not (workday and weekday(at) > 4):
                return at
        return max(self.low, self.high - length)

    def someone(self, *roles: Role, where: npt.NDArray[np.bool_] | None = None) -> int:
        """Any principal of these roles that is around, and for which `where` (a mask over all) holds.

        Where there is none of these roles, one that runs timed jobs: every estate has those.
        """
        table = self.estate.principals
        fits = np.isin(table["role"], roles) & (table["gone"] > self.high) & (table["born"] <= self.low)
        found = np.flatnonzero(fits if where is None else fits & where)
        if len(found) == 0:
            found = np.flatnonzero(np.isin(table["role"], roles))
        if len(found) == 0:
            found = self.estate.of_role(Role.CRON)
        return int(self.rng.choice(found))

    def token(self, principal: int, at: int, length: int = 0) -> int:
        """A token the principal holds at that time, if possible for that long; a new log-in when there is none."""
        first, _ = slot_owner(self.estate)
        slots = np.arange(first[principal], first[principal + 1])
        table = self.world.sessions.table
        held = self.world.sessions.at(slots, np.full(len(slots), at)) if len(slots) else self._open_at(principal, at)
        held = held[(table["start"][held] < at) & (table["end"][held] > at)]
        lasting = held[table["end"][held] > at + length]
        choice = lasting if len(lasting) else held
        return int(self.rng.choice(choice)) if len(choice) else self.open(principal, at - self.soon(2))

    def _open_at(self, principal: int, at: int) -> Ints:
        mine = self.world.sessions.of(principal)
        return mine[(mine < self.world.sessions.fixed) & (self.world.sessions.table["start"][mine] < at)]

    def open(self, principal: int, at: int, ip: int = -1, agent: int = -1, length: int = 8 * HOUR) -> int:
        """Log in: a new token, and the request that gave it."""
        row = self.estate.principals[principal]
        fresh = blank(1, principal, at, length)
        fresh["ttl"] = row["ttl"]
        fresh["ip"] = self.address(principal) if ip < 0 else ip
        fresh["agent"] = row["agent"] if agent < 0 else agent
        token = int(self.world.sessions.add(fresh)[0])
        user = self.estate.mounts[int(row["mount"])].type == "userpass"
        action = Action.LOGIN_USER if user else Action.LOGIN
        self.parts.append(
            rows(
                1,
                t=at,
                action=action,
                principal=principal,
                issued=token,
                object=row["login"],
                ip=fresh["ip"],
                agent=fresh["agent"],
            )
        )
        return token

    def mint(
        self, kind: str, at: int, policies: tuple[str, ...], *, ttl: int, place: tuple[int, int], parent: int = -1
    ) -> int:
        """A token that no log-in gave: `kind` is the principal it is known by (root, token, wrapping).

        `ttl` is in seconds, `place` the address and client it will be used with.
        """
        principal = self.estate.names.index(kind)
        fresh = blank(1, principal, at, max(ttl, 3600) * SECOND)
        fresh["ttl"], (fresh["ip"], fresh["agent"]), fresh["parent"] = ttl, place, parent
        token = int(self.world.sessions.add(fresh)[0])
        self.world.sessions.policies[token] = policies
        return token

    def system(self, name: str = "") -> int:
        """The object of a system path."""
        return self.estate.intern("sys/", name)

    @property
    def itself(self) -> int:
        """The object of what a token asks about itself."""
        return self.estate.intern("auth/token/", "")

    def held(self, token: int) -> tuple[int, int]:
        """Address and client of a token."""
        row = self.world.sessions.table[token]
        return int(row["ip"]), int(row["agent"])

    def address(self, principal: int) -> int:
        """One from where this principal usually comes."""
        row = self.estate.principals[principal]
        zone = np.array([row["zone"]])
        if int(zone[0]) == 0:
            zone = network.pod_zones(self.rng, np.array([int(row["cluster"])]), self.world.scenario.size.nodes)
        return int(network.hosts(self.rng, zone)[0])

    def outside(self) -> int:
        """An address of a network that is not ours; people and hosted runners use such ones too."""
        return int(network.hosts(self.rng, network.outside_zones(self.rng, 1))[0])

    def agent(self, group: str) -> int:
        """A client that this group of principals uses."""
        return names.agent(self.rng, group)

    def act(
        self,
        token: int,
        when: Ints | int,
        action: Action,
        what: Sequence[int] | Ints | int,
        *,
        outcome: npt.NDArray[np.uint8] | Outcome = Outcome.OK,
        ip: int = -1,
        agent: int = -1,
        issued: int = -1,
    ) -> None:
        """Ask with a token: one row for each time."""
        held = self.world.sessions.table[token]
        times = np.atleast_1d(np.asarray(when, dtype=np.int64))
        made = rows(
            len(times), t=times, action=action, principal=held["principal"], session=token, object=what,
            outcome=outcome, issued=issued, ip=held["ip"] if ip < 0 else ip,
            agent=held["agent"] if agent < 0 else agent,
        )  # fmt: skip
        self.parts.append(made)

    def soon(self, seconds: float) -> int:
        """About that long, in ns: a third more or less."""
        return int(self.rng.uniform(0.67, 1.33) * seconds * SECOND)

    def spread(self, start: int, length: int, count: int) -> Ints:
        """`count` times within a stretch, in order, unevenly spaced as requests are."""
        return np.sort(start + (self.rng.random(count) * length).astype(np.int64))

    def foreign(self, principal: int, count: int, env: int | None = 0) -> Ints:
        """Distinct secrets that the principal does not use, of other teams, in this environment."""
        mine = set(self.estate.edge_object[self.estate.edges(principal)].tolist())
        team = int(self.estate.principals["team"][principal])
        pool = [
            i
            for i in self.estate.secrets.tolist()
            if self.estate.object_team[i] not in (-1, team)
            and (env is None or self.estate.object_env[i] == env)
            and i not in mine
        ]
        return self.rng.choice(np.array(pool), min(count, len(pool)), replace=False)

    def own(self, principal: int) -> Ints:
        """KV secrets the principal is used to reading."""
        edges = self.estate.edges(principal)
        return np.unique(self.estate.edge_object[edges][self.estate.edge_action[edges] == Action.READ])

    def outcomes(self, count: int, share: float) -> npt.NDArray[np.uint8]:
        """About this share refused, the rest answered."""
        refused = self.rng.random(count) < share
        return np.where(refused, Outcome.DENIED, Outcome.OK).astype(np.uint8)

    def finished(self) -> Rows:
        """Everything acted, by time, completed by the same laws as any other request."""
        made = by_time(self.parts)
        reads = np.isin(made["action"], (Action.READ, Action.WRITE))
        made["version"][reads] = self.world.versions.at(made["object"][reads].astype(np.int64), made["t"][reads])
        made["version"] += np.isin(made["action"], (Action.WRITE, Action.DESTROY))
        finish(made, self.rng)
        made["incident"] = self.number
        return by_time([made])


def whole(ns: int) -> int:
    """The millisecond it lies in: `finish` decides what is below."""
    return ns - ns % MILLISECOND


def label(stage: Stage, made: Rows, principal: int, secrets: Ints) -> Incident:
    """The incident's line in the labels."""
    inside = made if len(made) else rows(1, t=stage.low)
    return Incident(
        id=f"{stage.name}-{stage.number}",
        attack=stage.name,
        difficulty=stage.difficulty,
        principal=stage.estate.names[principal],
        secrets=tuple(sorted({stage.estate.secret(int(i)) for i in np.unique(secrets).tolist()} - {""})),
        begin=moment_text(int(inside["t"].min())),
        end=moment_text(int((inside["t"] + inside["latency"]).max())),
        correlation_uids=tuple(request_ids(made)),
    )


def request_ids(made: Rows) -> list[str]:
    """The store's ids of these requests: a UUID each."""
    return [uuid_text(hi, lo) for hi, lo in made[["hi", "lo"]].tolist()]


def uuid_text(hi: int, lo: int) -> str:
    """128 bits in the usual grouping."""
    text = f"{hi:016x}{lo:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def moment_text(ns: int) -> str:
    """RFC 3339 in UTC with nine digits."""
    seconds, rest = divmod(ns, SECOND)
    return f"{np.datetime64(seconds, 's')}.{rest:09d}Z"
