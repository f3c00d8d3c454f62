"""Audit logs of Google Cloud, with the Kubernetes audit that GKE writes into them: see README.md."""

from __future__ import annotations

import msgspec

from pipeline.decoders._decoder import PieceDecoder
from pipeline.decoders._object import Described, ObjectFormat
from pipeline.decoders.gcp.columns import Columns
from pipeline.decoders.gcp.entry import SIGNS, SUSPECTS, clean, found
from pipeline.decoders.gcp.fields import FIELDS, PLAIN, TIMES


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`project_ids` tells the id of a project that entries may know by its number alone."""

    project_ids: dict[str, str] = {}


def format_of(config: Config) -> ObjectFormat:
    """What a decoder of several formats is made with."""
    return ObjectFormat(
        Described(
            name="gcp",
            fields=FIELDS,
            marks=("protoPayload", "data"),
            hint='"protoPayload"',
            times=TIMES,
            found=found,
            plain=PLAIN,
            clean=clean,
            suspects=SUSPECTS,
            columns=Columns(config.project_ids).of,
            signs=SIGNS,
        )
    )


def create(config: Config) -> PieceDecoder:
    """A decoder for one thread."""
    return PieceDecoder([format_of(config)])
