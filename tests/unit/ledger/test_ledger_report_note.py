"""What the ledger's key says of a report, and that it can be taken for nothing else it says."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import note, report_note, rotation
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.keys import FileSigner

PERIOD = ("2026-03-02T00:00:00.000000Z", "2026-03-09T00:00:00.000000Z")
NAMES = ("example.org/log", "keytrail-report/v1", "keytrail-intent/v1", "17", "access-review")


def signer(name: str = NAMES[0]) -> FileSigner:
    """One key, under any name."""
    return FileSigner(name, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def statement(name: str = NAMES[0]) -> report_note.Statement:
    """About a report at two heads."""
    heads = (Checkpoint(name, 7, bytes(range(32))), Checkpoint("other/log", 0, checkpoints.EMPTY_ROOT))
    return report_note.of("access-review", PERIOD, b"{}\n", heads)


GOOD = report_note.sign(statement(), signer())
KEY = note.verifier_of(signer())


def test_it_binds_report_period_manifest_and_heads() -> None:
    """What was signed is what is read."""
    told, key = report_note.open_statement(GOOD, [KEY])
    assert told == statement()
    assert key == KEY
    assert told.manifest == "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"


@given(at=st.integers(0, len(GOOD) - 1), change=st.integers(1, 255))
def test_no_byte_of_it_can_change(at: int, change: int) -> None:
    """A note with any byte changed is refused."""
    changed = bytearray(GOOD)
    changed[at] ^= change
    with pytest.raises(LedgerError):
        report_note.open_statement(bytes(changed), [KEY])


@pytest.mark.parametrize("name", NAMES)
def test_what_a_key_signs_is_never_taken_for_something_else(name: str) -> None:
    """Whatever the log is called: no checkpoint or intent passes for a report, no report for one of those."""
    key = [note.verifier_of(signer(name))]
    report = report_note.sign(statement(name), signer(name))
    head = Checkpoint(name, 7, bytes(range(32)))
    for other in (checkpoints.sign_checkpoint(head, [signer(name)]), checkpoints.sign_intent(head, [signer(name)])):
        with pytest.raises(LedgerError):
            report_note.open_statement(other.encode(), key)
    for opened in (checkpoints.open_checkpoint, checkpoints.open_intent):
        with pytest.raises(LedgerError):
            opened(report, key)
    assert report_note.open_statement(report, key)[0] == statement(name)


def test_a_rotation_is_no_report() -> None:
    """What two keys sign when a log is handed over begins otherwise."""
    text = rotation.statement(KEY.vkey(), KEY.vkey(), 3)
    with pytest.raises(LedgerError):
        report_note.open_statement(note.sign(text, [signer()]).encode(), [KEY])


def test_another_key_opens_nothing() -> None:
    """Neither another key nor this key under another name."""
    other = FileSigner(NAMES[0], Ed25519PrivateKey.from_private_bytes(bytes(32)))
    for key in (note.verifier_of(other), note.verifier_of(signer("another/log"))):
        with pytest.raises(LedgerError, match="none of the trusted keys"):
            report_note.open_statement(GOOD, [key])


@pytest.mark.parametrize(
    "change",
    [
        {"report": "Access review"}, {"report": "7"}, {"report": ""}, {"report": "access-review\nx"},
        {"start": "2026-03-02"}, {"end": PERIOD[1] + "\n"}, {"manifest": "0" * 63}, {"manifest": "A" * 64},
        {"heads": ()}, {"heads": (Checkpoint("other/log", 7, bytes(32)),)},
        {"heads": (Checkpoint(NAMES[0], 7, bytes(32)),) * 2}, {"heads": (Checkpoint(NAMES[0], 7, bytes(31)),)},
        {"heads": (Checkpoint(NAMES[0], -1, bytes(32)),)}, {"heads": (Checkpoint("a b", 7, bytes(32)),)},
    ],
)  # fmt: skip
def test_what_is_no_statement_is_neither_signed_nor_read(change: dict[str, object]) -> None:
    """Malformed parts, a signer whose own head is missing, and two heads of one log are refused."""
    odd = dataclasses.replace(statement(), **change)  # type: ignore[arg-type]
    with pytest.raises(LedgerError):
        report_note.sign(odd, signer())
    with pytest.raises(LedgerError):
        report_note.open_statement(note.sign(odd.text(), [signer()]).encode(), [KEY])


@given(data=st.binary(max_size=300) | st.text(max_size=300).map(lambda text: f"keytrail-report/v1\n{text}".encode()))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    """Nothing but LedgerError comes of what is no statement."""
    try:
        report_note.parse(data)
    except LedgerError:
        return
    assert report_note.parse(data).text() == data
