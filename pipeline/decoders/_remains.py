"""What may be kept of a piece that could not be read: nothing in it can be trusted to be hashed."""

from __future__ import annotations

import itertools
import json
import re
from typing import Final

from pipeline.decoders._pieces import benign_prefix
from pipeline.decoders._tokens import REDACTED, VALUE

# What lies between two quotes that are not escaped: a string, or what stands between two strings.
_SEGMENT: Final = re.compile(rb'((?:[^"\\]++|\\.)*+)("?)', re.DOTALL)
_BETWEEN: Final = re.compile(
    rb"[\s,:{}\[\]]*+|[\s,:{}\[\]]++(?:(?:true|false|null|-?[0-9][0-9.eE+-]*+)[\s,:{}\[\]]*+)*+"
)
_HIDDEN: Final = re.compile(VALUE.encode())
_NAME: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_.-]{0,60}")
_FORM: Final = re.compile(rb"(?:hv[sbr]|\b[sbr])\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9]+)?")
# Names under which a value may stand, also within a text.
_SHOWN: Final = re.compile(
    rb'\\*"(?:client_token|accessor|client_token_accessor|data|stringData|value|secret_id|wrap_info|plaintext|password'
    rb'|(?:\w{0,20}[_-]?)?(?:token|secret|secretString|secretBinary|private_?key|secret_?access_?key))\\*"\s*:',
    re.IGNORECASE,
)
_ELEMENT: Final = re.compile(rb">([^<]++)")


def remains(piece: bytes, reason: str, spoken: re.Pattern[bytes] | None = None) -> bytes:
    """What may be kept of a piece that could not be read: nothing in it can be trusted to be hashed.

    Text of another format stays, unless it speaks of tokens, holds an entry (`spoken` finds what only they say), or may
    be the remains of one: whatever has a quote in it and is no object.
    """
    if reason == "jsonx":
        piece = _ELEMENT.sub(_element, piece)
    elif reason != "unknown_format" or _speaks(piece, spoken) or (b'"' in piece and not _is_object(piece)):
        piece = _unquoted(piece)
    return _FORM.sub(REDACTED.encode(), piece)


def _speaks(piece: bytes, spoken: re.Pattern[bytes] | None) -> bool:
    return _SHOWN.search(piece) is not None or (spoken is not None and spoken.search(piece) is not None)


def held(brackets: bytes) -> bytes:
    """What may be kept of what holds the entries of a document together: its other members are nobody's entry."""
    return _FORM.sub(REDACTED.encode(), _unquoted(brackets) if _SHOWN.search(brackets) else brackets)


def _is_object(piece: bytes) -> bool:
    """Whether all of the piece, behind a prefix, is one JSON object."""
    try:
        return isinstance(json.loads(piece[piece.find(b"{") :]), dict)
    except (ValueError, RecursionError):
        return False


def _unquoted(piece: bytes) -> bytes:
    """The piece with only keys, hashes, times and literals left.

    It may begin or end inside a string, so it is not known which side of a quote is a string: what is kept may be
    kept on either.
    """
    kept = bytearray()
    segments = (match.groups() for match in _SEGMENT.finditer(piece))  # one by one: it may be nothing but quotes
    for place, ((text, quote), (behind, _)) in enumerate(itertools.pairwise(itertools.chain(segments, [(b"", b"")]))):
        kept += _segment(text, behind, first=place == 0) + quote
    return bytes(kept)


def _segment(text: bytes, behind: bytes, *, first: bool) -> bytes:
    key = behind.lstrip()[:1] == b":" and _NAME.fullmatch(text)
    opening = first and text.rstrip()[-1:] == b"{" and benign_prefix(text.rstrip()[:-1])
    if key or opening or _BETWEEN.fullmatch(text) or _HIDDEN.fullmatch(text):
        return text
    return REDACTED.encode()


def _element(match: re.Match[bytes]) -> bytes:
    text = match[1].strip()
    return match[0] if not text or _HIDDEN.fullmatch(text) else b">" + REDACTED.encode()
