"""The exact parser: one piece of text to a JSON value, and that to one row of a RAW frame, or the reason why not.

Stricter than RFC 8259 where parsers are known to differ: no key twice in an object, no lone surrogate, limited depth.
Slow, and therefore only for what the quick parser could not vouch for.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.decoders._fields import Field

MAX_DEPTH: Final = 64
# What an entry's time may be: far enough from the ends of every clock and calendar to reckon with.
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)  # itself not
_INT64: Final = range(-(1 << 63), 1 << 63)
_DIGITS: Final = 4000  # CPython refuses to make an integer of much more (sys.int_info)
_TIME: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})T(\d{2}):(\d{2}):(\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2})", re.ASCII | re.IGNORECASE
)


class RefusedError(ValueError):
    """The text is no entry; `args[0]` is the reason, a short fixed word."""


def loads(text: str) -> Any:
    """The JSON value that is all of `text`, checked. Raises RefusedError, or json.JSONDecodeError for bad syntax."""
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise RefusedError("too_deep") from None
    _check(value)
    return value


def load_object(piece: bytes) -> dict[str, Any]:
    """The JSON object that is all of `piece`. Raises RefusedError."""
    try:
        body = loads(piece.decode())
    except UnicodeDecodeError:
        raise RefusedError("bad_utf8") from None
    except json.JSONDecodeError:
        raise RefusedError("malformed") from None
    if not isinstance(body, dict):
        raise RefusedError("not_object")
    return body


def _pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise RefusedError("duplicate_key")
    return made


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < _DIGITS else float(digits)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_integer, strict=True)


def _check(value: Any) -> None:
    """Refuse what is nested too deeply or cannot be written as UTF-8."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, str) and not item.isascii() and _has_surrogate(item):
                raise RefusedError("lone_surrogate")
        if not below:
            return
        level = below
    raise RefusedError("too_deep")


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def row_of(body: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """The RAW row of these fields, each as it is read."""
    return {name: _CONVERT[field.kind](_get(body, field.path)) for name, field in fields.items()}


def utc(text: str | None) -> str | None:
    """An RFC 3339 time as the same moment ending in `Z`; None for anything else, and before 1970 or from 9000 on."""
    match = _TIME.fullmatch(text or "")
    if match is None:
        return None
    day, hour, minute, second, fraction, zone = match.groups()
    leap = second == "60"  # RFC 3339 allows it; the moment after :59
    try:
        moment = datetime.fromisoformat(f"{day}T{hour}:{minute}:{'59' if leap else second}+00:00")
        if zone not in "Zz":
            sign = -1 if zone[0] == "-" else 1
            moment -= sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
        moment += timedelta(seconds=leap)
    except (ValueError, OverflowError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (fraction or "") + "Z" if EARLIEST <= moment < LATEST else None


def _get(body: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    return body


def dumps(value: Any) -> str:
    """Compact JSON, letters outside ASCII as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return (value if isinstance(value, str) else dumps(value)).replace("\x00", "\ufffd")


def _texts(value: Any) -> list[str | None] | None:
    return [_text(item) for item in value] if isinstance(value, list) else None


def _int(value: Any) -> int | None:
    if isinstance(value, str):
        value = int(value) if re.fullmatch(r"-?\d{1,19}", value, re.ASCII) else None
    if isinstance(value, float):
        value = round(value) if abs(value) < 1 << 63 else None
    return value if isinstance(value, int) and value in _INT64 else None


_CONVERT: Final[dict[str, Callable[[Any], Any]]] = {
    "text": _text,
    "texts": _texts,
    "int": _int,
    "bool": lambda value: value if isinstance(value, bool) else None,
    "json": lambda value: None if value is None else dumps(value),
    "object": lambda value: isinstance(value, dict),
    "rows": lambda value: sum(_get(item, ("type",)) is not None for item in value) if isinstance(value, list) else None,
}
