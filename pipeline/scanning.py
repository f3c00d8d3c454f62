"""`keytrail scan`: files of any text through the scanner, and what it finds into the lake, once."""

from __future__ import annotations

import os
import secrets
import stat
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from pipeline import edition, ledgers, scan, summary
from pipeline.config import LedgerConfig
from pipeline.core.disk import sync_folder
from pipeline.core.errors import ConfigError, NoInputError
from pipeline.core.model import Commit
from pipeline.leaks import LeakKeeper
from pipeline.ledger import keys
from pipeline.sli import Config as SliConfig
from pipeline.sources.file_tail.discover import discover, nothing
from pipeline.sources.file_tail.readers import DamagedError, foreign_packing, packing_of, reader_of
from pipeline.sources.file_tail.rotation import group
from pipeline.store import StoreConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import polars as pl

    from pipeline.config import Settings
    from pipeline.ledger.sealed import SealedLedger
    from pipeline.store import Lake

    Row = tuple[Any, ...]
    Progress = Callable[[int, int], None]

STDIN: Final = "-"
_BLOCK: Final = 4 << 20
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")
_LEAST_KEY: Final = 16  # characters of a key that is given


class Scan:
    """One scan. `rows` does it; the counts and notes tell of it afterwards."""

    def __init__(self, paths: Sequence[str], settings: Settings, lake: Path | None, signing_key: Path | None) -> None:
        self._settings, self._lake_path, self._signing_key = settings, lake, signing_key
        self._config = settings.table(scan.Config, "scan")
        self.notes: list[str] = []
        self.unread: dict[str, str] = {}  # file -> why it, or its end, was not searched
        self.severities: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        self.files: Counter[str] = Counter()  # with leaks
        self.searched, self.bytes, self.new = 0, 0, 0
        self._streams = self._found(paths)
        self._scanner_key = self._key()

    @property
    def keeps(self) -> bool:
        """Whether the leaks go into a lake."""
        return self._lake_path is not None

    def _found(self, paths: Sequence[str]) -> list[tuple[str, str]]:
        """(stream, file) of all that is to be searched. Raises NoInputError."""
        named = [path for path in paths if path != STDIN]
        found = discover(named, self._config.exclude)
        self.unread |= found.unreadable
        self.notes += summary.left_out(found.skipped)
        streams = [(stream, file) for stream, files in group(found.files).items() for file in files]
        streams += [(STDIN, STDIN)] if len(named) < len(paths) else []
        if not streams:
            raise NoInputError(nothing(paths, found))
        return streams

    def _key(self) -> scan.Key:
        """What hashes are keyed with. Raises ConfigError."""
        if self._config.hash_key is None:
            path = keys.default_key_path().with_name("scan.key")
            if not path.exists():
                _make(path)
                self.notes.append(f"made the key of hashes {keys.shown(path)}; without it none can be compared again")
            return scan.Key(_load(path), self._config.known)
        given = self._config.hash_key.resolve().encode()
        if len(given) < _LEAST_KEY:
            raise ConfigError(f"[scan] hash_key: the key in {self._config.hash_key.place} is shorter than 16 letters")
        return scan.Key(given, self._config.known)

    def rows(self, progress: Progress | None = None) -> Iterator[Row]:
        """Every leak as a row of COLUMNS, file by file; at their end those that are new are committed to the lake.

        Raises StoreError, ConfigError.
        """
        with ExitStack() as stack:
            kept = None if self._lake_path is None else stack.enter_context(self._open())
            ledger, keeper = (None, None) if kept is None else self._keeper(kept)
            for row in self._leaks(progress or (lambda _done, _all: None)):
                if keeper is not None:
                    keeper.take(row)
                yield row
            if kept is not None and keeper is not None:
                self.new = keeper.finish()
                _commit(kept, ledger, keeper.slis())

    def _open(self) -> Lake:
        assert self._lake_path is not None  # noqa: S101  asked for with a lake only
        return ledgers.writable(self._lake_path, ledgers.MAIN, self._settings.table(StoreConfig, "store"))

    def _keeper(self, lake: Lake) -> tuple[SealedLedger | None, LeakKeeper]:
        edition.check(lake.states(), str(self._lake_path))
        config = self._settings.table(LedgerConfig, "ledger")
        return ledgers.begun(lake, config, self._signing_key, self.notes), LeakKeeper(
            lake, self._settings.table(SliConfig, "slis").window_seconds
        )

    def _leaks(self, progress: Progress) -> Iterator[Row]:
        sizes = {file: os.stat(file).st_size for _, file in self._streams if file != STDIN and os.path.exists(file)}
        done, size = 0, sum(sizes.values())
        for stream, file in self._streams:
            scanner = scan.Scanner(scan.chosen(self._config), self._scanner_key)
            for block in self._blocks(file):
                self.bytes += len(block)
                yield from self._told(scanner.feed(block), stream, file)
                progress(min(done + len(block), size), size)
            yield from self._told(scanner.finish(), stream, file)
            done += sizes.get(file, 0)
            progress(done, size)

    def _told(self, leaks: Iterator[scan.Leak], stream: str, file: str) -> Iterator[Row]:
        for leak in leaks:
            self.severities[leak.severity] += 1
            self.rules[leak.rule] += 1
            self.files[file] += 1
            yield (
                stream, leak.position, leak.time, leak.rule, leak.preview, leak.keyed_hash, leak.secret, file
            )  # fmt: skip

    def _blocks(self, file: str) -> Iterator[bytes]:
        """The decompressed bytes of a file, as far as they can be read."""
        try:
            fd = 0 if file == STDIN else os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            self.unread[file] = error.strerror or "cannot be read"
            return
        try:
            yield from self._read(fd, file)
        finally:
            if fd:
                os.close(fd)

    def _read(self, fd: int, file: str) -> Iterator[bytes]:
        head = _first(fd, 8) if file == STDIN else os.pread(fd, 8, 0)
        packed = packing_of(head)
        if why := _unfit(head, packed, pipe=file == STDIN):
            self.unread[file] = why
            return
        self.searched += 1
        source = _Pipe(fd, head) if file == STDIN else reader_of(fd, packed)
        size = (
            0 if packed or file == STDIN else os.fstat(fd).st_size
        )  # of some files, such as those of /proc, none is told
        left = size or None  # a plain file may grow faster than it is read
        buffer = memoryview(bytearray(_BLOCK))
        while left is None or left > 0:
            got = self._fill(source, buffer if left is None else buffer[:left], file)
            if not got:
                break
            left = None if left is None else left - got
            yield bytes(buffer[:got])
            if file in self.unread:
                break

    def _fill(self, source: Any, buffer: memoryview, file: str) -> int:
        """As many bytes as fit, fewer at the end, or where the file is damaged."""
        got = 0
        try:
            while got < len(buffer) and (more := source.read(buffer[got:])):
                got += more
        except DamagedError as damaged:
            self.unread[file] = f"damaged ({damaged.fault}): what comes after that was not searched"
        except OSError as error:
            self.unread[file] = error.strerror or "cannot be read"
        return got


