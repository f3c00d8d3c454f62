"""The log objects of one account and region: each the one that was listed, and none that was not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.integrity.cloudtrail.causes import Fault
from pipeline.integrity.cloudtrail.inflate import MAX_LOG, inflate
from pipeline.integrity.cloudtrail.names import HOUR, MINUTE, log_time, micros
from pipeline.integrity.cloudtrail.scope import CLOUDTRAIL_BEGAN, DUE_WITHIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pipeline.integrity.cloudtrail.chain import ChainCheck, Segment
    from pipeline.integrity.cloudtrail.digest import Digest, Listed
    from pipeline.integrity.cloudtrail.event_ids import EventIds
    from pipeline.integrity.cloudtrail.report import Found, Report
    from pipeline.integrity.cloudtrail.scope import Scope
    from pipeline.integrity.cloudtrail.tree import Place

_SLACK: Final = 5 * MINUTE  # a log's name tells when it was made, its digest counts when it was delivered
_MADE_BEFORE: Final = 15 * MINUTE  # the same, around a place that is broken already
_DAY: Final = 24 * HOUR
_NEVER: Final = 2**62


class LogCheck:
    """`present` are the keys of all that lies there; `checked` counts the logs that hold."""

    def __init__(
        self, root: Path, place: Place, present: set[str], *, scope: Scope, report: Report, ids: EventIds
    ) -> None:
        self.checked = 0
        self._root, self._place, self._present = root, place, present
        self._scope, self._report, self._ids = scope, report, ids
        self._listed: set[str] = set()
        self._hashes: set[bytes] = set()
        self._reach = 0  # end of the newest sound digest outside the scope

    def expect(self, digest: Digest) -> None:
        """Takes note of what a digest outside the scope lists."""
        self._reach = max(self._reach, digest.end if digest.sound else 0)
        self._listed.update(listed.s3_object for listed in digest.logs)

    def check(self, digest: Digest, trail: str) -> Found | None:
        """Every log a sound digest lists; the last place where one does not hold."""
        told = None
        for listed in digest.logs:
            span = _span(listed, digest)
            fault = self._fault(listed, digest, trail, span)
            self._listed.add(listed.s3_object)
            if fault is None:
                self.checked += 1
            else:
                evidence = f"{fault.evidence}; listed by {digest.key}" if fault.evidence else f"listed by {digest.key}"
                told = self._report.add(
                    fault.cause, listed.s3_object[:1024], span, evidence=evidence, offset=fault.offset
                )
        return told

    def _fault(self, listed: Listed, digest: Digest, trail: str, span: tuple[int, int]) -> Fault | None:
        key = listed.s3_object
        if listed.hash_algorithm not in (None, "SHA-256"):
            return Fault("hash_algorithm", str(listed.hash_algorithm)[:40])
        if key not in self._present:
            return Fault("log_missing" if listed.s3_bucket == digest.bucket else "log_elsewhere")
        held = inflate(self._root / key, MAX_LOG)
        if isinstance(held, Fault):
            return held
        if held.trailing is not None:
            return Fault("trailing_data", f"the stream ends before byte {held.trailing}", held.trailing)
        if held.sha256.hex() != listed.hash_value.lower():
            return Fault("hash_mismatch")
        self._hashes.add(held.sha256)
        if key not in self._listed:
            self._ids.add(trail, key, span, held.data)
        return None

    def strangers(self) -> list[str]:
        """Keys that no digest lists, in order."""
        return sorted(self._present - self._listed)

    def time(self, key: str) -> int | None:
        """When a log was made, where its name tells and it can be."""
        at = log_time(key)
        possible = at is not None and CLOUDTRAIL_BEGAN < at <= self._scope.now + DUE_WITHIN
        return at if possible else None

    def unlisted(self, chains: Sequence[ChainCheck]) -> int:
        """What lies there and no sound digest lists; how many of them only wait for their digest."""
        trails = {check.chain.trail for check in chains}
        trail = f"{self._place.account}/{min(trails)}" if len(trails) == 1 else None
        holes = [hole for check in chains for hole in check.holes]
        begun = max(_newest(chains), self._reach) - _SLACK
        waiting, early = 0, []
        for key in self.strangers():
            at = self.time(key)
            if at is not None and not self._scope.holds(at - MINUTE, at):  # one made just before is listed before
                continue
            fault = self._stranger(key, at, trail)
            hole = None if at is None else _inside(at, holes)
            if fault.cause == "copied_log" or at is None or not self._place.region:
                self._tell(key, at, fault)
            elif hole is not None and hole.found is not None:
                hole.found.unlisted += 1
            elif chains and at >= begun:
                waiting += 1
            elif at < _oldest(chains):
                early.append(at)
            else:
                self._tell(key, at, fault)
        if early:
            span = (min(early), max(early))
            self._report.add("before_validation", self._place.region, span, count=len(early))
        return waiting

    def _stranger(self, key: str, at: int | None, trail: str | None) -> Fault:
        held = inflate(self._root / key, MAX_LOG)
        if isinstance(held, Fault):
            return Fault("unlisted_log", f"{held.cause}: {held.evidence}")
        if held.sha256 in self._hashes:
            return Fault("copied_log")
        if trail is not None:
            self._ids.add(trail, key, (at or 0, at or 0), held.data)
        return Fault("unlisted_log")

    def _tell(self, key: str, at: int | None, fault: Fault) -> None:
        self._report.add(fault.cause, key, (at, at), evidence=fault.evidence)


def _span(listed: Listed, digest: Digest) -> tuple[int, int]:
    """The time of a log's first and last event where its digest tells, else the digest's own."""
    oldest, newest = micros(listed.oldest_event_time or ""), micros(listed.newest_event_time or "")
    if oldest is None or newest is None or not digest.start - _DAY <= oldest <= newest <= digest.end + HOUR:
        return digest.start, digest.end
    return oldest, newest


def _inside(at: int, holes: Iterable[Segment]) -> Segment | None:
    """The broken place that a log of this time belongs to."""
    return next((hole for hole in holes if hole.start - _MADE_BEFORE <= at < hole.end + _SLACK), None)


def _newest(chains: Sequence[ChainCheck]) -> int:
    """The earliest time that a chain which still goes on has yet to reach."""
    return min(
        (check.last.end for check in chains if check.last is not None and not check.chain.backfill), default=_NEVER
    )


def _oldest(chains: Sequence[ChainCheck]) -> int:
    return min((check.first for check in chains if check.first is not None), default=_NEVER)
