"""Audit lines from rows: fixed texts by kind, texts by token, by object, by secret version, glued column by column."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.simulate.actions import BARE, KINDS, LOGINS, Action, Outcome
from pipeline.simulate.names import USER_AGENTS
from pipeline.simulate.spills import spilled, spilling
from pipeline.simulate.vault.hashing import Hasher
from pipeline.simulate.vault.shapes import Shapes
from pipeline.simulate.vault.texts import addresses, glue, pick, spread, times, uuids
from pipeline.simulate.vault.tokens import Tokens, allowed

if TYPE_CHECKING:
    from pipeline.simulate.rows import Rows
    from pipeline.simulate.traffic import World

Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Columns = list[pl.Series]
Pieces = list[str | pl.Series]

RUNNING = {"openbao": "v2.5.5+builtin.bao", "vault": "v1.15.6+builtin.vault"}
_DENIED = r"1 error occurred:\n\t* permission denied\n\n"  # as JSON
_FAILED = r"1 error occurred:\n\t* context deadline exceeded\n\n"
_ENDS = (
    "}",
    f',"error":"{_DENIED}"}}',
    ',"error":"permission denied"}',
    f',"error":"{_FAILED}"}}',
    ',"error":"invalid credentials"}',
    ',"error":"wrapping token is not valid or does not exist"}',
)
_SELF = (Action.RENEW, Action.LOOKUP, Action.REVOKE, Action.CAPABILITIES, Action.MOUNTS)
_STRAY = (Outcome.BAD_TOKEN, Outcome.NO_TOKEN)
_REFUSED = (Outcome.DENIED, *_STRAY)
_UPDATES = np.array([KINDS[a].verb in ("update", "create") for a in Action])


class Writer:
    """Turns rows into the two lines of each, as one device with one salt writes them."""

    def __init__(self, world: World, salt: str) -> None:
        self.world = world
        self.hasher = Hasher(salt)
        self.tokens = Tokens(world, self.hasher)
        self.shapes = Shapes(world, self.hasher, self.tokens)

    def lines(self, rows: Rows) -> tuple[pl.Series, pl.Series]:
        """Request lines and response lines, without line ends, one each per row."""
        auth, answer_auth = self._auth(rows)
        head, answer_head = self._heads(rows)
        given, inner_auth, body = self._bodies(rows)
        end, answer_end = self._ends(rows)
        ids = glue(['"request":{"id":"', uuids(rows["hi"], rows["lo"]), '",'])
        rest = glue([self._place(rows), given, self._tail(rows)])
        asked: Pieces = ['{"time":"', times(rows["t"]), '","type":"request",', *auth, ",", ids, *head, rest, end]
        done = times(rows["t"] + rows["latency"])
        answered: Pieces = ['{"time":"', done, '","type":"response",', *answer_auth, ",", ids, *answer_head, rest]
        answered += [',"response":{', inner_auth, self._mounts(rows), body, "}", answer_end]
        return glue(asked), glue(answered)

    def _auth(self, rows: Rows) -> tuple[Columns, Columns]:
        """The asking token in three parts; in the answer to a log-in it is the token just given."""
        session, place = np.unique(rows["session"], return_inverse=True)
        halves = [
            self.tokens.halves(s) if s >= 0 else ('"auth":{', '"token_type":"default"}') for s in session.tolist()
        ]
        opened, closed = pick([h for h, _ in halves], place), pick([t for _, t in halves], place)
        middle, after = self._results(rows, session, place)
        given = np.isin(rows["action"], LOGINS) & (rows["issued"] >= 0) & (rows["outcome"] == Outcome.OK)
        asked = [opened, middle, closed]
        if not given.any():
            return asked, [opened, after, closed]
        where = np.flatnonzero(given)
        whole = [f'"auth":{{{self.tokens.issued(s)}}}' for s in rows["issued"][where].tolist()]
        blank = [""] * len(whole)
        answered = ((opened, whole), (after, blank), (closed, blank))
        return asked, [column.clone().scatter(where, texts) for column, texts in answered]

    def _results(self, rows: Rows, session: Codes, place: Codes) -> tuple[pl.Series, pl.Series]:
        """policy_results in the request's entry and in the answer's: a refused log-in has them in the first only."""
        grants = [self.tokens.granting(s) if s >= 0 else "" for s in session.tolist()]
        default, denied, bare, none = range(len(grants), len(grants) + 4)
        texts = [
            *grants,
            allowed("default"),
            '"policy_results":{"allowed":false},',
            '"policy_results":{"allowed":true},',
            "",
        ]
        known = rows["session"] >= 0
        code = np.where(np.isin(rows["action"], _SELF), default, place)
        code = np.where(rows["outcome"] == Outcome.DENIED, denied, code)
        code = np.where(known, code, np.where(np.isin(rows["outcome"], _STRAY), none, bare))
        return pick(texts, code), pick(texts, np.where(~known & (rows["outcome"] != Outcome.OK), none, code))

    def _heads(self, rows: Rows) -> tuple[Columns, Columns]:
        """client_id, operation and mount, token. Only answers, and updates, know the mount's accessor."""
        session, place = np.unique(rows["session"], return_inverse=True)
        held = [s >= 0 for s in session.tolist()]
        clients = [
            f'"client_id":"{self.tokens.client_id(s)}",' if h else "" for s, h in zip(session, held, strict=True)
        ]
        tokens = [
            f'"client_token":"{self.tokens.token(s)}","client_token_accessor":"{self.tokens.accessor(s)}",' if h else ""
            for s, h in zip(session.tolist(), held, strict=True)
        ]
        client, token = pick(clients, place), pick(tokens, place)
        stray = np.flatnonzero(np.isin(rows["outcome"], _STRAY))
        if len(stray):
            once = zip(rows["issued"][stray].tolist(), self.shapes.hashes(rows[stray], "stray token"), strict=True)
            lost = [h if dead < 0 else self.tokens.token(dead) for dead, h in once]
            token = token.scatter(stray, [f'"client_token":"{h}",' for h in lost])
        routed = ~np.isin(rows["outcome"], _REFUSED)
        nothing = np.zeros(len(rows), bool)
        return [client, self._static(rows, nothing), token], [client, self._static(rows, routed), token]

    def _mount(self, rows: Rows) -> Codes:
        mounts: Codes = np.array(self.world.estate.object_mount)[rows["object"]]
        return mounts

    def _static(self, rows: Rows, routed: Mask) -> pl.Series:
        mounts, running = self.world.estate.mounts, RUNNING[self.world.scenario.store]

        def make(codes: Codes) -> list[str]:
            made = []
            for code in codes.tolist():
                action, m = Action(code // 2000), mounts[code // 2 % 1000]
                accessor = f'"mount_accessor":"{m.accessor}",' if code % 2 or _UPDATES[action] else ""
                made.append(
                    f'"operation":"{KINDS[action].verb}","mount_point":"{m.point}","mount_type":"{m.type}",{accessor}'
                    f'"mount_running_version":"{running}","mount_class":"{m.klass}",'
                )
            return made

        return spread((rows["action"].astype(np.int64) * 1000 + self._mount(rows)) * 2 + routed, make)

    def _mounts(self, rows: Rows) -> pl.Series:
        """How every answer begins: where it comes from. A refused read was not routed, so it names no accessor."""
        mounts, running = self.world.estate.mounts, RUNNING[self.world.scenario.store]
        refused = np.isin(rows["outcome"], _REFUSED) & ~_UPDATES[rows["action"]]

        def make(codes: Codes) -> list[str]:
            made = []
            for code in codes.tolist():
                m = mounts[code // 2]
                accessor = "" if code % 2 else f'"mount_accessor":"{m.accessor}",'
                made.append(
                    f'"mount_point":"{m.point}","mount_type":"{m.type}",{accessor}'
                    f'"mount_running_plugin_version":"{running}","mount_class":"{m.klass}"'
                )
            return made

        return spread(self._mount(rows) * 2 + refused, make)

    def _place(self, rows: Rows) -> pl.Series:
        estate = self.world.estate

        def make(codes: Codes) -> list[str]:
            places = (estate.path(code // 64, Action(code % 64)) for code in codes.tolist())
            return [f'"namespace":{{"id":"root"}},"path":"{path}"' for path in places]

        return spread(rows["object"].astype(np.int64) * 64 + rows["action"], make)

    def _tail(self, rows: Rows) -> pl.Series:
        wraps = pick(["", ',"wrap_ttl":120'], (rows["action"] == Action.WRAP_READ).astype(np.int64))
        agents = pick([f',"headers":{{"user-agent":["{a}"]}}}}' for a in USER_AGENTS], rows["agent"])
        ports = pl.Series(rows["port"].astype(np.int64)).cast(pl.String)
        return glue([',"remote_address":"', addresses(rows["ip"]), '","remote_port":', ports, wraps, agents])

    def _bodies(self, rows: Rows) -> tuple[pl.Series, pl.Series, pl.Series]:
        """The request's data, the answer's auth and the rest of the answer."""
        columns = [np.full(len(rows), "", object) for _ in range(3)]
        for action in np.unique(rows["action"]).tolist():
            where = np.flatnonzero(rows["action"] == action)
            for column, made in zip(columns, self.shapes.parts(KINDS[Action(action)].shape, rows[where]), strict=True):
                column[where] = made
        self._refusals(rows, columns)
        given, auth, body = (pl.Series(c.tolist(), dtype=pl.String) for c in columns)
        return given, auth, body

    def _refusals(self, rows: Rows, columns: Sequence[npt.NDArray[np.object_]]) -> None:
        """What is not answered holds no auth and no data but the hashed error."""
        texts = {**dict.fromkeys(_REFUSED, _DENIED), Outcome.FAILED: _FAILED, Outcome.NOT_FOUND: ""}
        for outcome, text in texts.items():
            where = rows["outcome"] == outcome
            columns[1][where] = ""
            clear = text.replace(r"\n", "\n").replace(r"\t", "\t")
            columns[2][where] = self._hashed(clear) if text else ""
        for place, text in zip(spills := spilling(rows), spilled(self.world, rows[spills]), strict=True):
            columns[2][place] = self._hashed(text)

    def _hashed(self, error: str) -> str:
        return f',"data":{{"error":"{self.hasher(error)}"}}'

    def _ends(self, rows: Rows) -> tuple[pl.Series, pl.Series]:
        """What closes each line: the error, where there is one. A refused log-in is an error of the answer only."""
        outcome, bare = rows["outcome"], np.isin(rows["action"], BARE)
        denied, stray = outcome == Outcome.DENIED, outcome == Outcome.BAD_TOKEN
        used = outcome == Outcome.NO_TOKEN
        asked = np.where(denied & ~bare, 1, np.where(stray, 2, np.where(used, 5, 0)))
        failed = np.where(outcome == Outcome.FAILED, 3, 0)
        answered = np.where(denied, np.where(bare, 4, 1), np.where(stray, 1, failed))
        spills = spilling(rows)
        told = [f',"error":{json.dumps(text)}}}' for text in spilled(self.world, rows[spills])]
        return pick(_ENDS, asked), pick(_ENDS, answered).scatter(spills, told)
