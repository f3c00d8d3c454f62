"""Audit logs of HashiCorp Vault and OpenBao: see README.md."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pipeline.decoders._decoder import PieceDecoder
from pipeline.decoders.vault.format import VaultFormat

# Headers whose values say nothing secret; a value under any other name is kept only when the device hashed it.
PLAIN_HEADERS = (
    "correlation-id", "x-correlation-id", "x-request-id", "x-forwarded-for", "x-real-ip", "traceparent", "content-type",
    "x-vault-namespace", "x-vault-request",
)  # fmt: skip


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`canary_header` is the audited header of canary requests; `plain_headers` are kept as they are.

    `threads` of the parser: more than one costs CPU and gains time only in very large batches.
    """

    canary_header: str = "X-Audit-Canary"
    plain_headers: tuple[str, ...] = PLAIN_HEADERS
    threads: Annotated[int, msgspec.Meta(ge=1, le=1_024)] = 1


def format_of(config: Config) -> VaultFormat:
    """What a decoder of several formats is made with."""
    return VaultFormat(canary_header=config.canary_header, headers=config.plain_headers, threads=config.threads)


def create(config: Config) -> PieceDecoder:
    """A decoder for one thread."""
    return PieceDecoder([format_of(config)])
