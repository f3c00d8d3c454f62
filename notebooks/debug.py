"""For whoever looks closer: clients, the entries of one secret, versions and rollouts, repeated reads.

The lake is `./lake`, or the folder in KEYTRAIL_LAKE. Names out of the logs stand in tables and charts alone, never in text
that is markup.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="keytrail: debug")


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

    return ask, shown


@app.cell
def _(ask, mo):
    busiest = ask("""
        SELECT secret, count(*) AS operations FROM operations WHERE secret <> '' GROUP BY secret
        ORDER BY operations DESC, secret LIMIT 1000
    """)["secret"].to_list()
    clients = ask("""
        SELECT principal, count(*) AS operations FROM operations GROUP BY principal ORDER BY operations DESC, principal LIMIT 1000
    """)["principal"].to_list()
    secret = mo.ui.dropdown(busiest, value=busiest[0] if busiest else None, label="Secret", searchable=True)
    client = mo.ui.dropdown(clients, value=clients[0] if clients else None, label="Client", searchable=True)
    mo.vstack(
        [
            mo.md("# Debug: one secret, one client\n\nThe thousand busiest of each can be chosen."),
            mo.hstack([secret, client], justify="start", gap=2),
        ]
    )
    return client, secret


@app.cell
def _(ask, mo, shown):
    per_client = ask("""
        SELECT principal, store, count(*) AS operations, count(*) FILTER (outcome = 'failure') AS failed,
            count(*) FILTER (outcome = 'denied') AS denied, count(*) FILTER (outcome = 'not_found') AS not_found,
            round(quantile_cont(latency_ms, 0.5), 2) AS p50_ms, round(quantile_cont(latency_ms, 0.95), 2) AS p95_ms,
            round(max(latency_ms), 1) AS slowest_ms, count(DISTINCT session) AS sessions,
            count(DISTINCT client_ip) AS addresses
        FROM operations GROUP BY principal, store ORDER BY operations DESC LIMIT 500
    """)
    mo.vstack([mo.md("## Latency and errors by client"), shown(per_client)])
    return (per_client,)


@app.cell
def _(alt, ask, client, mo):
    points = ask(
        """
        SELECT time, latency_ms, outcome, operation, secret FROM operations
        WHERE principal = ? AND latency_ms IS NOT NULL ORDER BY time DESC LIMIT 4000
        """,
        client.value,
    )
    scatter = (
        alt.Chart(points)
        .mark_circle(size=14, opacity=0.6)
        .encode(
            x=alt.X("time:T", title="time (UTC)", scale=alt.Scale(type="utc")),
            y=alt.Y("latency_ms:Q", title="ms", scale=alt.Scale(type="symlog")),
            color="outcome:N",
            tooltip=["time:T", "operation:N", "secret:N", "latency_ms:Q"],
        )
        .properties(width="container", height=240)
    )
    mo.vstack([mo.md("The chosen client's newest operations, each a point:"), scatter])
    return (points,)


@app.cell
def _(ask, mo, secret, shown):
    entries = ask(
        """
        SELECT strftime(time, '%Y-%m-%d %H:%M:%S.%g') AS at, principal, operation, outcome, secret_version AS version,
            round(latency_ms, 2) AS ms, client_ip, user_agent, coalesce(error, '') AS error, uid
        FROM operations WHERE secret = ? ORDER BY time DESC LIMIT 2000
        """,
        secret.value,
    )
    mo.vstack(
        [
            mo.md(
                "## The entries of the chosen secret, newest first\n\n`keytrail proof UID` proves that one is in the ledger."
            ),
            shown(entries),
        ]
    )
    return (entries,)


@app.cell
def _(alt, ask, mo, secret):
    versions = ask(
        """
        SELECT time, principal, operation,
            CASE WHEN operation = 'read' THEN coalesce(secret_version::VARCHAR, 'newest') ELSE operation END AS version
        FROM operations WHERE secret = ? AND outcome = 'success' AND operation IN ('read', 'write', 'rotate', 'delete')
        ORDER BY time DESC LIMIT 4000
        """,
        secret.value,
    )
    rollout = (
        alt.Chart(versions)
        .mark_tick(thickness=2)
        .encode(
            x=alt.X("time:T", title="time (UTC)", scale=alt.Scale(type="utc")),
            y=alt.Y("principal:N", title=None),
            color=alt.Color("version:N", title="version read, or change"),
            tooltip=["time:T", "principal:N", "version:N"],
        )
        .properties(width="container")
    )
    mo.vstack([mo.md("## Versions and rollout: who read which version when, and when it was changed"), rollout])
    return (versions,)


@app.cell
def _(ask, client, mo, shown):
    programs = ask(
        """
        SELECT coalesce(user_agent, '') AS program, strftime(min(time), '%Y-%m-%d %H:%M') AS first,
            strftime(max(time), '%Y-%m-%d %H:%M') AS last, count(*) AS operations, count(DISTINCT client_ip) AS addresses,
            count(*) FILTER (outcome IN ('failure', 'denied')) AS refused_or_failed
        FROM operations WHERE principal = ? GROUP BY program ORDER BY last DESC LIMIT 200
        """,
        client.value,
    )
    mo.vstack(
        [
            mo.md("Programs of the chosen client, the newest first: a rollout is one that takes over from another."),
            shown(programs),
        ]
    )
    return (programs,)


@app.cell
def _(ask, mo, shown):
    cached = ask("""
        SELECT store, scope, bool_or(estimate) AS estimate, sum(total)::BIGINT AS reads,
            round(100 * sum(good) / sum(total), 1) AS needed_percent, any_value(coverage) AS coverage
        FROM slis WHERE sli = 'M10' AND total > 0 GROUP BY store, scope ORDER BY reads DESC LIMIT 100
    """)
    repeated = ask("""
        WITH reads AS (
            SELECT principal, secret, time, lag(time) OVER (PARTITION BY session, principal, secret ORDER BY time) AS before
            FROM operations WHERE operation = 'read' AND outcome = 'success' AND secret <> ''
        )
        SELECT principal, secret, count(*) AS reads,
            count(*) FILTER (time - before < INTERVAL 5 MINUTE) AS again_within_5_min,
            round(median(epoch(time - before)), 1) AS median_gap_s
        FROM reads GROUP BY principal, secret HAVING again_within_5_min > 0
        ORDER BY again_within_5_min DESC LIMIT 100
    """)
    mo.vstack(
        [
            mo.md(
                "## What a cache would save (M10): an estimate where only an audit log tells\n\nClients that read the same again within five minutes, by session:"
            ),
            shown(repeated),
            shown(cached),
        ]
    )
    return cached, repeated


@app.cell
def test_no_client_fails_more_than_it_asks(per_client):
    assert (per_client["failed"] + per_client["denied"] + per_client["not_found"] <= per_client["operations"]).all()


@app.cell
def test_the_entries_are_of_what_was_chosen(ask, entries, secret):
    count = ask("SELECT count(*) AS n FROM operations WHERE secret = ?", secret.value)["n"][0]
    assert len(entries) == min(count, 2000)


@app.cell
def test_repeats_are_reads(repeated):
    assert (repeated["again_within_5_min"] < repeated["reads"]).all()


if __name__ == "__main__":
    app.run()
