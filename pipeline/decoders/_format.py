"""What a format has to say for itself, so that batches are cut, parsed and made into columns one way for all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pipeline.decoders._exact import RefusedError, load_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from pipeline.decoders._fields import Field


class Parsed(NamedTuple):
    """A JSON object as it was written, the format it is an entry of, and the RAW row read from it."""

    format: Format
    body: dict[str, Any]
    row: dict[str, Any]


class Clean(NamedTuple):
    """A RAW row that holds nothing in clear, the object to keep in place of the entry's, and whether values showed.

    `body` is None where the entry may stay as it is. What is taken out as a matter of course is no value that showed.
    """

    row: dict[str, Any]
    body: dict[str, Any] | None
    shown: bool


class Signs(NamedTuple):
    """By what a torn entry is known: names it may begin with, those of them that nothing inside begins with, and a
    pattern of what stands in entries alone.
    """

    heads: tuple[str, ...]
    first: tuple[str, ...]
    inside: str


class Format(Protocol):
    """One audit format. An object is an entry of the first format, in a fixed order, whose `found` knows it.

    The quick way: `fields` of a line are read by `_table`, `scanned` looks at its text, and `believed` says of which
    lines both are sure: those must be entries of this format, and give what the exact way gives. The exact way: `found`
    gives the entry in an object (or None), `row` its RAW row, `clean` what may be kept. Both end in `columns`.
    """

    @property
    def name(self) -> str: ...

    @property
    def fields(self) -> Mapping[str, Field]: ...

    @property
    def marks(self) -> tuple[str, ...]:
        """Names at the top of an object without one of which it is no entry."""
        ...

    @property
    def signs(self) -> Signs: ...

    @property
    def documents(self) -> bool:
        """Whether entries come in lists and as parts of a larger object, too."""
        ...

    @property
    def threads(self) -> int:
        """Of the quick parser."""
        ...

    @property
    def hint(self) -> str:
        """A pattern that stands in every line that `believed` may be sure of."""
        ...

    def timed(self, raw: pl.DataFrame) -> pl.DataFrame:
        """RAW rows with what `believed` and `columns` need beside them."""
        ...

    def scanned(self, lines: pl.Series) -> pl.DataFrame: ...

    def believed(self, raw: pl.DataFrame, scanned: pl.DataFrame) -> pl.Series: ...

    def found(self, body: dict[str, Any]) -> dict[str, Any] | None: ...

    def row(self, body: dict[str, Any]) -> dict[str, Any]:
        """Raises RefusedError."""
        ...

    def clean(self, body: dict[str, Any], row: dict[str, Any]) -> Clean: ...

    def columns(self, raw: pl.DataFrame, shown: pl.Series) -> pl.DataFrame:
        """DECODED rows in the order of `raw` (as `timed` made it), `piece` left null. `shown`: values were in clear."""
        ...


class Formats:
    """Several formats in the order in which they are asked, and by what an entry of any of them is known."""

    def __init__(self, formats: Sequence[Format]) -> None:
        self._formats = formats
        self.documents = any(one.documents for one in formats)
        heads = [name for one in formats for name in one.signs.heads]
        first = [name for one in formats for name in one.signs.first]
        self.mark = re.compile(rb'\{\s*"(?:' + "|".join(heads).encode() + rb')"')
        self.opening = re.compile(rb'\{"(?:' + "|".join(first).encode() + rb')":')
        self.inside = re.compile("|".join(one.signs.inside for one in formats).encode())
        self.hinted = re.compile("|".join(one.hint for one in formats).encode())
        # The same also where it stands within a text, as shippers wrap entries.
        self.spoken = re.compile("|".join(one.signs.inside.replace('"', r'\\*"') for one in formats).encode())
        self._heads = tuple(b'{"%s":' % name.encode() for name in heads)

    def judge(self, text: bytes) -> Parsed:
        """The entry that one JSON object's text is. Raises RefusedError."""
        body = load_object(text)
        for one in self._formats:
            found = one.found(body)
            if found is not None:
                return Parsed(one, body, one.row(found))
        raise RefusedError("unknown_format")

    def begins(self, text: bytes) -> bool:
        """Whether this is how an entry begins, however little of it there is."""
        whole = self.inside.search(text) is not None
        return whole or any(text.startswith(head) or head.startswith(text) for head in self._heads)
