"""No secret value leaves the Vault decoder, from a device that hashes nothing, whole or torn."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.decoders.vault import Config, create
from tests.decoding import batch_of, seen

MARK = "Zq7Zq7"
DECODER = create(Config())

_SECRET = st.sampled_from(
    [
        MARK, f"{MARK} two words", f'{MARK}"quoted"', f"{MARK}\\", f"{{{MARK}", f"{MARK}:1", f"a,{MARK}",
        f"hmac-sha256:{MARK}", f"ü{MARK}",
    ]
)  # fmt: skip
_TOKEN = st.sampled_from([f"hvs.{MARK}{'x' * 24}", f"s.{MARK}{'y' * 18}", f"{MARK}{'z' * 18}", f"b.{MARK}{'A' * 90}"])
_PATH = st.sampled_from(
    [
        "kv/data/app", f"auth/token/lookup-accessor/{MARK}", f"auth/token/revoke/hvs.{MARK}{'x' * 24}",
        f"sys/wrapping/unwrap/{MARK}xx", f"cubbyhole/s.{MARK}{'y' * 18}",
    ]
)  # fmt: skip
_NAMES = st.sampled_from(["a", "data", "b"])
_HEADERS = st.fixed_dictionaries({"user-agent": st.just(["a"]), "x-app-secret": st.lists(_SECRET, max_size=2)})
_VALUES = st.recursive(
    st.one_of(_SECRET, st.integers(0, 99), st.none(), st.just("hmac-sha256:" + "0" * 64)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_NAMES, inner, max_size=3)),
    max_leaves=5,
)
_DATA = st.dictionaries(st.sampled_from(["password", "data", "x y", "key_info"]), _VALUES, max_size=3)
_AUTH = st.fixed_dictionaries({"client_token": _TOKEN, "accessor": _TOKEN, "display_name": st.just("approle")})
_ENTRY = st.fixed_dictionaries(
    {
        "time": st.just("2026-03-01T08:00:00.1Z"),
        "type": st.sampled_from(["request", "response"]),
        "auth": _AUTH,
        "request": st.fixed_dictionaries(
            {
                "id": st.just("i"), "operation": st.just("read"), "path": _PATH, "client_token": _TOKEN,
                "client_token_accessor": _TOKEN, "data": _DATA, "request_uri": _PATH,
                "headers": _HEADERS,
            }
        ),
        "response": st.fixed_dictionaries(
            {
                "data": _DATA, "auth": _AUTH,
                "wrap_info": st.fixed_dictionaries(
                    {"ttl": st.just(3), "token": _TOKEN, "accessor": _TOKEN, "wrapped_accessor": _TOKEN}
                ),
            }
        ),
    },
    optional={"error": st.just(f"bad token hvs.{MARK}{'x' * 24}")},
)  # fmt: skip


def _stored(text: bytes) -> list[str]:
    batch = batch_of(text)
    kept: list[Any] = []
    for piece in seen(batch, DECODER.decode(batch)):
        kept += [
            (piece.text if piece.replaced is None else piece.replaced).decode("utf-8", "replace"),
            repr(piece.event),
        ]
    return kept


@settings(deadline=None)
@given(entry=_ENTRY)
def test_whole_entries_keep_nothing(entry: dict[str, Any]) -> None:
    """An entry in clear is an event, is marked, and neither its columns nor its stored text hold a value or token."""
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
    batch = batch_of(text.encode())
    decoded = DECODER.decode(batch)
    assert decoded.events["clear"].to_list() == [MARK in text]
    assert not any(MARK in kept for kept in _stored(text.encode()))


@pytest.mark.parametrize(
    "before",
    [
        f"auth hvs.{MARK}{'x' * 24} ", f"<13>Mar  1 vault[1]: s.{MARK}{'y' * 18} ",
        f"GET /v1/auth/token/lookup-accessor/{MARK} ", f"ü b.{MARK}{'A' * 90}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("behind", [b"", b"\n{"])
def test_a_prefix_keeps_no_token(before: str, behind: bytes) -> None:
    """A token in the text before an entry is taken out, the entry is an event and is marked."""
    text = before.encode() + b'{"time":"2026-03-01T08:00:00Z","type":"request","request":{"id":"i","path":"kv/data/a"}}'
    batch = batch_of(text + behind)
    decoded = DECODER.decode(batch)
    assert decoded.events.select("path", "clear").rows() == [("kv/data/a", True)]
    assert decoded.replaced[0].endswith(text[-30:])
    assert not any(MARK in kept for kept in _stored(text + behind))


def test_a_prefix_is_kept_as_it_was() -> None:
    """Text before an entry that holds no token stays as it is, and shows nothing."""
    text = b'<13>Mar  1 10.0.0.1 vault.1: \xff{"time":"2026-03-01T08:00:00Z","type":"request","request":{"id":"i"}}'
    decoded = DECODER.decode(batch_of(text))
    assert (decoded.replaced, decoded.events["clear"].to_list()) == ({}, [False])


@settings(deadline=None)
@given(entry=_ENTRY, cut=st.tuples(st.floats(0, 1), st.floats(0, 1)), glued=st.booleans(), doubled=st.booleans())
def test_torn_entries_keep_nothing(entry: dict[str, Any], cut: tuple[float, float], glued: bool, doubled: bool) -> None:
    """What is left of an entry, cut anywhere at either side, glued or with a key twice, holds no value or token.

    As long as there is a quote in it: a few letters from the middle of a value look like any text.
    """
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
    if doubled:
        text = text.replace('"type":', '"type":"x","type":', 1)
    raw = text.encode()
    first, last = sorted(int(place * len(raw)) for place in cut)
    piece = raw[first:last] + (raw if glued else b"")
    assume(b'"' in raw[first:last])
    for kept in _stored(piece):
        assert not any(MARK[at:] in kept for at in range(3)), kept


def _issued(mount_type: str, **given: str) -> bytes:
    request = {"id": "i", "operation": "update", "path": "x/issue/web", "mount_type": mount_type, "data": given}
    entry = {"time": "2026-03-01T08:00:00Z", "type": "request", "request": request}
    return json.dumps(entry, separators=(",", ":")).encode()


@pytest.mark.parametrize(("engine", "name"), [("pki", "common_name"), ("pki", "csr"), ("ssh", "valid_principals")])
def test_public_parts_of_a_certificate_may_show(engine: str, name: str) -> None:
    """A mount that is tuned to show for whom it certifies is no leak, and its lines are kept as they are."""
    decoded = DECODER.decode(batch_of(_issued(engine, **{name: "web.example.com"})))
    assert (decoded.replaced, decoded.events["clear"].to_list()) == ({}, [False])


@pytest.mark.parametrize(
    ("engine", "name", "value"),
    [
        ("kv", "common_name", MARK), ("pki", "private_key", MARK), ("pki", "password", MARK), ("ssh", "csr", MARK),
        ("pki", "certificate", f"-----BEGIN PRIVATE KEY-----{MARK}"), ("pki", "common_name", f"hvs.{MARK}{'x' * 24}"),
    ],
)  # fmt: skip
def test_nothing_else_may_show(engine: str, name: str, value: str) -> None:
    """Of another engine, under another name, a private key, a token: a leak all the same."""
    text = _issued(engine, **{name: value})
    assert DECODER.decode(batch_of(text)).events["clear"].to_list() == [True]
    assert not any(MARK in kept for kept in _stored(text))
