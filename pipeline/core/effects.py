"""What a change does to the value that was there before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, Any]

REPLACED, DELETED, DESTROYED, REVOKED, RESTORED = "replaced", "deleted", "destroyed", "revoked", "restored"
ENDS: Final = frozenset({REPLACED, DELETED, DESTROYED, REVOKED})

# A store's own words, lower case and without their service, for a write that leaves the value as it is or brings an
# old one back, and for a deletion that is final. Every other write puts a new value there.
_RESTORES: Final = ("restore", "recover", "undelete", "cancel", "enable")
_SETTINGS: Final = frozenset(
    {
        "tagresource", "untagresource", "createsecret", "updatesecret_labels", "secretupdate", "keyupdate",
        "certificateupdate", "replicatesecrettoregions", "labelparameterversion", "createalias", "updatealias",
        "deletealias", "stopreplicationtoreplica",
    }
)  # fmt: skip
# Of AWS, what a rotation is called besides the one that is done. A failed one is told by an event without an error.
STARTS: Final = frozenset({"rotatesecret"})
FAILS: Final = frozenset({"rotationfailed", "rotationabandoned"})
_NO_ROTATION: Final = frozenset(
    {
        "cancelrotatesecret", "rotationstarted", "testrotationstarted", "testrotationsucceeded", "testrotationfailed",
        "enablekeyrotation", "disablekeyrotation",
    }
)  # fmt: skip
_KEEPS: Final = frozenset({"kv", "generic", "cubbyhole"})  # Vault's engines that give back what they were given
_FINAL: Final = ("destroy", "purge")


def effect(change: Row) -> str | None:
    """One of the words above; None for what leaves the value as it is, or did not succeed."""
    if change["outcome"] != "success":
        return None
    word = word_of(change)
    below = str(change["path"] or "").removeprefix(str(change["mount"] or "")) + "/"
    engine = str(change["mount_type"] or "kv").removeprefix("ns_") if change["store"] == "vault" else ""
    operation = change["operation"]
    if operation == "rotate":
        return None if word in FAILS | _NO_ROTATION else REPLACED
    if operation == "write":
        return _written(word, below, engine)
    if operation == "delete":
        return DESTROYED if _is_final(change, word, below, engine) else DELETED
    return REVOKED if operation == "revoke" else None


def word_of(change: Row) -> str:
    """What the store calls it, lower case and without its service."""
    return str(change["api_operation"] or "").rsplit(".", 1)[-1].lower()


def rotated(change: Row) -> bool | None:
    """Whether a rotation that was asked for is done; None for what only starts one, tries it out or sets it up."""
    word, succeeded = word_of(change), change["outcome"] == "success"
    if word in _NO_ROTATION or (word in STARTS and succeeded):
        return None
    return succeeded and word not in FAILS


def _written(word: str, below: str, engine: str) -> str | None:
    """Only engines that keep values are written new ones; what others are written are settings."""
    restores = word.startswith(_RESTORES) or "restore" in word or "recover" in word
    if restores or (engine and below.startswith("undelete/")):
        return RESTORED
    settings = engine and (engine not in _KEEPS or below.startswith("metadata/"))
    return None if word in _SETTINGS or settings else REPLACED


def _is_final(change: Row, word: str, below: str, engine: str) -> bool:
    """Of Vault only a version of KV can be brought back."""
    if engine:
        versioned = engine in _KEEPS and change["path"] != change["secret"]
        return not versioned or below.startswith(("destroy/", "metadata/"))
    return word.startswith(_FINAL) or "purge" in word or change["store"] == "kubernetes"


def ending(changes: Iterable[Row], since: dt.datetime, leaked: int | None) -> list[Row]:
    """The changes from `since` on that ended the value of then: version `leaked`, where there are versions.

    A deletion that was taken back ended nothing, nor did one of an older version.
    """
    found: list[Row] = []
    for change in changes:
        what = effect(change)
        if change["time"] < since or what is None:
            continue
        if what == RESTORED:
            found = [one for one in found if effect(one) != DELETED]
        elif what in {DELETED, DESTROYED} and _another(change["secret_version"], leaked):
            continue
        else:
            found.append(change)
    return found


def _another(version: int | None, leaked: int | None) -> bool:
    return version is not None and leaked is not None and version != leaked


def gone(endings: Sequence[Row]) -> bool:
    """Whether no version of then can be read any more: more than replaced."""
    return any(effect(one) != REPLACED for one in endings)
