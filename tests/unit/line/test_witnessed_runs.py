"""A run asks the witnesses of its ledger's policy, and stops when one holds another history."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline import verification
from pipeline.app import RunOptions
from pipeline.config import Settings
from pipeline.job import Run
from pipeline.ledger import ForkError, note, policy
from pipeline.ledger.keys import FileSigner
from pipeline.ledger.witness_server import Witness, serve
from tests.lakes import run
from tests.trail import MAIN, trail

SIGNER = FileSigner("witness.example", Ed25519PrivateKey.from_private_bytes(b"\x03" * 32))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A lake that has read half of a log."""
    (path,) = trail(MAIN).write(tmp_path / "logs")
    whole = path.read_bytes().splitlines(keepends=True)
    (tmp_path / "rest").write_bytes(b"".join(whole[300:]))
    path.write_bytes(b"".join(whole[:300]))
    run(tmp_path / "lake", path)
    return path


@pytest.fixture
def witness(log: Path, tmp_path: Path) -> Iterator[Witness]:
    """A witness that the ledger's policy names, and whose signature it wants."""
    kept = tmp_path / "lake/ledger/policy"
    known = policy.read(kept)
    assert known is not None
    witness = Witness(tmp_path / "witness", SIGNER, known.logs)
    server = serve(witness, ("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    lines = (f"log {known.logs[0].vkey()}", f"witness w {witness.verifier.vkey()} {url}", "quorum w")
    kept.write_text("".join(f"{line}\n" for line in lines))
    yield witness
    server.shutdown()
    server.server_close()
    thread.join()


def read_on(log: Path, tmp_path: Path) -> Run:
    with log.open("ab") as file:
        file.write((tmp_path / "rest").read_bytes())
    return Run(RunOptions((str(log),), tmp_path / "lake", signing_key=str(tmp_path / "signing.key")), Settings())


def test_the_published_checkpoint_is_cosigned(log: Path, witness: Witness, tmp_path: Path) -> None:
    """At the end of a run the witness's signature is on the newest checkpoint, and verification finds its quorum."""
    read_on(log, tmp_path).execute()
    signed = note.parse((tmp_path / "lake/ledger/checkpoint").read_bytes())
    assert note.verify(signed, [witness.verifier])
    report = verification.verify_lake(tmp_path / "lake", None, (), None)[0].report
    assert report.exit_code == 0
    assert not [text for text in report.notes if "witness" in text or "quorum" in text]


def test_a_witness_that_is_away_is_named(log: Path, witness: Witness, tmp_path: Path) -> None:
    """The run is whole without it, and says whose signature is missing."""
    kept = tmp_path / "lake/ledger/policy"
    kept.write_text(kept.read_text().replace("http://127.0.0.1:", "http://127.0.0.1:9/"))
    job = read_on(log, tmp_path)
    job.execute()
    assert [text for text in job.notes if text.startswith("witness w did not sign")]


def test_a_lake_put_back_with_all_it_remembered_is_stopped_by_the_witness(
    log: Path, witness: Witness, tmp_path: Path
) -> None:
    """An older lake and an older record of what was signed fit each other; the witness knows better."""
    for name in ("lake", "signed"):
        shutil.copytree(tmp_path / name, tmp_path / f"older {name}")
    before = log.read_bytes()
    read_on(log, tmp_path).execute()
    for name in ("lake", "signed"):
        shutil.rmtree(tmp_path / name)
        (tmp_path / f"older {name}").rename(tmp_path / name)
    log.write_bytes(before)
    with pytest.raises(ForkError, match="witness w"):
        read_on(log, tmp_path).execute()
