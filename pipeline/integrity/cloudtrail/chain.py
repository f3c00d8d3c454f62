"""One chain of digests, oldest first: links, holes, freshness.

Between two sound digests every hour must be accounted for: by digests that are there, sound or not, or as a hole. What
an unsound digest says is not believed; it stands for the hour before the time in its name, unless sound ones cover it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from pipeline.integrity.cloudtrail.names import HOUR, digest_name, hours

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from pipeline.integrity.cloudtrail.digest import Digest
    from pipeline.integrity.cloudtrail.names import Chain
    from pipeline.integrity.cloudtrail.report import Found, Report
    from pipeline.integrity.cloudtrail.scope import Scope

# Causes that tell of what the verifier was given rather than of one object: neighbours are one place.
_JOINED: Final = frozenset({"metadata_missing", "key_unknown", "key_unreadable", "key_not_valid"})
_BEGINNING: Final = -(2**62)


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a chain's time and the place that spoils it; None when digests cover it."""

    start: int
    end: int
    found: Found | None


class ChainCheck:
    """Is given a chain's digests one by one. `segments` and `holes` are whole after `finish`.

    `keys`: every digest object of the chain's place. `known`: SHA-256 of digests seen by an earlier verification.
    """

    def __init__(
        self, chain: Chain, keys: Set[str], scope: Scope, report: Report, *, bucket: str, known: Mapping[str, str]
    ) -> None:
        self.chain = chain
        self.segments: list[Segment] = []
        self.holes: list[Segment] = []
        self.first: int | None = None  # start of the oldest sound digest
        self.last: Digest | None = None  # newest sound digest
        self.count = 0  # digests looked at
        self.later = False  # its first digest is of after the scope
        self._keys, self._scope, self._report = keys, scope, report
        self._bucket, self._known = bucket, known
        self._lower = scope.start
        self._waiting: list[tuple[Digest, Found]] = []  # unsound ones since the last sound one
        self._apart: dict[str, Digest] = {}  # of a backfill chain: sound ones by key, to be linked at the end
        self._ok: Found | None = None
        self._digests = self._logs = 0
        self._run: tuple[Digest, Found] | None = None

    def step(self, digest: Digest, spoiled: Found | None = None) -> None:
        """The next digest; `spoiled` is what is wrong with the logs it lists."""
        self.count += 1
        told = self._tell(digest)
        if not digest.sound:
            assert told is not None  # noqa: S101  what is unsound has a fault
            self._waiting.append((digest, told))
            return
        slim = dataclasses.replace(digest, logs=())
        if self.chain.backfill:
            self._apart[digest.key] = slim
            self._waiting = []
        else:
            told = self._join(slim) or told
        self._cover(digest, told or spoiled)
        self.first = digest.start if self.first is None else self.first
        self.last = slim

    def finish(self) -> None:
        """No more digests: is the newest one new enough, and of this bucket?"""
        if self.chain.backfill:
            self._link_backfill()
            return
        self._settle(self._scope.due, "stale", "")
        if self.last is not None and self._bucket not in ("", self.last.bucket):
            where = f"made for bucket {self.last.bucket[:64]}; the others here are of {self._bucket[:64]}"
            self._report.add("moved", self.last.key, (self.last.start, self.last.end), evidence=where)

    def _tell(self, digest: Digest) -> Found | None:
        """The faults of the digest itself, as places; the last of them."""
        told, span = None, (digest.start, digest.end)
        for fault in digest.faults:
            if self._run is not None and fault.cause == self._run[1].cause and fault.cause in _JOINED:
                told = self._run[1]
                told.source, told.file, told.end = self.chain.region, digest.key, digest.end
                told.count += 1
            else:
                told = self._report.add(fault.cause, digest.key, span, evidence=fault.evidence, offset=fault.offset)
        self._run = (digest, told) if told is not None else None
        if digest.sha256 and self._known.get(digest.key, digest.sha256) != digest.sha256:
            told = self._report.add("head_changed", digest.key, span)
        return told

    def _join(self, digest: Digest) -> Found | None:
        """Ties a sound digest to those before it."""
        named = "" if digest.previous is None else digest.previous.key
        told = self._settle(digest.start, self._why(digest), named)
        fault = self._compare(digest)
        found = None
        if fault is not None:
            since = digest.start if self.last is None else self.last.start
            found = self._report.add(fault[0], digest.key, (since, digest.end), evidence=fault[1])
        elif not told and self._lost(digest):
            self._hole(self._why(digest), digest.start - HOUR, digest.start, named)
        self._waiting, self._lower = [], digest.end
        return found

    def _why(self, digest: Digest) -> str:
        """The cause of a hole that ends where `digest` begins."""
        link = digest.previous
        if link is None:
            return "starts_late" if self.last is None else "logging_gap"
        if link.key in self._keys:
            return "logging_gap"
        return "digest_missing" if link.bucket == digest.bucket else "bucket_change"

    def _lost(self, digest: Digest) -> bool:
        """Whether the digest before is gone and no hole has told so yet."""
        link = digest.previous
        if link is None or link.key in self._keys:
            return False
        return self._scope.start is None or digest.start > self._scope.start

    def _compare(self, digest: Digest) -> tuple[str, str] | None:
        """What does not fit between a sound digest and the sound one before it: cause and evidence."""
        last, link = self.last, digest.previous
        if link is not None:
            for waiting, found in self._waiting:
                if waiting.key == link.key and waiting.sha256 == link.sha256:
                    vouched = "the digest after it vouches for its contents"
                    found.evidence = f"{found.evidence}; {vouched}" if found.evidence else vouched
        if last is None:
            return None
        if digest.start < last.end:
            return "overlap", f"with {last.key}"
        if link is None:
            return ("link_missing", last.key) if digest.start == last.end else None
        if link.key != last.key:
            stray = digest.start == last.end or (link.key in self._keys and not self._is_waiting(link.key))
            return ("link_key", f"{link.key[:300]} instead of {last.key}") if stray else None
        return _misfit(digest, last)

    def _is_waiting(self, key: str) -> bool:
        return any(digest.key == key for digest, _ in self._waiting)

    def _settle(self, upper: int, cause: str, named: str) -> bool:
        """Accounts for the time between the last sound digest and `upper`; whether a hole ends there."""
        at = self._lower if self._lower is not None else min((d.start for d, _ in self._waiting), default=upper)
        end = upper if cause != "stale" else max([upper, *(digest.end for digest, _ in self._waiting)])
        for digest, found in sorted(self._waiting, key=lambda pair: pair[0].start):
            start, stop = max(digest.start, at), min(digest.end, end)
            if start >= stop:
                continue
            if start > at:
                self._hole("digest_missing", at, start, "")
            segment = Segment(start, stop, found)
            self.segments.append(segment)
            self.holes.append(segment)
            at = stop
        if at < upper:
            self._hole(cause, at, upper, named)
        return at < upper

    def _hole(self, cause: str, start: int, end: int, named: str) -> None:
        count = hours(start, end)
        exact = cause == "digest_missing" and named and count == 1
        evidence = f"{self.chain}" + (f"; named by its successor: {named[:300]}" if named and not exact else "")
        source = named[:1024] if exact else self.chain.region
        found = self._report.add(
            cause, source, (start, end), count=count, evidence=evidence, file="" if exact else named[:1024]
        )
        self.segments.append(Segment(start, end, found))
        open_ended = self._lower is None and self.last is None
        self.holes.append(Segment(_BEGINNING if open_ended else start, end, found))

    def _cover(self, digest: Digest, spoiled: Found | None) -> None:
        """Adds a sound digest to the stretch that holds, or ends that."""
        self._logs += len(digest.logs)
        if spoiled is not None or not self.chain.backfill:
            self.segments.append(Segment(digest.start, digest.end, spoiled))
        if spoiled is not None:
            self._ok = None
            return
        if self._ok is None or (self._ok.end != digest.start and not self.chain.backfill):
            self._ok = self._report.add("", self.chain.region, (digest.start, digest.end), count=0, file=digest.key)
            self._logs = len(digest.logs)
        self._ok.end = max(digest.end, self._ok.end or digest.end)
        self._ok.count += 1
        self._ok.evidence = f"{self.chain}: {self._ok.count} digests and {self._logs} logs hold"

    def _link_backfill(self) -> None:
        """Backfilled digests come when they come: only their links can be held against them."""
        for digest in self._apart.values():
            link = digest.previous
            if link is None:
                continue
            before = self._apart.get(link.key)
            if before is not None:
                fault = _misfit(digest, before)
                if fault is not None:
                    span = (digest.start, digest.end)
                    self._report.add(fault[0], digest.key, span, evidence=fault[1])
            elif link.key not in self._keys:
                self._lost_backfill(digest, link.key, same=link.bucket == digest.bucket)

    def _lost_backfill(self, digest: Digest, key: str, *, same: bool) -> None:
        name = digest_name(key, self.chain.account, self.chain.region)
        end = digest.start if name is None else name.end
        if self._scope.start is None or end > self._scope.start:
            cause = "digest_missing" if same else "bucket_change"
            self._report.add(cause, key[:1024], (end - HOUR, end), evidence=f"{self.chain}; named by {digest.key}")


def _misfit(digest: Digest, before: Digest) -> tuple[str, str] | None:
    """What in the link of `digest` is not so of the digest it names: cause and evidence."""
    link = digest.previous
    assert link is not None  # noqa: S101  asked only where there is one
    if link.bucket != before.bucket:
        return "link_key", f"bucket {link.bucket[:64]} instead of {before.bucket[:64]}"
    if link.sha256 != before.sha256:
        return "link_hash", before.key
    if link.signature != before.signature:
        return "link_signature", before.key
    return None
