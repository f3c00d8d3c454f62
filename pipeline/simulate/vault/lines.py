"""Audit lines from rows: fixed texts by kind, texts by token, by object, by secret version, glued column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.simulate.actions import BARE, KINDS, LOGINS, Action, Outcome
from pipeline.simulate.names import USER_AGENTS
from pipeline.simulate.vault.hashing import Hasher
from pipeline.simulate.vault.shapes import Shapes
from pipeline.simulate.vault.texts import addresses, pick, spread, times, uuids
from pipeline.simulate.vault.tokens import Tokens, allowed

if TYPE_CHECKING:
    from pipeline.simulate.rows import Rows
    from pipeline.simulate.traffic import World

Codes = npt.NDArray[np.int64]
RUNNING = {"openbao": "v2.5.5+builtin.bao", "vault": "v1.15.6+builtin.vault"}
_DENIED = "1 error occurred:\\n\\t* permission denied\\n\\n"
_FAILED = "1 error occurred:\\n\\t* context deadline exceeded\\n\\n"
_SELF = (Action.RENEW, Action.LOOKUP, Action.REVOKE, Action.CAPABILITIES, Action.MOUNTS)


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
        head, answer_head = self._request_head(rows)
        given, inner_auth, body = self._bodies(rows)
        ids = pl.select(
            pl.concat_str([pl.lit('"request":{"id":"'), uuids(rows["hi"], rows["lo"]), pl.lit('",')])
        ).to_series()
        place = self._place(rows)
        tail = self._tail(rows)
        error, answer_error = self._errors(rows)
        stamp = pl.lit('{"time":"')
        request = [
            stamp,
            times(rows["t"]),
            pl.lit('","type":"request",'),
            *auth,
            pl.lit(","),
            ids,
            *head,
            place,
            given,
            tail,
            error,
        ]
        response = [
            stamp, times(rows["t"] + rows["latency"]), pl.lit('","type":"response",'), *answer_auth, pl.lit(","), ids,
            *answer_head, place, given, tail, pl.lit(',"response":{'), inner_auth, self._answering(rows), body, pl.lit("}"),
            answer_error,
        ]  # fmt: skip
        return _glue(request), _glue(response)

    def _auth(self, rows: Rows) -> tuple[list[pl.Series], list[pl.Series]]:
        """The asking token in three parts; in the answer to a log-in it is the token just given."""
        session, place = np.unique(rows["session"], return_inverse=True)
        halves = [
            self.tokens.halves(s) if s >= 0 else ('"auth":{', '"token_type":"default"}') for s in session.tolist()
        ]
        grants = [self.tokens.granting(s) if s >= 0 else "" for s in session.tolist()]
        count = len(grants)
        known = rows["session"] >= 0
        bare = ~known & (~np.isin(rows["outcome"], (Outcome.BAD_TOKEN, Outcome.NO_TOKEN)))
        own = np.where(np.isin(rows["action"], _SELF), count, place)
        code = np.where(
            known, np.where(rows["outcome"] == Outcome.DENIED, count + 1, own), np.where(bare, count + 2, count + 3)
        )
        extra = [allowed("default"), '"policy_results":{"allowed":false},', '"policy_results":{"allowed":true},', ""]
        opened, closed = pick([h for h, _ in halves], place), pick([t for _, t in halves], place)
        middle = pick([*grants, *extra], code)
        given = np.isin(rows["action"], LOGINS) & (rows["issued"] >= 0) & (rows["outcome"] == Outcome.OK)
        refused = bare & ~given & (rows["outcome"] != Outcome.OK)
        after = middle.scatter(np.flatnonzero(refused), "") if refused.any() else middle
        if not given.any():
            return [opened, middle, closed], [opened, after, closed]
        where = np.flatnonzero(given)
        texts = [f'"auth":{{{self.tokens.issued(s)}}}' for s in rows["issued"][where].tolist()]
        blank = [""] * len(texts)
        return [opened, middle, closed], [
            opened.clone().scatter(where, texts),
            after.clone().scatter(where, blank),
            closed.clone().scatter(where, blank),
        ]

    def _request_head(self, rows: Rows) -> tuple[list[pl.Series], list[pl.Series]]:
        """client_id, operation, mount, token; the answer's entry may know the mount's accessor where the request's does not."""
        session, place = np.unique(rows["session"], return_inverse=True)
        clients = [f'"client_id":"{self.tokens.client_id(s)}",' if s >= 0 else "" for s in session.tolist()]
        tokens = [
            f'"client_token":"{self.tokens.token(s)}","client_token_accessor":"{self.tokens.accessor(s)}",'
            if s >= 0
            else ""
            for s in session.tolist()
        ]
        client, held = pick(clients, place), pick(tokens, place)
        unknown = np.flatnonzero(np.isin(rows["outcome"], (Outcome.BAD_TOKEN, Outcome.NO_TOKEN)))
        if len(unknown):
            held = held.scatter(
                unknown, [f'"client_token":"{h}",' for h in self.shapes.hashes(rows[unknown], "stray token")]
            )
        mount = np.array(self.world.estate.object_mount)[rows["object"]]
        refused = np.isin(rows["outcome"], (Outcome.DENIED, Outcome.BAD_TOKEN))
        asked, answered = (
            self._static(rows["action"].astype(np.int64), mount, np.zeros(len(rows), bool)),
            self._static(rows["action"].astype(np.int64), mount, ~refused),
        )
        return [client, asked, held], [client, answered, held]

    def _static(self, action: Codes, mount: Codes, routed: npt.NDArray[np.bool_]) -> pl.Series:
        mounts, running = self.world.estate.mounts, RUNNING[self.world.scenario.store]

        def make(codes: Codes) -> list[str]:
            made = []
            for code in codes.tolist():
                verb, m = KINDS[Action(code // 2000)].verb, mounts[code // 2 % 1000]
                accessor = f'"mount_accessor":"{m.accessor}",' if code % 2 or verb in ("update", "create") else ""
                made.append(
                    f'"operation":"{verb}","mount_point":"{m.point}","mount_type":"{m.type}",{accessor}'
                    f'"mount_running_version":"{running}","mount_class":"{m.klass}",'
                )
            return made

        return spread((action * 1000 + mount) * 2 + routed, make)

    def _answering(self, rows: Rows) -> pl.Series:
        mounts, running = self.world.estate.mounts, RUNNING[self.world.scenario.store]
        mount = np.array(self.world.estate.object_mount)[rows["object"]]
        updating = np.array([KINDS[a].verb in ("update", "create") for a in Action])[rows["action"]]
        refused = np.isin(rows["outcome"], (Outcome.DENIED, Outcome.BAD_TOKEN)) & ~updating

        def make(codes: Codes) -> list[str]:
            return [
                f'"mount_point":"{mounts[c // 2].point}","mount_type":"{mounts[c // 2].type}",'
                + ("" if c % 2 else f'"mount_accessor":"{mounts[c // 2].accessor}",')
                + f'"mount_running_plugin_version":"{running}","mount_class":"{mounts[c // 2].klass}"'
                for c in codes.tolist()
            ]

        return spread(mount * 2 + refused, make)

    def _place(self, rows: Rows) -> pl.Series:
        estate = self.world.estate

        def make(codes: Codes) -> list[str]:
            made = []
            for code in codes.tolist():
                kind, what = KINDS[Action(code % 64)], code // 64
                path = (
                    f"{estate.mounts[estate.object_mount[what]].point}{kind.word}{estate.object_name[what]}{kind.tail}"
                )
                made.append(f'"namespace":{{"id":"root"}},"path":"{path}"')
            return made

        return spread(rows["object"].astype(np.int64) * 64 + rows["action"], make)

    def _tail(self, rows: Rows) -> pl.Series:
        wraps = np.where(rows["action"] == Action.WRAP_READ, 1, 0)
        agents = pick([f',"headers":{{"user-agent":["{a}"]}}}}' for a in USER_AGENTS], rows["agent"])
        ports = pl.Series(rows["port"].astype(np.int64)).cast(pl.String)
        return _glue(
            [
                pl.lit(',"remote_address":"'), addresses(rows["ip"]), pl.lit('","remote_port":'), ports,
                pick(["", ',"wrap_ttl":120'], wraps), agents,
            ]
        )  # fmt: skip

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

    def _refusals(self, rows: Rows, columns: list[npt.NDArray[np.object_]]) -> None:
        """What is not answered holds no auth and no data but the hashed error."""
        texts = {Outcome.DENIED: _DENIED, Outcome.BAD_TOKEN: _DENIED, Outcome.FAILED: _FAILED, Outcome.NOT_FOUND: ""}
        for outcome, text in texts.items():
            where = rows["outcome"] == outcome
            columns[1][where] = ""
            clear = text.encode().decode("unicode_escape")
            columns[2][where] = f',"data":{{"error":"{self.hasher(clear)}"}}' if text else ""

    def _errors(self, rows: Rows) -> tuple[pl.Series, pl.Series]:
        """What closes each line: the error, where there is one. A refused log-in is an error of the answer only."""
        outcome = rows["outcome"]
        texts = ["}", f',"error":"{_DENIED}"}}', ',"error":"permission denied"}', f',"error":"{_FAILED}"}}', ',"error":"invalid credentials"}',
                 ',"error":"wrapping token is not valid or does not exist"}']  # fmt: skip
        bare = np.isin(rows["action"], BARE)
        denied, stray = outcome == Outcome.DENIED, outcome == Outcome.BAD_TOKEN
        used = outcome == Outcome.NO_TOKEN
        asked = np.where(denied & ~bare, 1, np.where(stray, 2, np.where(used, 5, 0)))
        answered = np.where(denied, np.where(bare, 4, 1), np.where(stray, 1, np.where(outcome == Outcome.FAILED, 3, 0)))
        return pick(texts, asked), pick(texts, answered)


def _glue(pieces: list[pl.Series | pl.Expr]) -> pl.Series:
    named = [p.alias(str(i)) if isinstance(p, pl.Series) else p for i, p in enumerate(pieces)]
    frame = pl.DataFrame([p for p in named if isinstance(p, pl.Series)])
    return frame.select(pl.concat_str([pl.col(p.name) if isinstance(p, pl.Series) else p for p in named])).to_series()
