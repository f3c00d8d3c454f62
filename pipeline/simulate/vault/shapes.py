"""What requests carry and what answers hold, kind by kind: the texts between the fixed parts of an entry.

Every shape takes the rows of one kind and gives three columns (a list, or one text for all): the request's data, the
answer's auth, and the rest of the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.simulate.stage import request_ids
from pipeline.simulate.vault.engines import ENGINES
from pipeline.simulate.vault.system import SYSTEM
from pipeline.simulate.vault.texts import trimmed

if TYPE_CHECKING:
    from pipeline.simulate.rows import Rows
    from pipeline.simulate.traffic import World
    from pipeline.simulate.vault.engines import Parts
    from pipeline.simulate.vault.hashing import Hasher
    from pipeline.simulate.vault.tokens import Tokens

_KEEP = 100_000


class Shapes:
    """The texts of one device. Those of a secret's version are made once, while they are remembered."""

    def __init__(self, world: World, hasher: Hasher, tokens: Tokens) -> None:
        self.world, self.hasher, self.tokens = world, hasher, tokens
        self._values: dict[tuple[int, int], tuple[str, str]] = {}
        self._all = ENGINES | SYSTEM

    def parts(self, shape: str, rows: Rows) -> Parts:
        """The three columns for rows of one kind."""
        return self._all[shape](self, rows)

    def value(self, what: int, version: int) -> tuple[str, str]:
        """Fields and metadata of one version of a secret, as JSON."""
        found = self._values.get((what, version))
        if found is None:
            if len(self._values) >= _KEEP:
                self._values.clear()
            found = self._values[(what, version)] = self._value(what, version)
        return found

    def _value(self, what: int, version: int) -> tuple[str, str]:
        estate = self.world.estate
        secret = estate.secret(what)
        fields = ",".join(f'"{n}":"{self.hasher(f"{n} of {secret} v{version}")}"' for n in estate.object_fields[what])
        created = trimmed(self.world.versions.created(what, version))
        return f"{{{fields}}}", (
            f'{{"created_time":"{created}","custom_metadata":null,"deletion_time":"{self.hasher("")}",'
            f'"destroyed":false,"version":{version}}}'
        )

    def hashes(self, rows: Rows, field: str) -> list[str]:
        """A value of its own for every row."""
        return [self.hasher.once(f"{field} {i}") for i in request_ids(rows)]

    def names(self, rows: Rows) -> list[str]:
        """Names of the objects concerned, without their mount."""
        return [self.world.estate.object_name[o] for o in rows["object"].tolist()]
