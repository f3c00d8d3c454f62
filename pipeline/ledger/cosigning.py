"""Cosignatures while the line goes on: the witnesses of the log's policy are asked beside it, never in its way.

`attach` before a commit, `ask` after it: only the checkpoint that is still the newest gets what was signed for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import note, policy
from pipeline.ledger.errors import ForkError
from pipeline.ledger.files import read_optional
from pipeline.ledger.log import Ledger
from pipeline.ledger.tiles import TileReader
from pipeline.ledger.witness import Cosigned, Witnesses


class Cosigning:
    """One question at a time. A log without witnesses that can be reached asks nobody."""

    def __init__(self, ledger: Ledger) -> None:
        """Raises ConfigError for a policy that cannot be used."""
        self._ledger = ledger
        known = policy.read(ledger.folder / "policy") or policy.Policy()
        self._witnesses = Witnesses(known) if known.urls else None
        self._pool = ThreadPoolExecutor(1, "cosigning")
        self._asked: Future[Cosigned] | None = None
        self._text = b""  # of the checkpoint asked for last
        self.refused: dict[str, str] = {}  # by witness, of the last answer

    def ask(self) -> None:
        """Ask about the newest published checkpoint, unless an answer is outstanding or nothing is new."""
        if self._witnesses is None or self._asked is not None:
            return
        published = read_optional(self._ledger.folder / "checkpoint")
        if published is not None and note.parse(published).text != self._text:
            self._text = note.parse(published).text
            self._asked = self._pool.submit(self._witnesses.cosign, published, self._proof)

    def attach(self) -> None:
        """Put what came back on the checkpoint. Raises ForkError when a witness holds another history of this log."""
        if self._asked is None or not self._asked.done():
            return
        answer, self._asked = self._asked.result(), None
        self.refused = dict(answer.refused)
        if answer.forks:
            told = "; ".join(f"witness {name} {self.refused[name]}" for name in answer.forks)
            raise ForkError(f"the ledger {self._ledger.origin} is not the one that was witnessed: {told}")
        self._ledger.attach(answer.checkpoint)

    def finish(self, seconds: float) -> None:
        """At the end of a run: wait for the newest checkpoint's cosignatures, so long at most for each question."""
        for _ in range(2):
            if self._asked is not None:
                wait([self._asked], seconds)
            self.attach()
            self.ask()
            if self._asked is None:
                break

    def close(self) -> None:
        """Wait for nobody any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _proof(self, old: int, size: int) -> Sequence[bytes]:
        stated = checkpoints.parse(self._text).size
        return TileReader(self._ledger.folder, stated).consistency_proof(old, size)
