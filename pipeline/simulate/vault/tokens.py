"""Tokens as the log shows them: hashes, display name, policies, metadata."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import SECOND
from pipeline.simulate.stage import moment_text

if TYPE_CHECKING:
    from pipeline.simulate.traffic import World
    from pipeline.simulate.vault.hashing import Hasher


class Tokens:
    """The texts of one device about tokens, by session number."""

    def __init__(self, world: World, hasher: Hasher) -> None:
        self.world, self.hasher = world, hasher

    def token(self, session: int) -> str:
        """Hash of the token itself."""
        return self.hasher(f"hvs.{self.world.scenario.seed:x}.{session:024x}")

    def accessor(self, session: int) -> str:
        """Hash of its accessor."""
        return self.hasher(f"accessor.{self.world.scenario.seed:x}.{session:018x}")

    def _row(self, session: int) -> np.void:
        row: np.void = self.world.sessions.table[session]
        return row

    def policies(self, session: int) -> tuple[str, ...]:
        """Of the token: its own where it was made with some, else its principal's."""
        return self.world.sessions.policies_of(session, self.world.estate)

    def ttl_text(self, session: int) -> str:
        """The time to live as it was asked for."""
        return f"{int(self._row(session)['ttl'])}s"

    def _names(self, principal: int) -> tuple[str, str]:
        """Display name and metadata (a JSON member with its comma, or nothing)."""
        estate = self.world.estate
        row, local = estate.principals[principal], estate.local[principal]
        mount = estate.mounts[int(row["mount"])]
        short = mount.point.removeprefix("auth/").rstrip("/")
        if mount.type == "approle":
            return "approle", f'"metadata":{{"role_name":"{local}"}},'
        if mount.type == "kubernetes":
            space, name = local.split("/")
            return f"{short}-{space}-{name}", (
                f'"metadata":{{"role":"{name}","service_account_name":"{name}","service_account_namespace":"{space}",'
                f'"service_account_secret_name":"","service_account_uid":"{_derived(estate.entities[principal])}"}},'
            )
        if mount.type == "userpass":
            return f"userpass-{local}", f'"metadata":{{"username":"{local}"}},'
        if mount.type == "jwt":
            return f"{short}-{local}", '"metadata":{"role":"default"},'
        return local, ""

    def _heads(self, session: int) -> tuple[str, str]:
        row = self._row(session)
        display, metadata = self._names(int(row["principal"]))
        if self.policies(session) == ("response-wrapping",) and row["parent"] >= 0:  # named after the one who wrapped
            display, _ = self._names(int(self._row(int(row["parent"]))["principal"]))
        listed = json.dumps(list(self.policies(session)), separators=(",", ":"))
        head = (
            f'"client_token":"{self.token(session)}","accessor":"{self.accessor(session)}",'
            f'"display_name":"{display}","policies":{listed},"token_policies":{listed},'
        )
        entity = self.world.estate.entities[int(row["principal"])]
        named = metadata + (f'"entity_id":"{entity}",' if self.has_entity(session) else "")
        ttl = f',"token_ttl":{int(row["ttl"])}' if row["ttl"] else ""
        return head, named + '"token_type":"service"' + ttl

    def has_entity(self, session: int) -> bool:
        """Tokens made directly, and the root token, have none."""
        return int(self.world.estate.principals["role"][int(self._row(session)["principal"])]) not in (
            Role.ROOT,
            Role.TOKEN,
            Role.NOBODY,
        )

    def halves(self, session: int) -> tuple[str, str]:
        """The auth object of requests made with it, before and after the policy results."""
        head, tail = self._heads(session)
        return f'"auth":{{{head}', f'{tail},"token_issue_time":"{self._since(session)}"}}'

    def _since(self, session: int) -> str:
        return moment_text(int(self._row(session)["start"]) // SECOND * SECOND)[:19] + "Z"

    def issued(self, session: int) -> str:
        """The auth of the answer that gave it."""
        return "".join(self._heads(session))

    def renewed(self, session: int) -> str:
        """The auth of an answer that prolonged it."""
        return f'{self.issued(session)},"token_issue_time":"{self._since(session)}"'

    def looked_up(self, session: int, t: int) -> str:
        """What lookup-self tells."""
        row, hasher = self._row(session), self.hasher
        start, ttl = int(row["start"]), int(row["ttl"])
        principal = int(row["principal"])
        display, _ = self._names(principal)
        entity = hasher(self.world.estate.entities[principal] if self.has_entity(session) else "")
        listed = ",".join(f'"{hasher(p)}"' for p in self.policies(session))
        mount = self.world.estate.mounts[int(self.world.estate.principals["mount"][principal])].point
        return (
            f'"accessor":"{self.accessor(session)}","creation_time":{start // SECOND},"creation_ttl":{ttl},'
            f'"display_name":"{hasher(display)}","entity_id":"{entity}",'
            f'"expire_time":"{moment_text(start + ttl * SECOND)}",'
            f'"explicit_max_ttl":0,"id":"{self.token(session)}","issue_time":"{moment_text(start)}","meta":null,"num_uses":0,'
            f'"orphan":true,"path":"{hasher(mount + "login")}","policies":[{listed}],"renewable":true,'
            f'"ttl":{max(0, ttl - (t - start) // SECOND)},"type":"{hasher("service")}"'
        )

    def client_id(self, session: int) -> str:
        """The entity, or for tokens without one the digest of policies and namespace (SOURCES: client_id)."""
        if self.has_entity(session):
            return self.world.estate.entities[int(self._row(session)["principal"])]
        joined = "\x7f".join(sorted(self.policies(session))) + "\x00root"
        return base64.b64encode(hashlib.sha256(joined.encode()).digest()).decode()

    def granting(self, session: int) -> str:
        """The policy results of a request that one of its own policies allows."""
        own = [p for p in self.policies(session) if p != "default"]
        return allowed(own[0] if own else "default")


def _derived(entity: str) -> str:
    return str(uuid.UUID(bytes=hashlib.sha256(entity.encode()).digest()[:16]))


def allowed(policy: str) -> str:
    """Policy results that name one policy."""
    granting = f'{{"name":"{policy}","namespace_id":"root","type":"acl"}}'
    return f'"policy_results":{{"allowed":true,"granting_policies":[{granting}]}},'
