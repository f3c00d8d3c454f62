"""What looks count, of each operation, as 64-bit keys: that two names share one is a chance of n²/2⁶⁵."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.core.coded import Coded
from pipeline.core.hashing import U64, hash_texts, mix

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

OTHER: Final = 0
REFUSED: Final = 1
WALKED: Final = 2  # listed, or asked for what is not there
DONE: Final = 3
WRITTEN: Final = 4  # done, too
NONE: Final = np.uint64(0)
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_NOBODY: Final = ("", "anonymous", "token", "wrapping", "unknown")
_FOLDER: Final = r"^((?:[^/]*/){1,3})"
_WIDER: Final = r"^(\d+\.\d+\.)\d+\.\d+/\d+$"  # a cluster's or a site's network, of many zones
_REFUSED_LOGIN: Final = (pl.col("operation") == "auth") & (pl.col("outcome") == "denied") & (pl.col("client_ip") != "")
_ACCOUNT: Final = pl.when(pl.col("principal") != "anonymous").then("principal").otherwise("path")
_WROTE: Final = pl.col("operation").is_in(["write", "rotate"]) & (pl.col("secret") != "")
_HOW: Final = (
    pl.when(pl.col("outcome") == "denied").then(pl.lit(REFUSED))
    .when((pl.col("operation") == "list") | (pl.col("outcome") == "not_found")).then(pl.lit(WALKED))
    .when((pl.col("outcome") == "success") & _WROTE).then(pl.lit(WRITTEN))
    .when(pl.col("outcome") == "success").then(pl.lit(DONE)).otherwise(pl.lit(OTHER)).cast(pl.UInt8).alias("how")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """Row i of every array is an operation; a key is 0 where there is nothing of the kind.

    `who` is its principal, `edge` principal and secret, `place` principal and folder of a secret it got, `zone` and
    `network` principal and network, in a narrow sense and in a wide one. `how` is OTHER, REFUSED, WALKED, DONE or, of a
    secret, WRITTEN; `what` is the secret of what was refused or written. Of a refused log-in `door` is the address and
    `knock` address and account, `gate` the mount, `push` mount, account and address.
    """

    who: U64
    edge: U64
    place: U64
    zone: U64
    network: U64
    how: npt.NDArray[np.uint8]
    what: U64
    door: U64
    knock: U64
    gate: U64
    push: U64

    def __len__(self) -> int:
        return len(self.who)

    def __getitem__(self, rows: slice) -> Seen:
        return Seen(*(getattr(self, name)[rows] for name in _COLUMNS))

    def telling(self) -> Seen:
        """One row, copied: the first refusal, else the first row; there has to be one."""
        row = int((self.how == REFUSED).argmax())
        return Seen(*(getattr(self, name)[[row]] for name in _COLUMNS))

    @classmethod
    def of(cls, operations: pl.DataFrame) -> Seen:
        """From OPERATION rows."""
        (who,) = _keys(operations["principal"], without=_NOBODY)
        secret, folder = _keys(operations["secret"], _FOLDER)
        zone, network = _keys(operations["zone"], _WIDER)
        how = operations.select(_HOW).to_series().to_numpy()
        got = (operations["outcome"] == "success").fill_null(value=False).to_numpy()
        place = np.where(got, _both(who, folder, 1), NONE)
        what = np.where((how == REFUSED) | (how == WRITTEN), secret, NONE)
        away = _both(who, zone, 2), _both(who, network, 3)
        return cls(who, _both(who, secret), place, *away, how, what, *_doors(operations))

    @classmethod
    def all(cls, parts: Sequence[Seen]) -> Seen:
        """One after another."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.restored(pl.DataFrame(schema=dict.fromkeys(_COLUMNS, pl.UInt64) | {"how": pl.UInt8}))
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS))

    def frame(self) -> pl.DataFrame:
        """For a snapshot: a column for each array."""
        return pl.DataFrame({name: getattr(self, name) for name in _COLUMNS})

    @classmethod
    def restored(cls, frame: pl.DataFrame) -> Seen:
        """Of `frame`."""
        return cls(*(frame[name].to_numpy() for name in _COLUMNS))


_COLUMNS: Final = tuple(field.name for field in fields(Seen))


def _doors(operations: pl.DataFrame) -> tuple[U64, U64, U64, U64]:
    """`door`, `knock`, `gate` and `push` of Seen."""
    door, knock, gate, push = (np.zeros(len(operations), np.uint64) for _ in range(4))
    rows = operations.select(_REFUSED_LOGIN.arg_true()).to_series().to_numpy()
    if len(rows):
        few = operations[rows]
        address, account = mix(_keys(few["client_ip"])[0] + _ODD), _keys(few.select(_ACCOUNT).to_series())[0]
        door[rows], knock[rows] = address, mix(address * _ODD + account)
        gate[rows] = mix(_keys(few["mount"])[0] ^ _ODD)
        push[rows] = mix(gate[rows] * _ODD + knock[rows])
    return door, knock, gate, push


def _both(who: U64, what: U64, tag: int = 0) -> U64:
    return np.where((who != NONE) & (what != NONE), mix(who * _ODD + what + np.uint64(tag)), NONE)


def _keys(names: pl.Series, part: str = "", without: Sequence[str] = ("",)) -> list[U64]:
    """A key for each name, and one for what `part` finds in it, else for all of it; 0 for those `without`.

    Null counts as empty.
    """
    column = Coded.of(names.fill_null(""))
    rows, distinct = column.codes, column.names
    none = distinct.is_in(without).to_numpy()
    texts = [distinct]
    if part:
        found = pl.coalesce(pl.col("name").str.extract(part, 1), "name")
        texts.append(distinct.alias("name").to_frame().select(found).to_series())
    hashed = (hash_texts(each.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())) for each in texts)
    return [np.where(none, NONE, keys)[rows] for keys in hashed]
