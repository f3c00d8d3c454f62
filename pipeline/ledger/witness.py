"""Getting checkpoints cosigned: the client of c2sp.org/tlog-witness v1.0.0.

It runs beside the line, never in its way: a checkpoint stands without witnesses, and the reports say so.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.ledger import asking, note
from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger.errors import ForkError, LedgerError
from pipeline.ledger.note import Signature, Verifier
from pipeline.ledger.policy import Policy

Consistency = Callable[[int, int], Sequence[bytes]]  # (old size, size) -> proof
MAX_HASHES = 63
_PATH = "/add-checkpoint"


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint with what the witnesses gave. `refused` maps a witness's name to its reason.

    `forks` names witnesses that hold another history of this log: the ledger, or a copy of it, has been rolled back
    or forked.
    """

    checkpoint: bytes
    quorum: bool
    refused: Mapping[str, str]
    forks: tuple[str, ...] = ()


class Witnesses:
    """The witnesses of a policy that have a URL. Remembers what each has seen last, to spare a round trip."""

    def __init__(self, policy: Policy, *, timeout: float = 10.0) -> None:
        for name, url in policy.urls.items():
            asking.usable(url, f"witness {name}")
        self._policy = policy
        self._timeout = timeout
        self._seen: dict[str, int] = {}

    def cosign(self, checkpoint: bytes, consistency: Consistency) -> Cosigned:
        """Ask all of them side by side. Raises nothing for a witness that fails: it is in `refused`."""
        parsed = note.parse(checkpoint)
        size = checkpoints.parse(parsed.text).size
        with ThreadPoolExecutor(max(1, len(self._policy.urls))) as pool:
            asked = {name: pool.submit(self._ask, name, checkpoint, size, consistency) for name in self._policy.urls}
        given: dict[tuple[str, bytes], Signature] = {(s.name, s.key_id): s for s in parsed.signatures}
        refused, forks = {}, []
        for name, answer in asked.items():
            try:
                signature = answer.result()
                given[signature.name, signature.key_id] = signature
            except ForkError as error:
                forks.append(name)
                refused[name] = str(error)
            except (LedgerError, OSError, http.client.HTTPException) as error:
                refused[name] = str(error) or type(error).__name__
        cosigned = note.Note(parsed.text, tuple(given.values()))
        return Cosigned(cosigned.encode(), self._quorum(cosigned), refused, tuple(forks))

    def _quorum(self, cosigned: note.Note) -> bool:
        known = {(v.name, v.key_id): v for v in self._policy.witnesses.values()}
        signed = [known[key] for s in cosigned.signatures if (key := (s.name, s.key_id)) in known]
        return self._policy.satisfied(signed)

    def _ask(self, name: str, checkpoint: bytes, size: int, consistency: Consistency) -> Signature:
        old = min(self._seen.get(name, 0), size)
        status, kind, body = self._post(name, old, checkpoint, size, consistency)
        if status == 409 and kind == "text/x.tlog.size":
            old = checkpoints.decimal(body.decode("ascii", "replace").removesuffix("\n"))
            if old > size:
                raise ForkError(f"has seen {old} entries of this log, which now has {size}")
            status, kind, body = self._post(name, old, checkpoint, size, consistency)
        if status == 422 or (status == 409 and old == size):
            raise ForkError(f"holds another history of this log (status {status} at size {old})")
        if status != 200:
            raise LedgerError(f"answered with status {status}")
        signature = _signature(body, note.parse(checkpoint).text, self._policy.witnesses[name])
        self._seen[name] = size
        return signature

    def _post(self, name: str, old: int, checkpoint: bytes, size: int, consistency: Consistency) -> asking.Answer:
        proof = consistency(old, size) if 0 < old < size else ()
        return post(self._policy.urls[name], request_body(old, proof, checkpoint), self._timeout)


def request_body(old: int, proof: Sequence[bytes], checkpoint: bytes) -> bytes:
    """What is posted to add-checkpoint."""
    if len(proof) > MAX_HASHES:
        raise LedgerError(f"a consistency proof of more than {MAX_HASHES} hashes")
    lines = [f"old {old}", *map(note.encode_base64, proof), ""]
    return "".join(f"{line}\n" for line in lines).encode() + checkpoint


def post(url: str, body: bytes, seconds: float) -> asking.Answer:
    """The answer of add-checkpoint below a submission prefix."""
    return asking.post(url.rstrip("/") + _PATH, body, "text/plain; charset=utf-8", seconds)


def _signature(body: bytes, text: bytes, witness: Verifier) -> Signature:
    """The witness's own line in its answer, verified; others are ignored."""
    for signature in note.parse(text + b"\n" + body).signatures:
        if (signature.name, signature.key_id) == (witness.name, witness.key_id):
            witness.verify(text, signature.data)
            return signature
    raise LedgerError("answered without a cosignature by its key")
