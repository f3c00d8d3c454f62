"""Witnesses: the client against a real server, the exchanges of the specification, forks and failures."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.core.errors import ConfigError
from pipeline.ledger import FileGuard, Ledger, leaf, note, policy, witness
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.keys import FileSigner
from pipeline.ledger.witness_server import Witness, parse_request, serve

LOG = FileSigner("example.org/log", Ed25519PrivateKey.from_private_bytes(b"\x01" * 32))
KEY = FileSigner("witness.example", Ed25519PrivateKey.from_private_bytes(b"\x02" * 32))


class Setup:
    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(folder / "lake", LOG, head=None, guard=FileGuard(folder / "guard"))
        self.witness = Witness(
            folder / "witness", KEY, [note.verifier_of(LOG)], clock=lambda: 1_679_315_147_000_000_000
        )
        self.server = serve(self.witness, ("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/w"
        text = f"log {note.verifier_of(LOG).vkey()}\nwitness w {self.witness.verifier.vkey()} {self.url}\nquorum w\n"
        self.policy = policy.parse(text.encode())

    def grow(self, count: int) -> bytes:
        for number in range(count):
            self.ledger.append_control(leaf.CONFIG, {"number": number})
        self.ledger.prepare()
        return self.ledger.publish().encode()

    def proof(self, old: int, size: int) -> list[bytes]:
        return self.ledger.reader().consistency_proof(old, size)

    def post(self, old: int, checkpoint: bytes, proof: list[bytes] | None = None) -> tuple[int, str, bytes]:
        return witness.post(self.url, witness.request_body(old, proof or [], checkpoint), 5)


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    made = Setup(tmp_path)
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def test_a_growing_log_is_cosigned_again_and_again(setup: Setup) -> None:
    """Each checkpoint comes back with a cosignature that the witness's key opens, and can be published so."""
    client = witness.Witnesses(setup.policy)
    for count in (3, 4, 300, 1):
        checkpoint = setup.grow(count)
        cosigned = client.cosign(checkpoint, setup.proof)
        assert (cosigned.quorum, cosigned.refused, cosigned.forks) == (True, {}, ())
        parsed = note.parse(cosigned.checkpoint)
        assert len(note.verify(parsed, [note.verifier_of(LOG), setup.witness.verifier])) == 2
        assert setup.ledger.attach(cosigned.checkpoint)
        assert (setup.ledger.folder / "checkpoint").read_bytes() == cosigned.checkpoint
    again = client.cosign(cosigned.checkpoint, setup.proof)
    assert len(note.parse(again.checkpoint).signatures) == 2


def test_a_client_that_knows_nothing_learns_the_size_from_the_conflict(setup: Setup) -> None:
    """A new process starts from zero, is told 409 with the size, and goes on from there."""
    witness.Witnesses(setup.policy).cosign(setup.grow(5), setup.proof)
    cosigned = witness.Witnesses(setup.policy).cosign(setup.grow(5), setup.proof)
    assert cosigned.quorum


def test_a_stale_cosigned_checkpoint_is_not_put_over_a_newer_one(setup: Setup) -> None:
    """Witnesses answer when they answer."""
    first = setup.grow(2)
    setup.grow(2)
    assert not setup.ledger.attach(first)


def test_the_exchanges_are_those_of_the_specification(setup: Setup) -> None:
    """404 unknown log, 403 bad signature, 400 malformed or old past size, 409 with the size, 422 bad proof, 200."""
    one, proof = setup.grow(3), []
    assert setup.post(0, one)[0] == 200
    assert setup.post(3, one)[0] == 200
    two = setup.grow(4)
    proof = setup.proof(3, 7)
    assert setup.post(0, two)[:3] == (409, "text/x.tlog.size", b"3\n")
    assert setup.post(3, two)[0] == 422
    assert setup.post(3, two, [bytes(32), *proof[1:]])[0] == 422
    assert setup.post(8, two, proof)[0] == 400
    assert setup.post(3, two.replace(LOG.name.encode(), b"example.org/else"), proof)[0] == 404
    assert setup.post(3, two[:-8] + b"AAAAAA=\n", proof)[0] in {400, 403}
    stranger = FileSigner(LOG.name, Ed25519PrivateKey.from_private_bytes(b"\x09" * 32))
    assert setup.post(3, note.sign(note.parse(two).text, [stranger]).encode(), proof)[0] == 403
    assert witness.post(setup.url, b"old x\n\n" + two, 5)[0] == 400
    assert witness.post(setup.url, b"rubbish", 5)[0] == 400
    assert setup.post(3, two, proof)[0] == 200


def test_a_fork_is_told_apart_from_a_failure(setup: Setup, tmp_path: Path) -> None:
    """A second history under the same key, shorter, longer or of the same size, is named as a fork."""
    witness.Witnesses(setup.policy).cosign(setup.grow(6), setup.proof)
    for count in (3, 6, 9):
        other = Setup(tmp_path / str(count))
        other.server.server_close()
        other.ledger.append_control(leaf.CONFIG, {"another": "history"})
        checkpoint = other.grow(count - 1)
        cosigned = witness.Witnesses(setup.policy).cosign(checkpoint, other.proof)
        assert (cosigned.quorum, cosigned.forks) == (False, ("w",)), count


def test_a_witness_that_is_away_costs_its_cosignature_and_nothing_else(setup: Setup) -> None:
    """The checkpoint comes back as it was, and the reason is told."""
    text = f"witness w {setup.witness.verifier.vkey()} http://127.0.0.1:9/\nquorum w\n"
    checkpoint = setup.grow(1)
    cosigned = witness.Witnesses(policy.parse(text.encode()), timeout=1).cosign(checkpoint, setup.proof)
    assert (cosigned.checkpoint, cosigned.quorum, cosigned.forks) == (checkpoint, False, ())
    assert "w" in cosigned.refused


def test_an_answer_without_a_valid_cosignature_is_refused(setup: Setup) -> None:
    """The client believes the key, not the status."""
    stranger = note.Verifier("witness.example", note.COSIGNATURE, LOG.public)
    text = f"witness w {stranger.vkey()} {setup.url}\nquorum w\n"
    cosigned = witness.Witnesses(policy.parse(text.encode())).cosign(setup.grow(1), setup.proof)
    assert "without a cosignature" in cosigned.refused["w"]


def test_only_web_addresses_are_called(setup: Setup) -> None:
    """A policy cannot make the client open a file."""
    text = f"witness w {setup.witness.verifier.vkey()} file:///etc/passwd\nquorum w\n"
    with pytest.raises(ConfigError, match="not an http"):
        witness.Witnesses(policy.parse(text.encode()))


def test_the_newest_cosigned_checkpoint_can_be_fetched(setup: Setup) -> None:
    """By the hash of the log's name; anything else is not found."""
    witness.Witnesses(setup.policy).cosign(setup.grow(2), setup.proof)
    answer = setup.witness.latest(hashlib.sha256(LOG.name.encode()).hexdigest())
    assert answer.status == 200
    assert note.verify(note.parse(answer.body), [setup.witness.verifier])
    assert setup.witness.latest("..").status == 404


def test_malformed_requests_raise_the_declared_error() -> None:
    """At most 63 hashes, one old line, a blank line."""
    for body in (b"", b"old 1\n", b"old 01\n\nx", b"new 1\n\nx", b"old 1\n" + (b"A" * 43 + b"=\n") * 64 + b"\nx"):
        with pytest.raises(LedgerError):
            parse_request(body)
    with pytest.raises(LedgerError):
        witness.request_body(1, [bytes(32)] * 64, b"")
