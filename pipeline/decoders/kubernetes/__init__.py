"""Audit logs of Kubernetes API servers: see README.md."""

from __future__ import annotations

import msgspec

from pipeline.decoders._decoder import PieceDecoder
from pipeline.decoders._object import Described, ObjectFormat
from pipeline.decoders.kubernetes.columns import Columns
from pipeline.decoders.kubernetes.entry import HINT, MARKS, PLAIN, TIMES, clean, found
from pipeline.decoders.kubernetes.fields import FIELDS
from pipeline.decoders.kubernetes.redact import SUSPECTS


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """There is nothing to choose: an API server writes no headers, and says the same wherever it runs."""


def format_of(config: Config) -> ObjectFormat:  # noqa: ARG001  every format is made of its config
    """What a decoder of several formats is made with."""
    return ObjectFormat(
        Described(
            name="kubernetes",
            fields=FIELDS,
            marks=MARKS,
            hint=HINT,
            times=TIMES,
            found=found,
            plain=PLAIN,
            clean=clean,
            suspects=SUSPECTS,
            columns=Columns().of,
        )
    )


def create(config: Config) -> PieceDecoder:
    """A decoder for one thread."""
    return PieceDecoder([format_of(config)])
