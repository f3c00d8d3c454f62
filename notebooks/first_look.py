"""A first look at a lake: run as an app (`make notebook`), as a script, or under pytest.

The lake is `./lake`, or the folder in KEYTRAIL_LAKE.
"""

import marimo

__generated_with = "0.25.2"
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
def _(Path, duckdb, mo, os, pl):
    lake = Path(os.environ.get("KEYTRAIL_LAKE", "lake"))
    if not (lake / "audit.duckdb").exists():
        raise FileNotFoundError(f"there is no lake in {lake}: run keytrail first, or name one in KEYTRAIL_LAKE")

    def ask(sql: str) -> pl.DataFrame:
        """One query on the published catalogue, as a frame."""
        with duckdb.connect(str(lake / "audit.duckdb"), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return pl.from_arrow(connection.sql(sql).to_arrow_table())

    def shown(frame: pl.DataFrame) -> mo.Html:
        """A table to read and search, without what marimo says about its columns."""
        return mo.ui.table(frame, selection=None, show_column_summaries=False, show_data_types=False)

    return ask, lake, shown


@app.cell
def _(ask, lake, mo):
    totals = ask("""
        SELECT count(*) AS operations, count(DISTINCT principal) AS principals, count(DISTINCT secret) AS secrets,
            strftime(min(time), '%Y-%m-%d %H:%M') AS first, strftime(max(time), '%Y-%m-%d %H:%M') AS last
        FROM operations
    """)
    told = totals.row(0, named=True)
    mo.md(f"""
    # A first look at `{lake}`

    {told["operations"]:,} operations by {told["principals"]:,} principals on {told["secrets"]:,} secrets,
    {told["first"]} to {told["last"]} UTC.
    """)
    return (totals,)


@app.cell
def _(ask, mo, shown):
    alerts = ask("""
        SELECT strftime(last_time, '%Y-%m-%d %H:%M') AS last, severity, route, title, principal, count
        FROM alerts ORDER BY last_time DESC LIMIT 100
    """)
    mo.vstack([mo.md("## Alerts, newest first"), shown(alerts)])
    return (alerts,)


@app.cell
def _(alt, ask, mo):
    hourly = ask("""
        SELECT date_trunc('hour', time) AS hour, outcome, count(*) AS operations
        FROM operations GROUP BY ALL ORDER BY hour
    """)
    outcomes = alt.Scale(
        domain=["success", "not_found", "denied", "failure"], range=["#7a93b8", "#c9b458", "#e07b39", "#c0392b"]
    )
    chart = (
        alt.Chart(hourly)
        .mark_bar()
        .encode(
            x=alt.X("hour:T", title="hour (UTC)", scale=alt.Scale(type="utc")),
            y=alt.Y("operations:Q"),
            color=alt.Color("outcome:N", scale=outcomes),
            tooltip=["hour:T", "outcome:N", "operations:Q"],
        )
        .properties(width="container", height=220)
    )
    mo.vstack([mo.md("## Operations by the hour"), chart])
    return (hourly,)


@app.cell
def _(ask, mo, shown):
    promises = ask("""
        SELECT strftime(window_start, '%Y-%m-%d') AS day,
            sum(good) FILTER (sli = 'M1')::BIGINT AS reads_succeeded, sum(total) FILTER (sli = 'M1')::BIGINT AS reads,
            round(100 * sum(good) FILTER (sli = 'M2') / sum(total) FILTER (sli = 'M2'), 2) AS fast_percent,
            round(max(value) FILTER (sli = 'M2'), 1) AS worst_hour_p95_ms
        FROM slis WHERE scope = 'store' GROUP BY ALL ORDER BY day
    """)
    mo.vstack([mo.md("## Does the store keep its promises?"), shown(promises)])
    return (promises,)


@app.cell
def _(ask, mo, shown):
    readers = ask("""
        SELECT secret, count(DISTINCT principal) AS principals, count(*) AS reads,
            strftime(max(time), '%Y-%m-%d %H:%M') AS last_read
        FROM operations WHERE operation = 'read' AND outcome = 'success' AND secret <> ''
        GROUP BY secret ORDER BY principals DESC, reads DESC LIMIT 25
    """)
    mo.vstack([mo.md("## Secrets read by the most principals"), shown(readers)])
    return (readers,)


@app.cell
def _(ask, mo, shown):
    coverage = ask("""
        SELECT source, completeness, count(*) AS hours, sum(missing_operations)::BIGINT AS missing_operations
        FROM coverage GROUP BY ALL ORDER BY source, completeness
    """)
    verdicts = ask("""
        SELECT verdict, cause, source, strftime(from_time, '%Y-%m-%d %H:%M') AS since, evidence
        FROM integrity ORDER BY from_time LIMIT 100
    """)
    mo.vstack([mo.md("## Is the record whole?"), shown(coverage), shown(verdicts)])
    return coverage, verdicts


@app.cell
def test_the_lake_has_operations(totals):
    assert totals["operations"][0] > 0


@app.cell
def test_every_hour_adds_up(hourly, totals):
    assert hourly["operations"].sum() == totals["operations"][0]


@app.cell
def test_no_read_succeeds_that_was_not_made(promises):
    assert (promises["reads_succeeded"] <= promises["reads"]).all()


if __name__ == "__main__":
    app.run()