class _Pipe:
    """Standard input, of which the first bytes were looked at."""

    def __init__(self, fd: int, head: bytes) -> None:
        self._fd, self._head = fd, head

    def read(self, view: memoryview) -> int:
        if self._head:
            got = min(len(view), len(self._head))
            view[:got], self._head = self._head[:got], self._head[got:]
            return got
        return os.readv(self._fd, [view])


def _first(fd: int, count: int) -> bytes:
    head = b""
    while len(head) < count and (more := os.read(fd, count - len(head))):
        head += more
    return head


def _unfit(head: bytes, packed: str, *, pipe: bool) -> str:
    """Why what begins so cannot be searched, or ""."""
    if foreign := foreign_packing(head):
        return f"compressed with {foreign}: unpack it first"
    if packed and pipe:
        return "compressed: unpack it first, for instance with zcat"
    return "UTF-16: convert it first, for instance with iconv" if head.startswith(_WIDE) else ""


def _commit(lake: Lake, ledger: SealedLedger | None, slis: pl.DataFrame) -> None:
    if ledger is None:
        lake.commit(Commit((), states=lake.states(), revise={"slis": slis}), upkeep=False)
    else:
        ledgers.commit(lake, ledger, revise={"slis": slis})


def _make(path: Path) -> None:
    """A new random key, of whoever comes first."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys.place(path, f"{secrets.token_hex(32)}\n".encode())
        sync_folder(path.parent)
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigError(
            f"the key of hashes {path} could not be created: {error.strerror}; or give one in [scan] hash_key"
        ) from None


def _load(path: Path) -> bytes:
    """The key in a private file. Raises ConfigError, which shows nothing of it."""
    try:
        mode, text = stat.S_IMODE(path.stat().st_mode), path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"the key of hashes {path} could not be read: {error.strerror}") from None
    if mode & 0o077:
        raise ConfigError(f"the key of hashes {path} has mode {mode:04o}: others can read it; chmod 600 it")
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigError(f"{path} holds no key of hashes: 64 hexadecimal digits")
    return key
