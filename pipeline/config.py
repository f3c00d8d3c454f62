"""One TOML file, every default sensible. Each room owns the struct of its table; this reads, checks and explains.

A message about a config names the file, the table, the key and what is allowed. Secrets stand in it only by reference
(`{ env = "NAME" }` or `{ file = "PATH" }`), so that the effective config can be printed.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from pipeline.core.errors import ConfigError
from pipeline.core.secrets import SecretRef

T = TypeVar("T")
Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
LARGEST: Final = 10**15
# Of what a key says its number is of: seconds as a system call takes them in milliseconds, the others a century.
_MOST: Final = {"seconds": 2_000_000, "minutes": 52_596_000, "hours": 876_600, "days": 36_525}


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[line]`: how the stream is cut, how often the lake commits, and what is waited for.

    Results depend on neither, nor on `gather_seconds`. With less to wait for, alerts come sooner; an entry that comes
    later than that is out of order, a copy of an operation corrects the one that stands in the lake.
    """

    batch_entries: Count | None = None
    commit_seconds: Seconds = 2.0  # from the beginning of one commit to that of the next; 0 commits every batch
    commit_bytes: Count = 256 * 1024 * 1024
    disorder_seconds: Seconds = 0.5  # entries of one stream may step back this far without being out of order
    copies_seconds: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.5  # an operation waits for other devices' copies
    gather_seconds: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.2  # a followed stream is read in steps as long
    idle_seconds: Seconds = 1.0  # a followed stream that is silent this long no longer holds the others back
    wait_seconds: Seconds = 60.0  # of several workers: how long a dead one's partition holds the others back


class Detection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[detection]`: the windows of event time, how often an open one is looked at, and which detectors run."""

    window_seconds: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 3600
    look_seconds: Count = 150
    disabled: tuple[str, ...] = ()


class Canary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[canary]`: the audited header that carries canary requests, and the key of their MAC."""

    header: str = "X-Audit-Canary"
    key: SecretRef | None = None  # without one the numbers are read and their MACs are not checked
    silence_seconds: Seconds = 300.0  # a client silent for longer no longer vouches for what lies between


class Integrity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[integrity]`: what is known of the devices. A filtered device is not expected to hold what its siblings hold."""

    filtered: tuple[str, ...] = ()
    devices: dict[str, str] = {}  # device name -> stream, where counters name a device that its file does not


class AnchorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[ledger.anchor]`: the time-stamping authority (RFC 3161) that `keytrail ledger anchor` asks, and `roots`, a file
    of certificates (PEM) that its signatures must lead to."""

    tsa: str | None = None
    roots: str | None = None
    seconds: Annotated[float, msgspec.Meta(gt=0)] = 30.0  # that it may be silent


class LedgerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[ledger]`: the tamper-evident log over every entry.

    `signed` is a folder outside the lake that remembers the newest head of each log, so that a lake that was put back
    to an older state is noticed; it defaults to one beside the key. With `signer = "command"` the key is not ours: the
    command gets what is to be signed on stdin and answers with the Ed25519 signature, which `public_key` must open.
    """

    enabled: bool = True
    signer: Literal["file", "command"] = "file"
    signing_key: str | None = None  # of signer "file"; default: a private file in the user's config folder
    command: tuple[str, ...] = ()  # of signer "command": the program and its arguments
    public_key: str | None = (
        None  # of signer "command": a verifier key, base64 of 32 bytes, or a file with either or PEM
    )
    signer_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0  # how long one signature may take
    origin: str | None = None  # the log's name; default: a name of its own for each lake
    signed: str | None = None
    anchor: AnchorConfig = AnchorConfig()


@dataclass(frozen=True, slots=True)
class Settings:
    """The parsed file. `table` gives one table as the struct its room declares."""

    path: Path | None = None
    tree: dict[str, Any] = field(default_factory=dict)

    def table(self, kind: type[T], *names: str, most: int = LARGEST) -> T:
        """The table `names` as `kind`. Raises ConfigError with the place and what is allowed.

        No number in it may be below 0, above `most`, or none.
        """
        node: Any = self.tree
        for name in names:
            node = node.get(name, {}) if isinstance(node, dict) else node
        try:
            made = msgspec.convert(node, kind, strict=True)
        except msgspec.ValidationError as error:
            raise ConfigError(self._explain(".".join(names), kind, str(error))) from None
        for key, limit in _unsound(node, "", most):
            raise ConfigError(f"{self.path or 'config'}: [{'.'.join(names)}] {key}: a number from 0 to {limit:,}")
        return made

    def names(self, *path: str) -> tuple[str, ...]:
        """The sub-tables of a table, such as the names under `[sinks]`. Raises ConfigError when it is no table."""
        node: Any = self.tree
        for name in path:
            node = node.get(name, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{self.path}: {name} is a table: write [{'.'.join(path)}.NAME]")
        return tuple(node)

    def allow(self, tables: tuple[str, ...]) -> None:
        """Refuse a top-level table that nothing reads."""
        for name in self.tree:
            if name not in tables:
                raise ConfigError(f"{self.path}: unknown table [{name}]{_hint(name, tables)}; allowed: {_list(tables)}")

    def _explain(self, table: str, kind: type, message: str) -> str:
        keys = tuple(getattr(kind, "__struct_fields__", ()))
        unknown = re.search(r"unknown field `([^`]+)`", message)
        where = f"{self.path or 'config'}: [{table}]"
        if unknown:
            return f"{where} unknown key {unknown[1]!r}{_hint(unknown[1], keys)}; allowed: {_list(keys)}"
        key = re.search(r"`\$\.?([^`]*)`", message)
        text = re.sub(r" - at `[^`]*`", "", message)
        return f"{where} {key[1] + ': ' if key and key[1] else ''}{text}"


def _list(words: tuple[str, ...]) -> str:
    return ", ".join(words)


def _hint(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def load(path: Path | None) -> Settings:
    """Read a config file; None gives the defaults. Raises ConfigError with file, line and column."""
    if path is None:
        return Settings()
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if _too_large(tree):
        raise ConfigError(f"{path}: not valid TOML: an integer of more than 64 bits")
    return Settings(path, tree)


def _too_large(node: Any) -> bool:
    """Whether an integer is in it that TOML does not allow and Python's reader takes all the same."""
    if isinstance(node, dict | list):
        return any(map(_too_large, node.values() if isinstance(node, dict) else node))
    return isinstance(node, int) and not -(1 << 63) <= node < 1 << 63


def _unsound(node: Any, key: str, most: int) -> Iterator[tuple[str, int]]:
    """The keys whose number is out of bounds, and the most that it may be."""
    if isinstance(node, dict):
        for name, item in node.items():
            yield from _unsound(item, f"{key}.{name}" if key else name, most)
    elif isinstance(node, list):
        for item in node:
            yield from _unsound(item, key, most)
    elif isinstance(node, int | float):
        limit = _MOST.get(re.split(r"[._]", key)[-1], most)
        if not 0 <= node <= limit:
            yield key, limit


def effective(settings: Settings, table: str, value: Any) -> list[tuple[str, str, str]]:
    """Rows (key, value, where it came from) of one table, for `keytrail check`."""
    node: Any = settings.tree
    for name in table.split("."):
        node = node.get(name, {}) if isinstance(node, dict) else {}
    rows = []
    for key, item in msgspec.to_builtins(value).items():
        origin = str(settings.path) if isinstance(node, dict) and key in node else "default"
        rows.append((f"{table}.{key}", msgspec.json.encode(item).decode(), origin))
    return rows
