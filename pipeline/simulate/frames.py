"""Rows as OPERATION frames: what an honest pipeline makes of the lines, without writing and reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pipeline.core.schema import OPERATION, OUTCOMES, TEXTS, conform
from pipeline.simulate import network
from pipeline.simulate.actions import ISSUERS, KINDS, LOGINS, Action, Outcome
from pipeline.simulate.estate import Role
from pipeline.simulate.names import USER_AGENTS
from pipeline.simulate.vault.texts import addresses, pick, spread, uuids

if TYPE_CHECKING:
    from pipeline.simulate.rows import Rows
    from pipeline.simulate.traffic import World

_TYPES = {
    Role.POD: "pod", Role.HUMAN: "human", Role.ADMIN: "human", Role.ROOT: "root", Role.TOKEN: "token", Role.NOBODY: "anonymous",
    Role.SYNC: "pod",
}  # fmt: skip


def operations(world: World, rows: Rows) -> pl.DataFrame:
    """`rows` in schema OPERATION, one row each. `session` is a stable name of the token, not a device's hash."""
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
    ttl = world.sessions.table["ttl"][np.where(given, rows["issued"], rows["session"])]
    named = np.isin(rows["action"], LOGINS) & given
    frame = pl.DataFrame(
        {
            "uid": ids.str.replace_all("-", ""),
            "time": when.dt.cast_time_unit("us"),
            "latency_ms": rows["latency"] / 1e6,
            "store": pick(["vault"], np.zeros(len(rows), np.int64)),
            "cluster": pick([""], np.zeros(len(rows), np.int64)),
            "operation": pick([k.operation for k in kinds], rows["action"]),
            "discloses_value": np.array([k.discloses for k in kinds])[rows["action"]] & success,
            "api_operation": pick([k.verb for k in kinds], rows["action"]),
            "principal": _claimed(world, rows, pick(estate.names, who)),
            "principal_type": pick(
                [_TYPES.get(Role(r), "service") for r in range(len(Role))], estate.principals["role"][who]
            ),
            "session": _sessions(world, rows),
            "client_ip": addresses(rows["ip"]),
            "user_agent": pick(USER_AGENTS, rows["agent"]),
            "namespace": pick([""], np.zeros(len(rows), np.int64)),
            "mount": pick([m.point for m in estate.mounts], mount),
            "secret": spread(rows["object"], lambda codes: [estate.secret(c) for c in codes.tolist()]),
            "secret_version": pl.Series(rows["version"].astype(np.int64)).set(pl.Series(~versioned), None),
            "outcome": pick(OUTCOMES, outcome),
            "error": _errors(rows),
            "correlation_uid": ids,
            "paired": rows["outcome"] != Outcome.NO_TOKEN,
            "path": spread(
                rows["object"].astype(np.int64) * 64 + rows["action"], lambda codes: _paths(world, codes.tolist())
            ),
            "complete_time": done.dt.cast_time_unit("us"),
            "mount_type": pick([m.type for m in estate.mounts], mount),
            "zone": spread(rows["ip"], network.zones),
            "entity": pick(estate.entities, who),
            "token_type": pick(["default", "service"], (rows["session"] >= 0).astype(np.int64)),
            "login_principal": pick(estate.names, who).set(pl.Series(~named), None),
            "token_ttl": pl.Series(ttl).set(pl.Series(ttl == 0), None),
            "wrap_ttl": pl.Series(np.where(rows["action"] == Action.WRAP_READ, 120, 0)).replace(0, None),
            "clear": np.zeros(len(rows), bool),
        }
    )
    lists = pl.Series([list(p) for p in estate.policies], dtype=TEXTS)
    return conform(frame.with_columns(policies=lists.gather(who), flags=_flags(rows)), OPERATION)


def _whom(world: World, rows: Rows) -> np.ndarray:
    """Who is named for a request: nobody, where the token is unknown or a refused log-in does not say."""
    estate = world.estate
    nobody = int(estate.of_role(Role.NOBODY)[0])
    bare = (rows["session"] < 0) & ~(
        np.isin(rows["action"], LOGINS) & ((rows["issued"] >= 0) | (rows["action"] == Action.LOGIN_USER))
    )
    return np.where(bare, nobody, rows["principal"]).astype(np.int64)


def _claimed(world: World, rows: Rows, named: pl.Series) -> pl.Series:
    """A refused log-in goes by the name that was claimed, whether or not there is such a person."""
    where = np.flatnonzero((rows["action"] == Action.LOGIN_USER) & (rows["issued"] < 0))
    names = [f"userpass/{world.estate.object_name[o]}" for o in rows["object"][where].tolist()]
    return named.scatter(where, names) if len(where) else named


def _sessions(world: World, rows: Rows) -> pl.Series:
    seed = world.scenario.seed
    return spread(rows["session"], lambda codes: [f"{seed:x}-{c:x}" if c >= 0 else "" for c in codes.tolist()]).replace(
        "", None
    )


def _errors(rows: Rows) -> pl.Series:
    bare = np.isin(rows["action"], LOGINS) & (rows["outcome"] == Outcome.DENIED)
    texts = [
        "",
        "permission denied",
        "",
        "context deadline exceeded",
        "permission denied",
        "wrapping token is not valid or does not exist",
        "invalid credentials",
    ]
    return pick(texts, np.where(bare, 6, rows["outcome"])).replace("", None)


def _flags(rows: Rows) -> pl.Series:
    flags = pl.Series([[], ["exportable"]], dtype=TEXTS)
    return flags.gather((rows["action"] == Action.KEY_CONFIG).astype(np.int64))


def _paths(world: World, codes: list[int]) -> list[str]:
    estate, made = world.estate, []
    for code in codes:
        kind, what = KINDS[Action(code % 64)], code // 64
        made.append(f"{estate.mounts[estate.object_mount[what]].point}{kind.word}{estate.object_name[what]}{kind.tail}")
    return made
