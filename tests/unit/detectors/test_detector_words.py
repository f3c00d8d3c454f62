"""What findings show of names: safe, short, and the right part of them."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors._groups import cohort, cohorts, place, places
from detectors._text import figure, hour_of, several, show, shown


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("kv/app/db", "kv/app/db"),
        ("auth/token/lookup/hvs.CAESIJlU02LQZq93qZQ", "auth/token/lookup/…"),
        ("s.9kDZt1oWfXc2Qm4b7VvGhYpr", "…"),
        ("x/eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln/y", "x/…/y"),
        ("key AKIAABCDEFGHIJKLMNOP", "key …"),
        ("two\nlines\x1b[31m", "two�lines�[31m"),
        ("oidc/3f2b0c9e-8a41-4f0e-9d7e-2b6f6f0e4a11", "oidc/3f2b0c9e-8a41-4f0e-9d7e-2b6f6f0e4a11"),
    ],
)
def test_names_are_made_safe(name: str, safe: str) -> None:
    """Credentials and control characters never reach a message; ordinary names do."""
    assert show(name) == safe
    assert pl.DataFrame({"n": [name]}).select(shown(pl.col("n"))).item() == safe


@settings(deadline=None)
@given(st.text(max_size=400))
def test_both_ways_of_showing_agree(name: str) -> None:
    """The column form and the single form say the same, and no more than fits."""
    column = pl.DataFrame({"n": [name]}).select(shown(pl.col("n"))).item()
    assert column == show(name)
    assert len(column) <= 161


def test_figures_are_readable() -> None:
    """Three digits that mean something."""
    assert [figure(v) for v in (143.0, 6.123, 0.01349, 2.0, 99.95)] == ["143", "6.12", "0.0135", "2", "100"]
    assert hour_of(1_772_546_400_000_000) == "Tue 14h"
    assert several(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


@pytest.mark.parametrize(
    ("principal", "belongs"),
    [
        ("approle/web", "approle"),
        ("kubernetes-prod/shop/cart", "kubernetes-prod/shop"),
        ("arn:aws:iam::111122223333:role/app", "arn:aws:iam::111122223333:role"),
        ("system:serviceaccount:shop:cart", "system:serviceaccount:shop"),
        ("ana@example.com", "@example.com"),
        ("root", ""),
    ],
)
def test_principals_have_a_cohort(principal: str, belongs: str) -> None:
    """Auth mount, namespace, account or mail domain."""
    assert pl.DataFrame({"principal": [principal]}).select(cohort()).item() == belongs


@pytest.mark.parametrize(
    ("secret", "folders"),
    [("kv/a/b/c", ["kv/", "kv/a/", "kv/a/b/"]), ("kv/a", ["kv/", "kv/", "kv/"]), ("name", ["", "", ""])],
)
def test_secrets_have_folders(secret: str, folders: list[str]) -> None:
    """Up to three folders, mount included."""
    frame = pl.DataFrame({"secret": [secret]})
    assert [frame.select(place("secret", depth)).item() for depth in (1, 2, 3)] == folders


@settings(deadline=None)
@given(
    st.lists(st.none() | st.sampled_from(["approle/web", "kv/a/b/c", "ana@example.com", ""]) | st.text(), max_size=20)
)
def test_names_remembered_are_names_worked_out(names: list[str | None]) -> None:
    """For short columns, asked twice, and for long ones: what the expression says."""
    column = pl.Series("name", names, pl.String)
    for some in (column, column, pl.concat([column] * 300)):
        frame = some.to_frame()
        assert cohorts(some).to_list() == frame.select(cohort("name")).to_series().to_list()
        assert places(some, 2).to_list() == frame.select(place("name", 2)).to_series().to_list()
