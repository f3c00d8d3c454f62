"""For those who answer for the stores: are promises kept, what is at risk, how does use grow.

The lake is `./lake`, or the folder in KEYTRAIL_LAKE. Names out of the logs stand in tables and charts alone, never in text
that is markup.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="keytrail: executive")


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
    totals = ask("""
        SELECT count(*) AS operations, count(DISTINCT principal) AS principals,
            count(DISTINCT secret) FILTER (secret <> '') AS secrets,
            strftime(min(time), '%Y-%m-%d') AS first, strftime(max(time), '%Y-%m-%d') AS last
        FROM operations
    """)
    told = totals.row(0, named=True)
    period = f"{told['first']} to {told['last']}" if told["operations"] else "no operations yet"
    mo.md(f"""
    # Secret stores: {period}

    {told["operations"]:,} operations by {told["principals"]:,} principals on {told["secrets"]:,} secrets. Indicators are
    defined in `docs/slis.md`; the newest 30 days count.
    """)
    return (totals,)


@app.cell
def _(ask):
    promises = ask("""
        WITH recent AS (
            SELECT * FROM slis WHERE scope = 'store'
                AND window_start > (SELECT max(window_start) FROM slis) - INTERVAL 30 DAY
        )
        SELECT sli, store, sum(good) AS good, sum(total) AS total, any_value(objective) AS objective,
            bool_or(estimate) AS estimate
        FROM recent WHERE good IS NOT NULL AND total > 0 GROUP BY sli, store ORDER BY sli, store
    """)
    return (promises,)


@app.cell
def _(mo, pl, promises):
    def share(sli: str) -> tuple[float | None, float]:
        """Good of total over all stores, and how many there were."""
        rows = promises.filter(sli=sli)
        total = float(rows["total"].sum())
        return (float(rows["good"].sum()) / total if total else None), total

    def left(sli: str, allowed: float) -> float | None:
        """Of the failures allowed, the share not used."""
        good, _ = share(sli)
        return None if good is None else max(0.0, 1 - (1 - good) / allowed)

    def percent(part: float | None, digits: int = 2) -> str:
        return "not measured" if part is None else f"{part:.{digits}%}"

    allowed = 1 - float(promises.filter(sli="M1")["objective"].fill_null(0.999).max() or 0.999)
    expired = promises.filter(sli="M5").select((pl.col("total") - pl.col("good")).sum()).item()
    measured = "M5" in promises["sli"]
    mo.vstack(
        [
            mo.md("## Promises"),
            mo.hstack(
                [
                    mo.stat(
                        percent(share("M1")[0], 3),
                        label="reads that succeed",
                        caption=f"{share('M1')[1]:,.0f} reads",
                        bordered=True,
                    ),
                    mo.stat(
                        percent(left("M1", allowed), 0),
                        label="error budget left",
                        caption=f"{allowed:.2%} of reads may fail",
                        bordered=True,
                    ),
                    mo.stat(percent(share("M2")[0]), label="fast enough", caption="95 % is promised", bordered=True),
                    mo.stat(
                        percent(share("M3")[0]),
                        label="rotations done",
                        caption=f"{share('M3')[1]:,.0f} asked for or due",
                        bordered=True,
                    ),
                    mo.stat(
                        f"{expired:,.0f}" if measured else "not measured",
                        label="reads of expired secrets",
                        caption="lifetimes are declared",
                        bordered=True,
                    ),
                ],
                widths="equal",
                gap=1,
            ),
        ]
    )
    return


@app.cell
def _(mo, pl, promises, shown):
    table = promises.select(
        "sli",
        "store",
        good=(100 * pl.col("good") / pl.col("total")).round(3).cast(pl.String) + " %",
        of=pl.col("total").cast(pl.Int64),
        objective=pl.when(pl.col("sli") == "M2")
        .then(pl.format("95 % within {} ms", pl.col("objective")))
        .when(pl.col("objective").is_between(0, 1, closed="none"))
        .then((100 * pl.col("objective")).round(3).cast(pl.String) + " %"),
        estimate=pl.when("estimate").then(pl.lit("estimate")).otherwise(pl.lit("")),
    )
    mo.vstack([mo.md("Every indicator that counts good and total, by store:"), shown(table)])
    return


@app.cell
def _(alt, ask, mo):
    budgets = ask("""
        SELECT date_trunc('day', window_start) AS day, store, sli,
            1 - sum(good) / sum(total) AS failed,
            any_value(CASE sli WHEN 'M2' THEN 0.05 ELSE 1 - objective END) AS allowed, failed / allowed AS burn
        FROM slis WHERE scope = 'store' AND sli IN ('M1', 'M2', 'M3') AND total > 0
        GROUP BY day, store, sli ORDER BY day
    """)
    daily = alt.Chart(budgets).encode(
        x=alt.X("yearmonthdate(day):T", title="day (UTC)", scale=alt.Scale(type="utc")),
        y=alt.Y("burn:Q", title="of a day's error budget", scale=alt.Scale(type="symlog")),
        color=alt.Color("store:N"),
        tooltip=[
            "day:T",
            "store:N",
            "sli:N",
            alt.Tooltip("failed:Q", format=".3%"),
            alt.Tooltip("burn:Q", format=".2f"),
        ],
    )
    marks = daily.mark_line().encode(detail="sli:N") + daily.mark_point(filled=True, size=60).encode(shape="sli:N")
    line = alt.Chart(alt.Data(values=[{"one": 1}])).mark_rule(strokeDash=[4, 4], color="#c0392b").encode(y="one:Q")
    drawn = (marks + line).properties(width="container", height=220)
    mo.vstack([mo.md("## Error budgets, day by day: above 1 the objective was missed"), drawn])
    return (budgets,)


@app.cell
def _(ask, mo, shown):
    severities = ask("""
        SELECT severity, count(*) AS alerts, count(*) FILTER (state IN ('open', 'updated')) AS still_open
        FROM alerts GROUP BY severity
        ORDER BY list_position(['critical', 'high', 'medium', 'low', 'informational'], severity)
    """)
    grave = ask("""
        SELECT strftime(last_time, '%Y-%m-%d %H:%M') AS last, severity, state, title, principal, secret, count
        FROM alerts WHERE severity IN ('critical', 'high') ORDER BY last_time DESC LIMIT 50
    """)
    mo.vstack(
        [
            mo.md("## Critical and high alerts, newest first"),
            shown(severities),
            shown(grave),
        ]
    )
    return grave, severities


@app.cell
def _(ask, mo, shown):
    risks = ask("""
        SELECT store, count(*) AS secrets, count(*) FILTER (never_read) AS never_read, count(*) FILTER (stale) AS stale,
            count(*) FILTER (over_shared) AS over_shared,
            count(*) FILTER (last_rotation IS NULL AND last_write IS NULL) AS change_never_seen
        FROM inventory GROUP BY store ORDER BY secrets DESC
    """)
    clocks = ask("""
        SELECT store, scope, round(value / 60, 1) AS minutes, met AS in_time,
            strftime(window_start, '%Y-%m-%d %H:%M') AS window, coverage
        FROM slis WHERE sli = 'M8'
        QUALIFY row_number() OVER (PARTITION BY store, scope ORDER BY window_start DESC) = 1
        ORDER BY minutes DESC
    """)
    record = ask("""
        SELECT verdict, count(*) AS places, strftime(max(to_time), '%Y-%m-%d %H:%M') AS last
        FROM integrity GROUP BY verdict ORDER BY places DESC
    """)
    mo.vstack(
        [
            mo.md("## What is at risk: secrets nobody reads or everybody does, and breaks in the record"),
            shown(risks),
            shown(record),
            *(
                [mo.md("Time to revoke what was declared compromised (M8), newest of each place:"), shown(clocks)]
                if len(clocks)
                else []
            ),
        ]
    )
    return record, risks


@app.cell
def _(alt, ask, mo):
    use = ask("""
        SELECT date_trunc('day', time) AS day, store, count(*) AS operations, count(DISTINCT principal) AS principals,
            count(*) FILTER (outcome = 'denied') AS denied
        FROM operations GROUP BY day, store ORDER BY day
    """)
    bars = (
        alt.Chart(use)
        .mark_bar()
        .encode(
            x=alt.X("yearmonthdate(day):T", title="day (UTC)", scale=alt.Scale(type="utc")),
            y="operations:Q",
            color=alt.Color("store:N"),
            tooltip=["day:T", "store:N", "operations:Q", "principals:Q", "denied:Q"],
        )
        .properties(width="container", height=220)
    )
    mo.vstack([mo.md("## Use"), bars])
    return (use,)


@app.cell
def test_no_more_is_good_than_was_counted(promises):
    assert (promises["good"] <= promises["total"]).all()


@app.cell
def test_every_day_adds_up(totals, use):
    assert use["operations"].sum() == totals["operations"][0]


@app.cell
def test_what_is_grave_is_counted(grave, severities):
    counts = dict(severities.select("severity", "alerts").iter_rows())
    assert len(grave) == min(50, counts.get("critical", 0) + counts.get("high", 0))


if __name__ == "__main__":
    app.run()
