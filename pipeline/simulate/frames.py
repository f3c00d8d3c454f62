"""Rows as OPERATION frames: what an honest pipeline makes of the lines, without writing and reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pipeline.core.schema import OPERATION, OUTCOMES, TEXTS, conform
from pipeline.simulate import network
from pipeline.simulate.actions import ISSUERS, KINDS, LOGINS, Action, Outcome
from pipeline.simulate.estate import Estate, Role
from pipeline.simulate.names import USER_AGENTS
from pipeline.simulate.spills import spilled, spilling
from pipeline.simulate.vault.texts import addresses, pick, spread, uuids

if TYPE_CHECKING:
    from pipeline.simulate.rows import Rows
    from pipeline.simulate.traffic import World

_TYPES = {
    Role.POD: "pod", Role.HUMAN: "human", Role.ADMIN: "human", Role.ROOT: "root", Role.TOKEN: "token",
    Role.NOBODY: "anonymous",
    Role.SYNC: "pod",
}  # fmt: skip
_OPTIONS = {
    Action.KEY_CONFIG: "exportable", Action.TOKEN_ORPHAN: "no_parent", Action.TOKEN_PERIODIC: "period",
    Action.AUDIT_RAW: "log_raw=?", Action.TUNE: "audit_non_hmac",
}  # fmt: skip


def operations(world: World, rows: Rows) -> pl.DataFrame:
    """`rows` in schema OPERATION, one row each. `session` and `login_session` are stable names of tokens, no hashes."""
    estate = world.estate
    kinds = [KINDS[a] for a in Action]
    ids = uuids(rows["hi"], rows["lo"])
    when = pl.Series(rows["t"]).cast(pl.Datetime("ns", "UTC"))
    done = pl.Series(rows["t"] + rows["latency"]).cast(pl.Datetime("ns", "UTC"))
    who = _whom(world, rows)
    mount = np.array(estate.object_mount)[rows["object"]]
    success = rows["outcome"] == Outcome.OK
    outcome = np.where(rows["outcome"] >= Outcome.BAD_TOKEN, Outcome.DENIED, rows["outcome"])
    versioned = (rows["version"] > 0) & success
    given = np.isin(rows["action"], ISSUERS) & (rows["issued"] >= 0)
    about = np.where(given, rows["issued"], rows["session"])
    ttl = np.where(about >= 0, world.sessions.table["ttl"][about], 0)
    known = (rows["session"] >= 0) | (np.isin(rows["action"], LOGINS) & given)
    wrapped = (rows["action"] == Action.WRAP_READ) & (rows["issued"] >= 0)
    made = np.where(given, world.sessions.table["principal"][rows["issued"]], 0)
    frame = pl.DataFrame(
        {
            "uid": ids.str.replace_all("-", ""),
            "time": when.dt.cast_time_unit("us"),
            "latency_ms": rows["latency"] / 1e6,
            "store": pick(["vault"], np.zeros(len(rows), np.int64)),
            "cluster": pl.Series([None], dtype=pl.String).gather(np.zeros(len(rows), np.int64)),
            "operation": pick([k.operation for k in kinds], rows["action"]),
            "discloses_value": np.array([k.discloses for k in kinds])[rows["action"]] & success,
            "api_operation": pick([k.verb for k in kinds], rows["action"]),
            "principal": _claimed(world, rows, pick(estate.names, who)),
            "principal_type": _types(world, rows, who),
            "session": _sessions(world, rows["session"]),
            "client_ip": addresses(rows["ip"]),
            "user_agent": pick(USER_AGENTS, rows["agent"]),
            "namespace": pick([""], np.zeros(len(rows), np.int64)),
            "mount": pick([m.point for m in estate.mounts], mount),
            "secret": spread(rows["object"], lambda codes: [estate.secret(c) for c in codes.tolist()]),
            "secret_version": pl.Series(rows["version"].astype(np.int64)).set(pl.Series(~versioned), None),
            "outcome": pick(OUTCOMES, outcome),
            "error": _errors(world, rows),
            "correlation_uid": ids,
            "paired": rows["outcome"] != Outcome.NO_TOKEN,
            "path": spread(rows["object"].astype(np.int64) * 64 + rows["action"], lambda codes: _paths(estate, codes)),
            "complete_time": done.dt.cast_time_unit("us"),
            "mount_type": pick([m.type for m in estate.mounts], mount),
            "zone": spread(rows["ip"], network.zones),
            "entity": _entities(world, who, known),
            "token_type": pick(["default", "service"], known.astype(np.int64)),
            "login_session": _sessions(world, np.where(given | wrapped, rows["issued"], -1)),
            "login_principal": pick(estate.names, made).set(pl.Series(~given), None),
            "token_ttl": pl.Series(ttl).set(pl.Series(ttl == 0), None),
            "wrap_ttl": pl.Series(np.where(rows["action"] == Action.WRAP_READ, 120, 0)).replace(0, None),
            "clear": np.zeros(len(rows), bool),
        }
    )
    held = np.where(rows["session"] >= 0, rows["session"], np.where(known, rows["issued"], -1))
    return conform(frame.with_columns(policies=_policies(world, held), flags=_flags(rows)), OPERATION)


def _whom(world: World, rows: Rows) -> np.ndarray:
    """Who is named for a request: nobody, where the token is unknown or a refused log-in does not say."""
    estate = world.estate
    nobody = int(estate.of_role(Role.NOBODY)[0])
    bare = (rows["session"] < 0) & ~(
        np.isin(rows["action"], LOGINS) & ((rows["issued"] >= 0) | (rows["action"] == Action.LOGIN_USER))
    )
    return np.where(bare, nobody, rows["principal"]).astype(np.int64)


def _types(world: World, rows: Rows, who: np.ndarray) -> pl.Series:
    """A refused log-in claims to be a person."""
    named = pick([_TYPES.get(Role(r), "service") for r in range(len(Role))], world.estate.principals["role"][who])
    claimed = (rows["action"] == Action.LOGIN_USER) & (rows["issued"] < 0)
    return named.set(pl.Series(claimed), "human")


def _entities(world: World, who: np.ndarray, known: np.ndarray) -> pl.Series:
    """Null for tokens that belong to no entity, and where nobody is named."""
    without = np.isin(world.estate.principals["role"][who], (Role.ROOT, Role.TOKEN, Role.NOBODY)) | ~known
    return pick(world.estate.entities, who).set(pl.Series(without), None)


def _policies(world: World, held: np.ndarray) -> pl.Series:
    """Those of each row's token, null without one. The lists are made once: most tokens share theirs with many."""
    distinct, place = np.unique(held, return_inverse=True)
    numbers, before = world.policy_numbers, len(world.policy_numbers)
    owned = [None if s < 0 else world.sessions.policies_of(s, world.estate) for s in distinct.tolist()]
    codes = np.array([numbers.setdefault(each, len(numbers)) for each in owned], dtype=np.int64)
    if len(numbers) > before:
        fresh = [None if each is None else list(each) for each in list(numbers)[before:]]
        world.policy_lists = pl.concat([world.policy_lists, pl.Series(fresh, dtype=TEXTS)]).rechunk()
    return world.policy_lists.gather(codes[place])


