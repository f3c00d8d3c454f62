"""A mirrored bucket on disk: the accounts and regions in it, and their digest and log objects.

Only what the walk itself finds is ever opened: a digest can name what it likes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.integrity.cloudtrail.names import SIDECAR, DigestName, digest_name

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = "AWSLogs"
_DIGESTS: Final = "CloudTrail-Digest"
_LOGS: Final = re.compile(r"CloudTrail(?:-[A-Za-z]+)?", re.ASCII)
_ACCOUNT: Final = re.compile(r"\d{12}", re.ASCII)
_ORGANISATION: Final = re.compile(r"o-[a-z0-9]+", re.ASCII)
_NEWEST: Final = 3  # digests looked at for a sound one, per folder


@dataclass(slots=True)
class Place:
    """One account in one region: its folders, relative to the root. Region "" holds logs that lie in no region."""

    account: str
    region: str
    digests: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)


class Tree:
    """The bucket under `root`. Folders that cannot be read are kept in `unreadable`, by key and kind of error."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unreadable: dict[str, str] = {}

    def places(self) -> list[Place]:
        """Every account and region that has a folder, in order."""
        found: dict[tuple[str, str], Place] = {}
        for account, folder in self._accounts(""):
            for kind in self._folders(folder):
                name = kind.rpartition("/")[2]
                if name == _DIGESTS or _LOGS.fullmatch(name):
                    self._add(found, account, kind, digests=name == _DIGESTS)
        return [found[key] for key in sorted(found)]

    def digests(self, place: Place) -> tuple[list[DigestName], list[str]]:
        """The digest objects of a place, oldest first; and the keys of what else lies among them."""
        names, others = [], []
        for key in self._files(place.digests):
            name = digest_name(key, place.account, place.region)
            if name is None:
                others.append(key)
            else:
                names.append(name)
        return sorted(names, key=lambda name: (name.end, name.key)), others

    def newest(self, place: Place) -> list[DigestName]:
        """The newest few digests of each folder of a place, newest first."""
        found: list[DigestName] = []
        for folder in place.digests:
            wanted = _NEWEST
            for key in self._backwards(folder):
                name = digest_name(key, place.account, place.region)
                if name is not None and not name.chain.backfill:
                    found.append(name)
                    wanted -= 1
                if not wanted:
                    break
        return found

    def logs(self, place: Place) -> set[str]:
        """The keys of everything that may be read as a log of a place."""
        if place.region:
            return set(self._files(place.logs))
        return {key for folder in place.logs for key, is_folder in self._entries(folder) if not is_folder}

    def _add(self, found: dict[tuple[str, str], Place], account: str, folder: str, *, digests: bool) -> None:
        loose = False
        for key, is_folder in self._entries(folder):
            region = key.rpartition("/")[2] if is_folder else ""
            loose = loose or not (is_folder or digests)
            if is_folder:
                place = found.setdefault((account, region), Place(account, region))
                (place.digests if digests else place.logs).append(key)
        if loose:
            found.setdefault((account, ""), Place(account, "")).logs.append(folder)

    def _accounts(self, folder: str) -> Iterator[tuple[str, str]]:
        """Accounts with their folders, below every AWSLogs at whatever prefix."""
        for key in self._folders(folder):
            if key.rpartition("/")[2] != ROOT:
                yield from self._accounts(key)
                continue
            for inner in self._folders(key):
                name = inner.rpartition("/")[2]
                owners = self._folders(inner) if _ORGANISATION.fullmatch(name) else [inner]
                for owner in owners:
                    account = owner.rpartition("/")[2]
                    if _ACCOUNT.fullmatch(account):
                        yield account, owner

    def _folders(self, folder: str) -> list[str]:
        return [key for key, is_folder in self._entries(folder) if is_folder]

    def _files(self, folders: list[str]) -> Iterator[str]:
        waiting = list(folders)
        while waiting:
            for key, is_folder in self._entries(waiting.pop()):
                if is_folder:
                    waiting.append(key)
                else:
                    yield key

    def _backwards(self, folder: str) -> Iterator[str]:
        """Files below, last name first."""
        for key, is_folder in reversed(self._entries(folder)):
            if is_folder:
                yield from self._backwards(key)
            else:
                yield key

    def _entries(self, folder: str) -> list[tuple[str, bool]]:
        """What lies in a folder, by name: key, and whether it is a folder itself. Sidecars and links are left out."""
        try:
            with os.scandir(self.root / folder) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if _taken(entry)]
        except OSError as error:
            self.unreadable[folder] = type(error).__name__
            return []
        prefix = f"{folder}/" if folder else ""
        return [(prefix + name, is_folder) for name, is_folder in sorted(found)]


def _taken(entry: os.DirEntry[str]) -> bool:
    """Plain files and folders; a pipe would be waited for, a link leads out of the bucket."""
    if entry.name.endswith(SIDECAR):
        return False
    return entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)


def vote(votes: list[tuple[int, str]]) -> str:
    """The bucket most digests name, of equals the one with the newest digest; "" when there is no vote."""
    if not votes:
        return ""
    counts: dict[str, int] = {}
    for _, bucket in votes:
        counts[bucket] = counts.get(bucket, 0) + 1
    most = max(counts.values())
    return max(vote for vote in votes if counts[vote[1]] == most)[1]
