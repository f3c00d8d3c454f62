"""Canary requests to a live Vault or OpenBao, each timed until it is back through the lake."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pipeline.core.secrets import SecretRef
from pipeline.probe.client import Answer, Store
from pipeline.probe.numbers import Numbers
from pipeline.probe.prober import Prober, Result


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[probe]`: the store, and the request that is its canary. `path` is a read that the token may make.

    `address` defaults to BAO_ADDR or VAULT_ADDR, `token` to BAO_TOKEN or VAULT_TOKEN. `numbers` is the file that keeps
    the last number sent; it defaults to one in the user's state folder and must outlive the client's host.
    """

    address: str = ""
    token: SecretRef | None = None
    namespace: Annotated[str, msgspec.Meta(pattern="^[!-~]*$")] = ""  # a header carries it
    ca: str = ""
    path: str = "auth/token/lookup-self"
    interval_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 10.0
    timeout_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 60.0
    numbers: str = ""


__all__ = ["Answer", "Config", "Numbers", "Prober", "Result", "Store"]
