"""For whoever was called: is it the store, somebody's rights, or a rotation; and what is open.

The lake is `./lake`, or the folder in KEYTRAIL_LAKE. Names out of the logs stand in tables and charts alone, never in text
that is markup.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="keytrail: on call")


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

    def ask(sql: str, *parameters: object) -> pl.DataFrame:
        """One query on the published catalogue, as a frame; `?` takes what a reader chose, never the text itself."""
        with duckdb.connect(str(lake / "audit.duckdb"), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return pl.from_arrow(connection.sql(sql, params=parameters).to_arrow_table())

    def shown(frame: pl.DataFrame) -> mo.Html:
        """A table to read and search, without what marimo says about its columns."""
        return mo.ui.table(frame, selection=None, show_column_summaries=False, show_data_types=False)

    return ask, lake, shown


@app.cell
def _(ask, mo):
    newest = ask("SELECT max(time) AS newest FROM operations")["newest"][0]
    spans = {"last hour": 1, "last 6 hours": 6, "last day": 24, "last 7 days": 168}
    span = mo.ui.dropdown(list(spans), value="last day", label="Before the newest operation:")
    told = (
        "There are no operations yet." if newest is None else f"The newest operation is of {newest:%Y-%m-%d %H:%M} UTC."
    )
    mo.vstack([mo.md(f"# On call\n\n{told}"), span])
    return newest, span, spans


@app.cell
def _(newest, span, spans):
    import datetime as dt

    end = newest or dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    start = end - dt.timedelta(hours=spans[span.value])
    return (start,)


@app.cell
def _(ask, mo, shown, start):
    outcomes = ask(
        """
        SELECT store, count(*) AS operations,
            count(*) FILTER (operation = 'read' AND outcome = 'success') AS reads,
            count(*) FILTER (outcome = 'failure') AS failed, count(*) FILTER (outcome = 'denied') AS denied,
            count(*) FILTER (outcome = 'not_found') AS not_found,
            round(quantile_cont(latency_ms, 0.5), 1) AS p50_ms, round(quantile_cont(latency_ms, 0.95), 1) AS p95_ms,
            round(quantile_cont(latency_ms, 0.99), 1) AS p99_ms
        FROM operations WHERE time >= ? GROUP BY store ORDER BY operations DESC
        """,
        start,
    )
    mo.vstack([mo.md("## Is it the store?"), shown(outcomes)])
    return (outcomes,)


@app.cell
def _(alt, ask, mo, start):
    windows = ask(
        """
        SELECT window_start, store, sli, good / total AS share, value
        FROM slis WHERE scope = 'store' AND sli IN ('M1', 'M2') AND total > 0 AND window_start >= ? ORDER BY window_start
        """,
        start,
    )
    time = alt.X("window_start:T", title=None, scale=alt.Scale(type="utc"))
    lowest = min(windows.filter(sli="M1")["share"].min() or 1.0, 0.99)
    success = (
        alt.Chart(windows.filter(sli="M1"), title="reads that succeed")
        .mark_line(point={"size": 12}, interpolate="step-after")
        .encode(
            x=time,
            y=alt.Y("share:Q", axis=alt.Axis(format=".1%"), title=None, scale=alt.Scale(domain=[lowest, 1])),
            color="store:N",
            tooltip=["window_start:T", "store:N", alt.Tooltip("share:Q", format=".2%")],
        )
        .properties(width="container", height=180)
    )
    latency = (
        alt.Chart(windows.filter(sli="M2"), title="p95, ms")
        .mark_line(point={"size": 12}, interpolate="step-after")
        .encode(
            x=time, y=alt.Y("value:Q", title=None), color="store:N", tooltip=["window_start:T", "store:N", "value:Q"]
        )
        .properties(width="container", height=180)
    )
    mo.vstack([success, latency])
    return (windows,)


@app.cell
def _(ask, mo, shown, start):
    failing = ask(
        """
        SELECT store, namespace || mount AS mount, operation,
            trim(regexp_replace(coalesce(error, ''), '\\s+', ' ', 'g')) AS error, count(*) AS failed,
            count(DISTINCT principal) AS principals, strftime(max(time), '%m-%d %H:%M:%S') AS last
        FROM operations WHERE outcome = 'failure' AND time >= ? GROUP BY ALL ORDER BY failed DESC LIMIT 25
        """,
        start,
    )
    mo.vstack([mo.md("What failed, by mount and error:"), shown(failing)])
    return (failing,)


@app.cell
def _(ask, mo, shown, start):
    refused = ask(
        """
        WITH before AS (
            SELECT DISTINCT principal, secret FROM operations WHERE outcome = 'success' AND secret <> ''
        )
        SELECT max(b.principal) IS NOT NULL AS used_to_work, count(*) AS times, o.principal,
            coalesce(nullif(o.secret, ''), o.path) AS refused, o.operation, count(DISTINCT o.client_ip) AS addresses,
            strftime(max(o.time), '%m-%d %H:%M:%S') AS last, o.store,
            trim(regexp_replace(coalesce(o.error, ''), '\\s+', ' ', 'g')) AS error
        FROM operations o LEFT JOIN before b ON b.principal = o.principal AND b.secret = o.secret
        WHERE o.outcome = 'denied' AND o.time >= ? GROUP BY ALL ORDER BY used_to_work DESC, times DESC LIMIT 50
        """,
        start,
    )
    mo.vstack([mo.md("## Is it somebody's rights? What used to work comes first"), shown(refused)])
    return (refused,)


@app.cell
def _(ask, mo, shown, start):
    rotations = ask(
        """
        SELECT strftime(time, '%m-%d %H:%M') AS at, secret, principal, outcome, coalesce(error, '') AS error
        FROM operations WHERE operation = 'rotate' AND time >= ? ORDER BY time DESC LIMIT 50
        """,
        start,
    )
    stale = ask(
        """
        SELECT strftime(time, '%m-%d %H:%M') AS at, severity, title, secret, principal, observed
        FROM findings WHERE detector = 'rotation_health' AND time >= ? ORDER BY time DESC LIMIT 50
        """,
        start,
    )
    mo.vstack(
        [
            mo.md("## Is it a rotation? Those that were asked for, and what was found about them"),
            mo.hstack([shown(rotations), shown(stale)], widths="equal"),
        ]
    )
    return rotations, stale


@app.cell
def _(ask, mo, shown, start):
    alerts = ask(
        """
        SELECT strftime(last_time, '%m-%d %H:%M') AS last, severity, route, state, title, principal, secret, count, message
        FROM alerts WHERE last_time >= ? AND state <> 'suppressed'
        ORDER BY list_position(['critical', 'high', 'medium', 'low', 'informational'], severity), last_time DESC LIMIT 100
        """,
        start,
    )
    mo.vstack([mo.md("## What was found"), shown(alerts)])
    return (alerts,)


@app.cell
def _(ask, mo, shown, start):
    breaks = ask(
        """
        SELECT strftime(coalesce(from_time, to_time), '%m-%d %H:%M:%S') AS since, verdict, cause, source, count, evidence
        FROM integrity WHERE coalesce(to_time, from_time) >= ? OR to_time IS NULL ORDER BY from_time DESC LIMIT 50
        """,
        start,
    )
    coverage = ask(
        """
        SELECT source, completeness, count(*) AS hours, sum(missing_operations)::BIGINT AS missing
        FROM coverage WHERE hour >= date_trunc('hour', ?::TIMESTAMPTZ) GROUP BY ALL ORDER BY source, completeness
        """,
        start,
    )
    mo.vstack([mo.md("## Can this be believed?"), shown(coverage), shown(breaks)])
    return breaks, coverage


@app.cell
def test_outcomes_are_parts_of_the_whole(outcomes):
    parts = outcomes["reads"] + outcomes["failed"] + outcomes["denied"] + outcomes["not_found"]
    assert (parts <= outcomes["operations"]).all()


@app.cell
def test_shares_are_shares(windows):
    assert windows["share"].is_between(0, 1).all()


@app.cell
def test_as_many_are_refused_as_were_counted(outcomes, refused):
    assert refused["times"].sum() <= outcomes["denied"].sum()


if __name__ == "__main__":
    app.run()
