from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipeline.baselines import season
from pipeline.baselines.exposure import DAY, HOUR, exposure, exposure_of
from pipeline.baselines.index import Index
from pipeline.baselines.sketch import BITS, REGISTERS, bits_add, bits_count, hll_add, hll_count, register_of
from pipeline.core.hashing import LONG, hash_texts, mix


def hashes(*texts: str) -> list[int]:
    return hash_texts(pa.array(texts, pa.large_string())).tolist()


def test_hashes_are_fixed() -> None:
    """A string's hash is the same for ever: stored sketches depend on it."""
    assert [f"{h:016x}" for h in hashes("", "kv/app/db", "x" * 600)] == [
        "e220a8397b1dcdaf", "c174bdad9aa62b59", "3f3ca0acc2d06c16",
    ]  # fmt: skip


def test_a_hash_depends_on_the_string_alone() -> None:
    """A string hashes the same alone, among others, in a slice, and whatever its length and its neighbours."""
    texts = ["a" * n + "é" for n in (*range(40), LONG - 2, LONG - 1, LONG, LONG + 1)] + ["", "\0", "\0\0"]
    together = hashes(*texts)
    assert together == [hashes(text)[0] for text in texts]
    assert len(set(together)) == len(texts)
    assert hash_texts(pa.array(["zz", *texts, "q"], pa.large_string()).slice(1, len(texts))).tolist() == together
    assert hashes() == []


def test_hashes_spread() -> None:
    """Names that differ in one digit fill every one of 64 registers about evenly."""
    got = hash_texts(pa.array([f"kv/app-{i}/db" for i in range(64_000)], pa.large_string()))
    counts = np.bincount((got >> np.uint64(58)).astype(np.int64), minlength=64)
    assert counts.min() > 800
    assert counts.max() < 1200
    assert len(np.unique(got)) == 64_000


@pytest.mark.parametrize("steps", [[5], [3, 40_000, 1], [17_000, 17_000, 300], [20_000] * 6])
def test_the_index_finds_what_it_was_given(steps: list[int]) -> None:
    """Every key is found at its slot and no other is, however the keys came in."""
    rng = np.random.default_rng(3)
    keys = np.unique(mix(rng.integers(0, 2**62, 200_000).astype(np.uint64)))
    rng.shuffle(keys)
    index, at = Index(), 0
    for step in steps:
        index.add(keys[at : at + step], np.arange(at, at + step))
        at += step
    assert len(index) == at
    assert (index.find(keys[:at]) == np.arange(at)).all()
    assert (index.find(keys[at : at + 1000]) == -1).all()


@pytest.mark.parametrize("distinct", [0, 1, 10, 100, 1000, 100_000])
def test_registers_estimate(distinct: int) -> None:
    """Sixty-four registers tell the number of different things within 13 % one time in two, over many rows."""
    rows = 200
    registers = np.zeros((rows, REGISTERS), np.uint8)
    things = mix(np.arange(rows * distinct, dtype=np.uint64))
    for _ in range(2):
        hll_add(registers, np.repeat(np.arange(rows), distinct), things)
    got = hll_count(registers)
    assert abs(got.mean() - distinct) <= 0.05 * distinct
    assert np.median(np.abs(got - distinct)) <= 0.13 * distinct


def test_the_rank_is_the_zeros_in_front() -> None:
    """The first six bits choose the register, the zeros behind them give the rank."""
    register, rank = register_of(np.array([0b000011_1 << 57, 0b111111_001 << 55, 0], np.uint64))
    assert register.tolist() == [3, 63, 0]
    assert rank.tolist() == [1, 3, 59]


