"""One thing after another: each ordinary, the order not. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import polars as pl

from detectors._memory import keys_of
from detectors._window import Found, known_since, tell
from detectors.sequence import chains
from detectors.sequence.facts import Facts
from detectors.sequence.news import News
from pipeline.core.clock import DAY_US
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from detectors._usual import Bools
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="sequence",
    version="1",
    title="One thing after another",
    family="sequence",
    summary="policy change, audit off, list, refusal or new place followed by reads; a token used after its revocation",
    techniques=("T1098.003", "T1562.008", "T1555.006", "T1550.001"),
    measures=("F3", "M4", "M7"),
)

_WEEK_US: Final = 7 * DAY_US


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Reads count that disclose a secret this principal never read before (credentials of a changed role: any).

    A change of policy, role or mount followed within an hour by `after_policy` of them, by whoever made it or by one
    who logged in from the same address since; a change of an engine's role by `after_role` of that very role within an
    hour, by whoever made it; audit control followed within two hours by `after_audit`; a list within
    half an hour by `after_list`; a network new to the principal within an hour by `after_place`. Refused and allowed
    within a day: `flipped` secrets. In the first `settle_hours` nothing is told. `facts` and `keys`
    bound the memory.
    """

    after_policy: int = 2
    after_role: int = 1
    after_audit: int = 1
    after_list: int = 5
    after_place: int = 5
    flipped: int = 3
    settle_hours: float = 72.0
    facts: int = 50_000
    keys: int = 500_000


class Sequence:
    """Remembers the facts of the last day, and who was seen in which network."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._facts = Facts(config.facts, config.keys)
        self._news = News(config.facts)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        if window.operations.is_empty():
            return empty(FINDING)
        facts = self._facts.with_those_of(window)
        news = self._news.with_those_of(window, facts["principal"].unique(), self._facts.settled)
        found: list[Found] = []
        if len(facts) and self._facts.age_hours(window.start_us) >= self._config.settle_hours:
            kinds = {what: rows for (what,), rows in facts.partition_by("what", as_dict=True).items()}
            if news["now"].any():
                for chain in chains.CHAINS:
                    found += chain.told(kinds, news, getattr(self._config, chain.setting), window.start_us)
            if "role" in kinds:
                known = kinds["role"].filter(pl.Series(self._known(kinds["role"], window)))
                found += chains.role_again(known, found, self._config.after_role, window)
            if "revoked" in kinds:
                found += chains.after_revocation(kinds["revoked"], window)
        if window.closed:
            self._facts.learn(window, facts)
            self._news.learn(news)
        return tell(self.info, window, found)

    def _known(self, facts: pl.DataFrame, window: Window) -> Bools:
        """Whose facts they are was seen often, or first a week ago: who changes roles comes seldom."""
        settled = self._facts.settled(keys_of(facts["principal"]))
        return settled | known_since(window, facts.select("principal"), window.start_us - _WEEK_US)

    def snapshot(self) -> Frames:
        """Facts, networks, and the first reads of the last day that could mean something."""
        return {**self._facts.snapshot(), **self._news.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._facts.restore(frames)
        self._news.restore(frames)


def create(config: Config) -> Sequence:
    """The detector, with nothing remembered."""
    return Sequence(config)
