"""Text on its way out: bounded, encodable, and without characters that act instead of being read."""

from __future__ import annotations

from typing import Any, Final

import msgspec

TEXT_MAX: Final = 2_000

# Characters that move the cursor, reverse or hide text, or end a line for some reader: C0, DEL, C1, the line and
# paragraph separators, and the format characters (bidi controls, zero-width, tags), of which none is needed to read.
# Unicode categories Cc, Cf, Zl, Zp, as closed ranges.
_RANGES: Final = (
    (0x00, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD), (0x70F, 0x70F),
    (0x890, 0x891), (0x8E2, 0x8E2), (0x180E, 0x180E), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x2064), (0x2066,
    0x206F), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x13438),
    (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0001, 0xE0001), (0xE0020, 0xE007F),
)  # fmt: skip
ACTING: Final = frozenset(code for low, high in _RANGES for code in range(low, high + 1))
_VISIBLE: Final = {code: f"<U+{code:04X}>" for code in ACTING} | {ord("\n"): " ", ord("\r"): " ", ord("\t"): " "}


_FORMULA: Final = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")  # and their full-width forms
_TRIMMED: Final = frozenset("\t\r\n")


def _escaped(code: int) -> str:
    """The character as JSON spells it in ASCII (RFC 8259 §7)."""
    units = chr(code).encode("utf-16-be")
    return "".join(f"\\u{int.from_bytes(units[i : i + 2], 'big'):04x}" for i in range(0, len(units), 2))


_JSON_ESCAPES: Final = {code: _escaped(code) for code in ACTING if code >= 0x7F}


def plain(value: object, most: int = TEXT_MAX) -> str:
    """`value` as text of at most `most` characters ("…" where cut); half of a surrogate pair becomes U+FFFD."""
    text = "" if value is None else str(value)
    if len(text) > most:
        text = text[: most - 1] + "…"
    try:
        text.encode()
    except UnicodeEncodeError:
        text = "".join("\ufffd" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)
    return text


def visible(value: object, most: int = TEXT_MAX) -> str:
    """One line that does nothing to whatever shows it: line ends become blanks, other acting characters `<U+001B>`."""
    return plain(value, most).translate(_VISIBLE)


def inert(text: str) -> str:
    """A cell that no spreadsheet takes for a formula, whatever trims or widens its first character."""
    return "'" + text if text.lstrip()[:1] in _FORMULA or text[:1] in _TRIMMED else text


def json_bytes(value: Any) -> bytes:
    """Compact UTF-8 JSON on one line, keys in the order given; all text must have been through `plain`.

    What acts instead of being read is escaped, so nothing is lost and a terminal that shows the line is safe.
    """
    encoded = msgspec.json.encode(value)
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    return json_shown(encoded.decode()).encode()


def json_shown(text: str) -> str:
    """JSON text with the characters that act escaped; it means the same as before."""
    return text.translate(_JSON_ESCAPES)


def json_ascii(value: Any) -> bytes:
    """The same with every character outside ASCII escaped."""
    text = json_bytes(value).decode()
    return "".join(c if c < "\x80" else _escaped(ord(c)) for c in text).encode()
