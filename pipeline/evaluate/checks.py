"""Whether the test is a test: what a single line of a rule would find, and whether attacks carry a mark.

An attack that one line finds is a matter of rules, not of statistics. A classifier that sees only what no behaviour
decides (digits of request ids and of times) must do no better than chance. Addresses, ports and latencies it does not
see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.core.clock import DAY_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.evaluate.twins import Staged

SAMPLE: Final = 400  # ordinary operations of an hour that the classifier sees
_RULE: Final = ("operation", "outcome", "where")


def ruled(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with what a one-line rule may ask of a single operation: what was done, how it ended, at which endpoint."""
    path, mount = pl.col("path").fill_null(""), pl.col("mount").fill_null("")
    inside = path.str.strip_prefix(mount).str.extract(r"^([^/]*)", 1)
    system = mount.is_in(["sys/", "auth/token/"])
    return rows.with_columns(where=pl.when(system).then(mount + inside).otherwise(mount))


class OneLiners:
    """How many (principal, day) each one-line rule hits in the quiet twin, and which incidents it would find."""

    def __init__(self) -> None:
        self._hits: list[pl.DataFrame] = []

    def note(self, operations: pl.DataFrame, at_us: int) -> None:
        """Ordinary operations of an hour."""
        day = pl.lit(at_us // DAY_US).alias("day")
        self._hits.append(ruled(operations).select(*_RULE, "principal", day).unique())
        if len(self._hits) > 48:
            self._hits = [pl.concat(self._hits).unique()]

    def best(self, staged: pl.DataFrame, incidents: Sequence[Staged], allowed: float) -> list[str]:
        """For each incident the rules that find it and hit no more than `allowed` principal-days in all."""
        hits = pl.concat(self._hits).unique() if self._hits else ruled(staged).select(*_RULE).head(0)
        noisy = hits.group_by(_RULE).len().filter(pl.col("len") > allowed).select(_RULE)
        quiet = ruled(staged).join(noisy, on=_RULE, how="anti", nulls_equal=True)
        by_uid = quiet.select("correlation_uid", rule=pl.concat_str(_RULE, separator=" "))
        found: list[str] = []
        for one in incidents:
            mine = by_uid.filter(pl.col("correlation_uid").is_in(list(one.label.correlation_uids)))
            found.append("; ".join(mine["rule"].drop_nulls().unique().sort().to_list()))
        return found


class Marks:
    """What no behaviour decides, of ordinary and of staged reads."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._ordinary: list[npt.NDArray[np.float64]] = []

    def note(self, operations: pl.DataFrame) -> None:
        """Ordinary operations of an hour: some of its reads."""
        reads = operations.filter(operation="read")
        if len(reads):
            chosen = self._rng.choice(len(reads), min(SAMPLE, len(reads)), replace=False)
            self._ordinary.append(_digits(reads[np.sort(chosen)]))

    def score(self, staged: pl.DataFrame) -> float | None:
        """Area under the curve of a forest trained on one half of each, asked about the other; None with too few."""
        theirs = _digits(staged.filter(operation="read"))
        if len(theirs) < 40 or not self._ordinary:
            return None
        from sklearn.ensemble import ExtraTreesClassifier  # noqa: PLC0415  every command imports this module
        from sklearn.metrics import roc_auc_score  # noqa: PLC0415

        ours = np.concatenate(self._ordinary)
        values = np.concatenate([ours, theirs])
        truth = np.r_[np.zeros(len(ours)), np.ones(len(theirs))]
        half = np.r_[np.arange(len(ours)) % 2, np.arange(len(theirs)) * 2 // len(theirs)] == 0
        forest = ExtraTreesClassifier(60, min_samples_leaf=5, class_weight="balanced", random_state=0)
        forest.fit(values[half], truth[half])
        return float(roc_auc_score(truth[~half], forest.predict_proba(values[~half])[:, 1]))


def _digits(rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Every fourth hexadecimal digit of the request id, and the digits of the time below a millisecond."""
    ids = rows["correlation_uid"].str.replace_all("-", "")
    columns = [ids.str.slice(i, 1).str.to_integer(base=16).to_numpy() for i in range(0, 32, 4)]
    micros = rows["time"].to_physical().to_numpy() % 1000
    return np.stack([*columns, micros // 100, micros // 10 % 10, micros % 10], axis=1).astype(np.float64)