def _claimed(world: World, rows: Rows, named: pl.Series) -> pl.Series:
    """A refused log-in goes by the name that was claimed, whether or not there is such a person."""
    where = np.flatnonzero((rows["action"] == Action.LOGIN_USER) & (rows["issued"] < 0))
    names = [f"userpass/{world.estate.object_name[o]}" for o in rows["object"][where].tolist()]
    return named.scatter(where, names) if len(where) else named


def _sessions(world: World, tokens: np.ndarray) -> pl.Series:
    seed = world.scenario.seed
    return spread(tokens, lambda codes: [f"{seed:x}-{c:x}" if c >= 0 else "" for c in codes.tolist()]).replace("", None)


def _errors(world: World, rows: Rows) -> pl.Series:
    bare = np.isin(rows["action"], LOGINS) & (rows["outcome"] == Outcome.DENIED)
    denied, late = (f"1 error occurred:\n\t* {e}\n\n" for e in ("permission denied", "context deadline exceeded"))
    texts = [
        "",
        denied,
        "",
        late,
        denied,
        "wrapping token is not valid or does not exist",
        "invalid credentials",
    ]
    spills = spilling(rows)
    told = pick(texts, np.where(bare, 6, rows["outcome"])).scatter(spills, spilled(world, rows[spills]))
    return told.replace("", None)


def _flags(rows: Rows) -> pl.Series:
    given = [[_OPTIONS[a]] if a in _OPTIONS else [] for a in Action]
    return pl.Series(given, dtype=TEXTS).gather(rows["action"].astype(np.int64))


def _paths(estate: Estate, codes: np.ndarray) -> list[str]:
    return [estate.path(code // 64, Action(code % 64)) for code in codes.tolist()]
