"""Audit logs of Azure Key Vault, Managed HSM, the Activity Log and AKS: see README.md."""

from __future__ import annotations

import msgspec

from pipeline.decoders._decoder import PieceDecoder
from pipeline.decoders._object import ObjectFormat
from pipeline.decoders.azure.format import AzureFormat


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """There is nothing to set: these records carry no headers, and so no canary."""


def format_of(config: Config) -> ObjectFormat:  # noqa: ARG001  every format is made of its config
    """What a decoder of several formats is made with."""
    return AzureFormat()


def create(config: Config) -> PieceDecoder:
    """A decoder for one thread."""
    return PieceDecoder([format_of(config)])
