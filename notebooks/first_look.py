"""A first look at a lake: run as an app (`make notebook`), as a script, or under pytest.

The lake is `./lake`, or the folder in KEYTRAIL_LAKE.
"""

import marimo

__generated_with = "0.25.0"
app = marimo.App(width="medium", app_title="keytrail: a first look")


@app.cell
def _():
    import os
    from pathlib import Path

    import altair as alt
    import duckdb
    import marimo as mo
    import polars as pl

    return Path, alt, duckdb, mo, os, pl


@app.cell
def _(Path, duckdb, os, pl):
    lake = Path(os.environ.get("KEYTRAIL_LAKE", "lake"))

    def ask(sql: str) -> pl.DataFrame:
        """One query on the published catalogue, as a frame."""
        with duckdb.connect(str(lake / "audit.duckdb"), read_only=True) as connection:
            return pl.from_arrow(connection.sql(sql).to_arrow_table())

    return ask, lake


@app.cell
def _(ask, lake, mo):
    totals = ask(
        "SELECT count(*) AS operations, count(DISTINCT principal) AS principals, count(DISTINCT secret) AS secrets, "
        "min(time) AS first, max(time) AS last FROM operations"
    )
    mo.md(f"# A first look at `{lake}`\n\n{totals['operations'][0]:,} operations by {totals['principals'][0]:,} principals "
          f"on {totals['secrets'][0]:,} secrets, {totals['first'][0]:%Y-%m-%d %H:%M} to {totals['last'][0]:%Y-%m-%d %H:%M} UTC.")
    return (totals,)


@app.cell
def _(ask, mo):
    alerts = ask("SELECT severity, state, route, title, principal, secret, count, last_time FROM alerts "
                 "ORDER BY last_time DESC LIMIT 50")
    mo.vstack([mo.md("## Alerts"), mo.ui.table(alerts, selection=None)])
    return (alerts,)


@app.cell
def _(alt, ask, mo):
    hourly = ask("SELECT date_trunc('hour', time) AS hour, outcome, count(*) AS operations FROM operations "
                 "GROUP BY ALL ORDER BY hour")
    chart = alt.Chart(hourly).mark_bar().encode(
        x=alt.X("hour:T", title="hour (UTC)"), y=alt.Y("operations:Q"), color="outcome:N",
        tooltip=["hour:T", "outcome:N", "operations:Q"],
    ).properties(width="container", height=220)
    mo.vstack([mo.md("## Operations by the hour"), chart])
    return chart, hourly


@app.cell
def _(ask, mo):
    readers = ask("SELECT secret, count(DISTINCT principal) AS principals, count(*) AS reads, max(time) AS last_read "
                  "FROM operations WHERE operation = 'read' AND outcome = 'success' AND secret <> '' "
                  "GROUP BY secret ORDER BY principals DESC, reads DESC LIMIT 25")
    mo.vstack([mo.md("## Secrets read by the most principals"), mo.ui.table(readers, selection=None)])
    return (readers,)


@app.cell
def _(ask, mo):
    coverage = ask("SELECT source, completeness, count(*) AS hours, sum(missing_operations) AS missing FROM coverage "
                   "GROUP BY ALL ORDER BY source")
    verdicts = ask("SELECT verdict, cause, count(*) AS places FROM integrity GROUP BY ALL ORDER BY verdict")
    mo.vstack([mo.md("## Is the record whole?"), mo.ui.table(coverage, selection=None), mo.ui.table(verdicts, selection=None)])
    return coverage, verdicts


@app.cell
def test_the_lake_has_operations(totals):
    assert totals["operations"][0] > 0


@app.cell
def test_every_hour_adds_up(hourly, totals):
    assert hourly["operations"].sum() == totals["operations"][0]


if __name__ == "__main__":
    app.run()
