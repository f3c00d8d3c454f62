"""Every decoder folder, whatever the format: its cases hold, and no bytes upset it.

A case is `cases/NAME.in`, raw bytes, beside `cases/NAME.json`: {"events": [columns that must hold, per event],
"rejected": [[position, reason], …]}.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.core import plugins
from pipeline.core.schema import DECODED, OPERATIONS_VOCABULARY, OUTCOMES
from pipeline.decoders import together
from tests.decoding import batch_of, batch_of_records, drained, seen, uncovered

if TYPE_CHECKING:
    from pipeline.core.ports import Decoder

ROOM = "pipeline.decoders"
FOLDERS = plugins.kinds(ROOM)
AUTO = "auto"  # all of them together, as they are when no format is asked for
KINDS = (*FOLDERS, AUTO)


def _folder(kind: str) -> Path:
    return Path(str(importlib.import_module(f"{ROOM}.{kind}").__file__)).parent


def _inputs(kind: str) -> list[Path]:
    folders = FOLDERS if kind == AUTO else (kind,)
    return [path for folder in folders for path in sorted((_folder(folder) / "cases").glob("*.in"))]


CASES = [
    pytest.param(kind, path, id=f"{kind}-{path.parent.parent.name}-{path.stem}")
    for kind in KINDS
    for path in _inputs(kind)
]


def _decoder(kind: str) -> Decoder:
    if kind == AUTO:
        modules = [plugins.load(ROOM, folder) for folder in FOLDERS]
        return together([module.format_of(module.Config()) for module in modules])
    module = plugins.load(ROOM, kind)
    made: Decoder = module.create(module.Config())
    return made


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _plain(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, dt.datetime) else value


@pytest.mark.parametrize(("kind", "path"), CASES)
def test_case_holds(kind: str, path: Path) -> None:
    """Each case's bytes give the events and refusals that it states."""
    want = json.loads(path.with_suffix(".json").read_text())
    batch = batch_of(path.read_bytes())
    decoded = _decoder(kind).decode(batch)
    rows = decoded.events.sort("piece").to_dicts()
    got = [{name: _plain(row[name]) for name in event} for row, event in zip(rows, want["events"], strict=True)]
    assert got == want["events"]
    refused = [[int(decoded.pieces.positions[piece]), reason] for piece, reason in decoded.rejected.rows()]
    assert refused == want["rejected"]


@pytest.mark.parametrize(("kind", "path"), CASES)
def test_case_is_the_same_in_any_cut(kind: str, path: Path) -> None:
    """One record at a time gives what all records at once give."""
    data = path.read_bytes()
    decoder = _decoder(kind)
    assert drained(decoder, data, [1]) == drained(decoder, data)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_decoder_has_cases_and_a_readme(folder: str) -> None:
    """A folder without a case proves nothing, and one without a README explains nothing."""
    assert (_folder(folder) / "README.md").is_file()
    assert _inputs(folder)


def test_nothing_gives_nothing(kind: str) -> None:
    """A batch without records is no error."""
    decoded = _decoder(kind).decode(batch_of(b""))
    assert decoded.consumed == 0
    assert decoded.events.schema == DECODED
    assert decoded.events.is_empty()
    assert decoded.rejected.is_empty()


_WORDS = st.sampled_from(
    [
        b"{", b"}", b'"', b"\\", b"\x00", b"\r", b" ", b"\t", b"\xff", b"\xef\xbb\xbf", b"[", b"]", b",", b":", b"<",
        b'{"time":', b'"type":"request"', b'"request":{', b'"a":1', b"\\u0000", b"\\ud800", b"null", b"1e999",
        b"\xc3\xa4", b"hvs.abcdefghij",
    ]
)  # fmt: skip
_SOUP = st.lists(st.one_of(_WORDS, st.binary(max_size=8)), max_size=40).map(b"".join)


@st.composite
def _files(draw: st.DrawFn, kind: str) -> bytes:
    """Lines of cases, whole, cut, spliced or with bytes changed, between lines of rubbish."""
    texts = [path.read_bytes() for path in _inputs(kind)]
    good = [line for text in texts for line in text.split(b"\n")] or [b""]
    lines = []
    for _ in range(draw(st.integers(0, 6))):
        line = bytearray(draw(st.sampled_from(good)))
        if draw(st.booleans()):
            at = draw(st.integers(0, len(line)))
            line[at : at + draw(st.integers(0, 9))] = draw(st.one_of(_SOUP, st.sampled_from(good)))
        lines.append(bytes(line))
        lines += draw(st.lists(_SOUP, max_size=2))
    return b"\n".join(lines)


@settings(deadline=None)
@given(data=st.data())
def test_any_bytes_are_accounted_for(kind: str, data: st.DataObject) -> None:
    """Whatever the bytes, decode does not raise, and every byte that is not blank is in exactly one piece."""
    batch = batch_of(data.draw(_files(kind)))
    decoded = _shared(kind).decode(batch)
    assert decoded.consumed == len(batch)
    assert uncovered(batch, decoded) == b""
    assert decoded.events.schema == DECODED
    assert decoded.events["time"].null_count() == 0
    assert set(decoded.events["operation"]) <= set(OPERATIONS_VOCABULARY)
    assert set(decoded.events["outcome"]) <= set(OUTCOMES)
    assert all(piece.text.strip() for piece in seen(batch, decoded))


@settings(deadline=None)
@given(data=st.data())
def test_any_bytes_are_the_same_in_any_cut(kind: str, data: st.DataObject) -> None:
    """Pieces, events, refusals and replacements do not depend on how the records were cut into batches."""
    text = data.draw(_files(kind))
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    assert drained(_shared(kind), text, sizes) == drained(_shared(kind), text)


@settings(deadline=None)
@given(data=st.data())
def test_batches_together_are_as_each_by_itself(kind: str, data: st.DataObject) -> None:
    """What stands in one batch changes nothing of another, be they lines of files or records with line ends."""
    decoder, texts = _shared(kind), data.draw(st.lists(_files(kind), max_size=4))
    batches = [
        batch_of_records(text.split(b"{"))
        if data.draw(st.booleans())
        else batch_of(text, final=data.draw(st.booleans()))
        for text in texts
    ]
    for alone, among in zip(map(decoder.decode, batches), decoder.decode_all(batches), strict=True):
        assert_frame_equal(alone.events, among.events)
        assert_frame_equal(alone.rejected, among.rejected)
        assert (alone.consumed, alone.replaced) == (among.consumed, among.replaced)
        for mine, its in zip(astuple(alone.pieces), astuple(among.pieces), strict=True):
            assert mine.tolist() == its.tolist()


_DECODERS: dict[str, Decoder] = {}


def _shared(kind: str) -> Decoder:
    return _DECODERS.setdefault(kind, _decoder(kind))
