"""Text on its way out."""

from __future__ import annotations

import json
import unicodedata

import pytest

from pipeline.core.text import ACTING, json_ascii, json_bytes, plain, visible


def test_every_acting_character_is_known() -> None:
    """Every control, format and separator character of this Python's Unicode is on the list."""
    categories = ("Cc", "Cf", "Zl", "Zp")
    assert {c for c in range(0x110000) if unicodedata.category(chr(c)) in categories} <= ACTING


@pytest.mark.parametrize("render", [json_bytes, json_ascii])
def test_json_loses_nothing_and_shows_nothing_acting(render: object) -> None:
    """All acting characters survive JSON as escapes, none of them is in the bytes."""
    text = "".join(map(chr, sorted(ACTING))) + "é漢😀"
    encoded = render(text)  # type: ignore[operator]
    assert json.loads(encoded) == text
    assert not ACTING & set(map(ord, encoded.decode()))


def test_ascii_means_ascii() -> None:
    """`json_ascii` writes characters beyond the basic plane as surrogate pairs."""
    assert json_ascii({"a": "é😀"}) == b'{"a":"\\u00e9\\ud83d\\ude00"}'


def test_plain_bounds_and_mends() -> None:
    """Long text is cut with a mark, half a pair replaced, nothing becomes an error."""
    assert plain("x" * 10, 4) == "xxx…"
    assert plain("a\ud800b") == "a\ufffdb"
    assert plain(None) == ""
    assert plain("x" * 10, 10) == "x" * 10


def test_visible_is_one_harmless_line() -> None:
    """Line ends become blanks, what acts is spelled out."""
    assert visible("a\r\nb\x1b[2J\u202ec\x9b") == "a  b<U+001B>[2J<U+202E>c<U+009B>"
