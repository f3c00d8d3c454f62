"""Logs of Vault Agent, Vault Proxy and their OpenBao namesakes, for what their caches answered: see README.md."""

from __future__ import annotations

import msgspec

from pipeline.decoders._decoder import PieceDecoder
from pipeline.decoders._object import Described, ObjectFormat
from pipeline.decoders.vault_agent.columns import columns
from pipeline.decoders.vault_agent.entry import FIELDS, HINT, MARKS, PLAIN, SIGNS, clean, found


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """There is nothing to choose."""


def format_of(config: Config) -> ObjectFormat:  # noqa: ARG001  every format is made of its config
    """What a decoder of several formats is made with."""
    return ObjectFormat(
        Described(
            name="vault_agent",
            fields=FIELDS,
            marks=MARKS,
            hint=HINT,
            times=("stamped",),
            found=found,
            plain=PLAIN,
            clean=clean,
            suspects="",
            columns=columns,
            signs=SIGNS,
        )
    )


def create(config: Config) -> PieceDecoder:
    """A decoder for one thread."""
    return PieceDecoder([format_of(config)])
