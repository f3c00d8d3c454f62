"""A whole mirrored bucket: every account, region and chain, and what should be there and is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.integrity.cloudtrail.chain import ChainCheck, Segment
from pipeline.integrity.cloudtrail.coverage import Coverage
from pipeline.integrity.cloudtrail.digest import check
from pipeline.integrity.cloudtrail.event_ids import EventIds
from pipeline.integrity.cloudtrail.heads import Head, head_of
from pipeline.integrity.cloudtrail.logs import LogCheck
from pipeline.integrity.cloudtrail.names import HOUR, Chain, DigestName, hours
from pipeline.integrity.cloudtrail.report import EVERYWHERE, Report
from pipeline.integrity.cloudtrail.scope import CLOUDTRAIL_BEGAN, DUE_WITHIN, Scope
from pipeline.integrity.cloudtrail.tree import Place, Tree, vote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import polars as pl

    from pipeline.integrity.cloudtrail.digest import Digest
    from pipeline.integrity.cloudtrail.keys import Changed, KeyRing
    from pipeline.integrity.cloudtrail.report import Found, Span


@dataclass(frozen=True, slots=True)
class Verified:
    """INTEGRITY and COVERAGE rows; the heads to keep; how much was looked at. `broken`: some verdict is not ok."""

    integrity: pl.DataFrame
    coverage: pl.DataFrame
    heads: tuple[Head, ...]
    digests: int
    logs: int
    waiting: int  # logs newer than the newest digest: their digest is not due yet

    @property
    def broken(self) -> bool:
        """Whether anything does not hold."""
        return bool((self.integrity["verdict"] != "ok").any())


def verify(
    root: Path,
    ring: KeyRing,
    scope: Scope,
    *,
    seen: Sequence[Head] = (),
    changed: Sequence[Changed] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Verified:
    """The bucket mirrored under `root` against the keys in `ring`, for the time in `scope`. Reads files only.

    `seen`: heads of an earlier verification, whose chains must still be there. `changed`: keys to be told of, as they
    are not those known before. `progress` is told how many regions
    of accounts are done, and of how many. Never raises on content.
    """
    with EventIds() as ids:
        verification = _Verification(Tree(root), ring, scope, seen=seen, ids=ids)
        verification.tell(changed)
        return verification.run(progress or (lambda _done, _all: None))


class _Verification:
    def __init__(self, tree: Tree, ring: KeyRing, scope: Scope, *, seen: Sequence[Head], ids: EventIds) -> None:
        self._tree, self._ring, self._scope, self._ids = tree, ring, scope, ids
        self._seen = {head.chain: head for head in seen}
        self._known = {head.key: head.sha256 for head in seen}
        self._report, self._coverage = Report(), Coverage(scope)
        self._chains: dict[Chain, ChainCheck] = {}
        self._empty: set[tuple[str, str]] = set()  # account and region told to have no digests
        self._digests = self._logs = self._waiting = 0

    def tell(self, changed: Sequence[Changed]) -> None:
        """Of keys that are not those known before."""
        for key in changed:
            evidence = f"fingerprint {key.fingerprint[:64]}"
            self._report.add("key_changed", key.region or EVERYWHERE, (None, None), evidence=evidence)

    def run(self, progress: Callable[[int, int], None]) -> Verified:
        places = self._tree.places()
        bucket = self._bucket(places)
        for done, place in enumerate(places, 1):
            self._place(place, bucket)
            progress(done, len(places))
        self._absent(places)
        self._compare_heads()
        for key, span, first, count in self._ids.repeated():
            self._report.add("event_id", key, span, count=count, evidence=f"{count} events are also in {first}")
        for key, error in self._tree.unreadable.items():
            self._report.add("unreadable", key or ".", (None, None), evidence=error)
        return Verified(
            self._report.frame(), self._coverage.frame(), self._heads(), self._digests, self._logs, self._waiting
        )  # fmt: skip

    def _heads(self) -> tuple[Head, ...]:
        """The newest digest known of every chain, now or before."""
        found = {chain: head_of(chain, each.last) for chain, each in self._chains.items() if each.last is not None}
        for chain, head in self._seen.items():
            if chain not in found or found[chain].end_us < head.end_us:
                found[chain] = head
        return tuple(found.values())

    def _bucket(self, places: Sequence[Place]) -> str:
        """The bucket this tree is of, as its newest sound digests tell."""
        votes = []
        for place in places:
            for name in self._tree.newest(place):
                digest = check(self._tree.root, name, self._ring)
                if digest.sound:
                    votes.append((digest.end, digest.bucket))
                    break
        return vote(votes)

    def _place(self, place: Place, bucket: str) -> None:
        names, strangers = self._tree.digests(place)
        keys = {name.key for name in names}
        present = self._tree.logs(place)
        logs = LogCheck(self._tree.root, place, present, scope=self._scope, report=self._report, ids=self._ids)
        chains: dict[Chain, ChainCheck] = {}
        for name in names:
            chain = chains.get(name.chain)
            if chain is None:
                chain = chains[name.chain] = ChainCheck(
                    name.chain, keys, self._scope, self._report, bucket=bucket, known=self._known
                )
                chain.later = self._scope.end is not None and name.end - HOUR >= self._scope.end
            self._digest(name, chain, logs)
        for key in strangers:
            self._report.add("moved", key, (None, None), evidence="no digest has such a name")
        self._end_place(place, chains, logs)

    def _digest(self, name: DigestName, chain: ChainCheck, logs: LogCheck) -> None:
        """One digest object; outside the scope it still tells which logs it lists."""
        inside = self._scope.holds(name.end - HOUR, name.end)
        if not self._scope.near(name.end - HOUR, name.end):
            return
        digest = check(self._tree.root, name, self._ring)
        if not (inside and self._scope.holds(digest.start, digest.end)):
            logs.expect(digest)
            return
        self._digests += 1
        if not CLOUDTRAIL_BEGAN < name.end <= self._scope.now + DUE_WITHIN:
            self._outlandish(digest)
            return
        chain.step(digest, logs.check(digest, f"{name.chain.account}/{name.chain.trail}") if digest.sound else None)

    def _outlandish(self, digest: Digest) -> None:
        """A digest of a time that cannot be takes no place in the chain."""
        if digest.sound:
            self._report.add("from_the_future", digest.key, (digest.start, digest.end))
        for fault in digest.faults:
            self._report.add(fault.cause, digest.key, (None, None), evidence=fault.evidence)

    def _end_place(self, place: Place, chains: dict[Chain, ChainCheck], logs: LogCheck) -> None:
        live = {chain: found for chain, found in chains.items() if found.count}
        for found in live.values():
            found.finish()
        later = bool(chains) and all(found.later for found in chains.values())
        if place.region and not later and not any(not chain.backfill for chain in live):
            self._no_digests(place, logs)
        else:
            self._waiting += logs.unlisted(list(live.values()))
        for chain, found in live.items():
            parts = [[segment] for segment in found.segments] if chain.backfill else [found.segments]
            for part in parts:  # what is backfilled covers nothing more, it can only spoil
                self._coverage.add(place.region, str(chain), part)
        self._chains.update(live)
        self._logs += logs.checked

    def _no_digests(self, place: Place, logs: LogCheck) -> None:
        """A region with logs, or that should be there, and without any digest in the scope."""
        times = [at for at in map(logs.time, logs.strangers()) if at is not None and self._scope.holds(at, at + 1)]
        found = self._missing(place.account, place.region, (min(times, default=None), max(times, default=None)))
        found.unlisted = len(times)

    def _missing(self, account: str, region: str, logs: Span) -> Found:
        start = self._scope.start if self._scope.start is not None else logs[0]
        end = self._scope.due if start is not None else None
        span = (start, None if end is None or start is None else max(start, end, logs[1] or end))
        count = 1 if start is None or span[1] is None else hours(start, span[1])
        evidence = f"account {account}" if account else ""
        found = self._report.add("no_digests", region, span, count=count, evidence=evidence)
        if start is not None and span[1] is not None:
            self._coverage.add(region, evidence, [Segment(start, span[1], found)])
        self._empty.add((account, region))
        return found

    def _absent(self, places: Sequence[Place]) -> None:
        """Every account must have every region there is a key for; a bucket without anything is no bucket."""
        there = {(place.account, place.region) for place in places}
        accounts = sorted({account for account, _ in there}) or [""]
        for account in accounts:
            for region in self._ring.regions:
                if (account, region) not in there:
                    self._missing(account, region, (None, None))
        if not there and not self._ring.regions:
            self._missing("", EVERYWHERE, (None, None))

    def _compare_heads(self) -> None:
        """Chains seen before must be there, and reach at least as far."""
        for chain, head in self._seen.items():
            if not self._scope.holds(head.end_us - HOUR, head.end_us) or (chain.account, chain.region) in self._empty:
                continue
            found = self._chains.get(chain)
            if found is None:
                end = max(head.end_us, self._scope.due)
                self._report.add("chain_vanished", chain.region, (head.end_us, end), evidence=str(chain))
            elif found.last is None or found.last.end < head.end_us:
                start = head.end_us - HOUR if found.last is None else found.last.end
                count = hours(start, head.end_us)
                self._report.add("rolled_back", chain.region, (start, head.end_us), count=count, evidence=str(chain))
