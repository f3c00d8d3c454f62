"""The simulator must not give its attacks away by anything but behaviour."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from pipeline.simulate import DIFFICULTIES, Attack, Scenario, attacks, simulate, workload
from pipeline.simulate.world import known

VARYING = ("error", "data", "mount_accessor", "wrap_ttl")  # what behaviour decides
HOST = 21  # place of the address's last number
ORDERS: dict[str, list[float]] = {}  # key orders seen, numbered


def marks(line: bytes) -> list[float]:
    """Numbers of a line that no behaviour decides: digits of ids and times, port, hash letters, order of keys."""
    entry = json.loads(line)
    request, time = entry["request"], entry["time"]
    fraction = time[20:-1].ljust(9, "0") if "." in time else "0" * 9
    ident = request["id"].replace("-", "")
    host = int(request["remote_address"].rsplit(".", 1)[1])
    return [
        request["remote_port"],
        request["remote_port"] % 2,
        len(time),
        *(int(c) for c in fraction),
        *(int(c, 16) for c in ident[::4]),
        len(ident),
        host,
        *ORDERS.setdefault(",".join(k for k in (*entry, *request) if k not in VARYING), [float(len(ORDERS))]),
    ]


def marked(folder: Path, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Marks of a run's reads and lists (without the host, which goes with the principal), and which are attacks."""
    names = ("mass_read", "enumeration", "retry_loop", "stale_rotation")
    staged = tuple(Attack(n, "easy") for n in names for _ in range(3))
    simulate(Scenario(days=3, preset="xs", seed=seed, attacks=staged, confusers=()), folder)
    labels = [json.loads(line) for line in (folder / "labels.jsonl").read_bytes().splitlines()]
    theirs = {uid for label in labels for uid in label["correlation_uids"]}
    rows, truth = [], []
    for line in (folder / "audit.log").read_bytes().splitlines():
        entry = json.loads(line)
        if entry["type"] == "request" and entry["request"]["path"].startswith(("kv/", "shared/")):
            rows.append(marks(line))
            truth.append(entry["request"]["id"] in theirs)
    return np.delete(np.array(rows, dtype=float), HOST, axis=1), np.array(truth)


def test_identifiers_do_not_tell_attacks_apart(tmp_path: Path) -> None:
    """A forest that sees ids, ports and fraction digits only ranks another run's attacks no better than chance."""
    learned, tested = (marked(tmp_path / str(seed), seed) for seed in (5, 6))
    forest = RandomForestClassifier(60, min_samples_leaf=5, random_state=0, class_weight="balanced")
    score = forest.fit(*learned).predict_proba(tested[0])[:, 1]
    assert tested[1].sum() > 500
    assert abs(roc_auc_score(tested[1], score) - 0.5) < 0.05


@settings(max_examples=8, deadline=None)
# A tiny estate without a machine.
@example(seed=303, names=["concurrent_token", "stolen_token", "wrap_interception"], difficulty="easy")
@given(
    seed=st.integers(0, 2**40),
    names=st.lists(st.sampled_from(known(attacks)), max_size=3),
    difficulty=st.sampled_from(DIFFICULTIES),
)
def test_the_ordinary_operations_never_depend_on_attacks(seed: int, names: list[str], difficulty: str) -> None:
    """For any seed and attacks, the unlabelled operations are those of the twin."""
    twin = Scenario(days=1, preset="xs", seed=seed)
    staged = Scenario(days=1, preset="xs", seed=seed, devices=2, attacks=tuple(Attack(n, difficulty) for n in names))
    theirs: set[str] = set()
    mine: list[str] = []
    for frame, incidents in workload(staged):
        theirs.update(uid for i in incidents for uid in i.correlation_uids)
        mine += frame["correlation_uid"].to_list()
    plain = [uid for frame, _ in workload(twin) for uid in frame["correlation_uid"].to_list()]
    assert [u for u in mine if u not in theirs] == plain


@pytest.mark.parametrize("preset", ["xs", "s"])
def test_the_mix_is_that_of_a_real_estate(preset: str) -> None:
    """Reads, renewals, log-ins, lists and writes keep to the shares of the design."""
    counts: dict[str, int] = {}
    total = 0
    for frame, _ in workload(Scenario(days=1, preset=preset, confusers=())):
        total += len(frame)
        for operation, count in frame["operation"].value_counts().rows():
            counts[operation] = counts.get(operation, 0) + count
    assert 0.5 < counts["read"] / total < 0.95
    assert 0.02 < counts["auth"] / total < 0.45
    assert counts["list"] / total < 0.05
    assert counts["write"] / total < 0.05
