"""Event records of AWS CloudTrail: see README.md."""

from __future__ import annotations

import msgspec

from pipeline.decoders._decoder import PieceDecoder
from pipeline.decoders._object import Described, ObjectFormat
from pipeline.decoders.cloudtrail.columns import Columns
from pipeline.decoders.cloudtrail.entry import MARKS, PLAIN, SIGNS, SUSPECTS, clean, found
from pipeline.decoders.cloudtrail.fields import FIELDS, NULLABLE


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set: records have one form, and hold no headers."""


def format_of(config: Config) -> ObjectFormat:  # noqa: ARG001  each format is made of its own config
    """What a decoder of several formats is made with."""
    return ObjectFormat(
        Described(
            name="cloudtrail",
            fields=FIELDS,
            marks=MARKS,
            hint='"eventSource"',
            times=("event_time",),
            found=found,
            plain=PLAIN,
            clean=clean,
            suspects=SUSPECTS,
            columns=Columns().of,
            signs=SIGNS,
            nullable=NULLABLE,
        )
    )


def create(config: Config) -> PieceDecoder:
    """A decoder for one thread."""
    return PieceDecoder([format_of(config)])
