"""What was seen, one grant a path; and many grants that are alike as one."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.inquiry.policy.patterns import Rules, covers

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

SIBLINGS: Final = 4  # paths that differ in one segment and are used alike, from which on one `+` stands for them
BOUND: Final = 100  # grants on secrets beyond which whole folders are suggested
_DEEP: Final = 2  # slashes
_HARMLESS: Final = frozenset({"read", "list", "scan"})
_FEW: Final = 3  # of the folded names that a comment tells


@dataclass(frozen=True, slots=True)
class Grant:
    """One path (or resource) with what was done there. `capabilities` are the store's own words, sorted.

    `fixed` is how many segments at its front say where it is, not which secret; None where nothing may be folded.
    `paths` is how many were seen that it stands for, `note` why it is wider or narrower than what was seen.
    """

    store: str
    namespace: str
    path: str
    capabilities: tuple[str, ...]
    status: str
    operations: int
    first: dt.datetime
    last: dt.datetime
    mount: str = ""
    mount_type: str = ""
    fixed: int | None = None
    paths: int = 1
    note: str = ""


def observed(rows: Sequence[Mapping[str, Any]], status: str) -> list[Grant]:
    """One grant a namespace and path."""
    by_path: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_path[row["namespace"], row["path"]].append(row)
    return [_one(key, found, status) for key, found in sorted(by_path.items())]


def _one(key: tuple[str, str], rows: Sequence[Mapping[str, Any]], status: str) -> Grant:
    first = rows[0]
    places = [_fixed(row) for row in rows]
    fixed = None if None in places else places[0]
    return Grant(
        first["store"], *key, tuple(sorted({row["api_operation"] for row in rows})), status,
        sum(row["operations"] for row in rows), min(row["first"] for row in rows), max(row["last"] for row in rows),
        first["mount"], first["mount_type"] or "", fixed,
    )  # fmt: skip


def _fixed(row: Mapping[str, Any]) -> int | None:
    """The mount, and the engine's word behind it unless the path is the secret's own name.

    Of what is no secret only the last segment may be folded, and only where it was read: whoever may write roles or
    policies at will makes its own rights.
    """
    if not row["secret"] and row["path"].count("/") >= _DEEP:
        return int(row["path"].rstrip("/").count("/")) if row["api_operation"] in _HARMLESS else None
    if not row["secret"] or not row["mount"] or not row["path"].startswith(row["mount"]):
        return None
    word = str(row["path"]).rstrip("/") != row["secret"]
    return str(row["mount"]).count("/") + int(word)


def folded(grants: Sequence[Grant], denied: Sequence[Grant]) -> list[Grant]:
    """With `+` for siblings that are used alike; past the bound, with `*` for whole folders.

    Nothing that was denied becomes allowed, and everything seen stays so: where a pattern takes precedence over
    another one, paths are named besides.
    """
    found = _siblings(grants, denied)
    depth = max((one.path.count("/") for one in found), default=0)
    while depth >= 1 and sum(one.fixed is not None for one in found) > BOUND:
        found = _folders(found, depth, denied)
        depth -= 1
    rules = Rules(found)
    lost = [one for one in grants if not set(one.capabilities) <= rules.of(one.namespace, one.path)]
    return sorted(found + lost, key=lambda one: (one.namespace, one.path))


def _widens(namespace: str, pattern: str, capabilities: tuple[str, ...], denied: Iterable[Grant]) -> bool:
    """Whether it would allow what was denied."""
    return any(
        one.namespace == namespace and set(one.capabilities) & set(capabilities) and covers(pattern, one.path)
        for one in denied
    )


def _siblings(grants: Sequence[Grant], denied: Sequence[Grant]) -> list[Grant]:
    groups: dict[tuple[str, str, tuple[str, ...]], list[Grant]] = defaultdict(list)
    for one in grants:
        segments = one.path.split("/")
        for at in range(one.fixed if one.fixed is not None else len(segments), len(segments)):
            if segments[at]:
                pattern = "/".join([*segments[:at], "+", *segments[at + 1 :]])
                groups[one.namespace, pattern, one.capabilities].append(one)
    taken: set[tuple[str, str]] = set()
    made: list[Grant] = []
    for key, members in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        left = [one for one in members if (one.namespace, one.path) not in taken]
        if len(left) >= SIBLINGS and not _widens(*key, denied):
            taken.update((one.namespace, one.path) for one in left)
            why = f"one + for {len(left)} siblings used alike: {_some(key[1], left)}"
            made.append(_merged(key[1], left, why))
    return [one for one in grants if (one.namespace, one.path) not in taken] + made


def _some(pattern: str, members: Sequence[Grant]) -> str:
    at = pattern.split("/").index("+")
    names = sorted(one.path.split("/")[at] for one in members)
    return ", ".join(names[:_FEW]) + (", …" if len(names) > _FEW else "")


def _folders(grants: Sequence[Grant], depth: int, denied: Sequence[Grant]) -> list[Grant]:
    """Where a folder that many segments deep has so many grants alike, one for all of it."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[Grant]] = defaultdict(list)
    rest = []
    for one in grants:
        segments = one.path.split("/")
        if one.fixed is None or len(segments) <= depth or depth < one.fixed:
            rest.append(one)
        else:
            groups[one.namespace, "/".join(segments[:depth]) + "/*", one.capabilities].append(one)
    for key, members in groups.items():
        paths = sum(one.paths for one in members)
        why = f"past the bound of {BOUND} paths, so the whole folder: {paths:,} were seen in it"
        fold = len(members) >= SIBLINGS and not _widens(*key, denied)
        rest += [_merged(key[1], members, why)] if fold else members
    return rest


def _merged(path: str, members: Sequence[Grant], note: str) -> Grant:
    return dataclasses.replace(
        members[0], path=path, operations=sum(one.operations for one in members), note=note,
        first=min(one.first for one in members), last=max(one.last for one in members),
        paths=sum(one.paths for one in members),
    )  # fmt: skip