@pytest.mark.parametrize("distinct", [0, 1, 5, 30, 200])
def test_bits_estimate(distinct: int) -> None:
    """A 128-bit counter tells a few hundred different things apart within a tenth on average."""
    bits = np.zeros((500, BITS // 8), np.uint8)
    bits_add(bits, np.repeat(np.arange(500), distinct), mix(np.arange(500 * distinct, dtype=np.uint64)))
    assert abs(bits_count(bits).mean() - distinct) <= 0.1 * distinct
    assert bits_count(np.full((1, 16), 255, np.uint8)).tolist() == [621]


def add_one(cells: np.ndarray, cell: int, count: float, seed: int) -> None:
    rows = np.arange(len(cells))
    seeds = mix(rows.astype(np.uint64)) ^ np.uint64(seed)
    season.add(cells, rows, np.full(len(cells), cell), np.full(len(cells), count), seeds)


def test_cells_count_without_bias() -> None:
    """A thousand small additions to a logarithmic cell give, on average, their sum."""
    cells = np.zeros((4000, season.WIDTH), np.uint8)
    for step in range(1000):
        add_one(cells, 4, 1.0, step)
    got = season.counts(cells)
    assert got[:, 4].mean() == pytest.approx(1000, rel=0.01)
    assert got[:, 4].std() < 200
    assert got.sum() == got[:, 4].sum()


def test_a_half_life_halves() -> None:
    """Sixteen steps of decay halve every cell exactly, and decay ends at nothing."""
    cells = np.zeros((1, season.WIDTH), np.uint8)
    add_one(cells, 0, 1000.0, 1)
    add_one(cells, 30, 8.0, 1)
    before = season.counts(cells)
    season.decay(cells, np.array([0]), np.array([16]))
    assert season.counts(cells) == pytest.approx(before / 2)
    season.decay(cells, np.array([0]), np.array([10_000]))
    assert season.counts(cells).sum() == 0


def test_big_counts_change_the_scale() -> None:
    """A cell that outgrows its byte makes the row's unit coarser, and decay makes it fine again."""
    cells = np.zeros((50, season.WIDTH), np.uint8)
    add_one(cells, 1, 100.0, 1)
    add_one(cells, 2, 5e7, 2)
    got = season.counts(cells)
    assert got[:, 2].mean() == pytest.approx(5e7, rel=0.02)
    assert cells[0, 31] > 0
    season.decay(cells, np.arange(50), np.full(50, 16 * 25))
    assert (cells[:, 31] == 0).all()
    assert season.counts(cells)[:, 2].mean() == pytest.approx(5e7 / 2**25, rel=0.05)


@pytest.mark.parametrize("most", [3, 200, 100_000])
def test_sums_looked_up_are_those_worked_out(most: int) -> None:
    """Whether counts are few or many, cells full or empty, units fine or coarse: the same codes, and the same units."""
    rng = np.random.default_rng(most)
    cells = rng.integers(0, 256, (3_000, season.WIDTH), np.uint8)
    cells[:, 31] = rng.integers(0, 2, 3_000) * rng.integers(0, 3, 3_000)
    rows, cell = np.repeat(np.arange(3_000), 2), np.tile(np.array([4, 28]), 3_000)
    counts = rng.integers(1, most + 1, 6_000)
    other = cells.copy()
    low, share = season._added(cells, rows * season.WIDTH + cell, counts)
    expected = season._summed(other, rows * season.WIDTH + cell, counts)
    assert (low == expected[0]).all()
    assert (share == expected[1]).all()
    assert (cells == other).all()


def test_joined_cells_add_up() -> None:
    """Joining two histories adds their cells to within half a code."""
    left, right = np.zeros((20, season.WIDTH), np.uint8), np.zeros((20, season.WIDTH), np.uint8)
    add_one(left, 3, 500.0, 1)
    add_one(right, 3, 7000.0, 2)
    add_one(right, 25, 40.0, 2)
    got = season.counts(season.joined(left, right))
    assert got == pytest.approx(season.counts(left) + season.counts(right), rel=0.025)
    blank = np.zeros((20, season.WIDTH), np.uint8)
    assert season.counts(season.joined(left, blank)) == pytest.approx(season.counts(left))


def test_exposure_of_the_cells() -> None:
    """The weighted hours watched, cell by cell, are those that adding them up minute by minute gives."""
    monday, half_life = 1_700_438_400_000_000, 3 * DAY
    for start, end in ((0, 5), (5 * 60 + 20, 29 * 60 + 7), (100 * 60, 24 * 60 * 30 + 11)):
        first, at = monday + start * 60_000_000, monday + end * 60_000_000
        minutes = np.arange(start // 60 * 60, end) + 0.5
        weights = np.exp2((minutes - end) / (60 * 24 * 3)) / 60
        hours = np.bincount((minutes // 60 % 24).astype(int), weights, 24)
        weekdays = np.bincount((minutes // 60 // 24 % 7).astype(int), weights, 7)
        starts = np.array([first])
        assert exposure_of(starts, at, half_life, 1, np.arange(24))[0] == pytest.approx(hours, abs=1e-6)
        assert exposure_of(starts, at, half_life, 24, np.arange(7))[0] == pytest.approx(weekdays, abs=1e-6)
        assert exposure(starts, at, half_life)[0] == pytest.approx(weights.sum(), abs=1e-6)
    assert exposure(np.array([monday + HOUR]), monday, half_life).tolist() == [0.0]
