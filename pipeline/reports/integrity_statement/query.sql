-- title: Integrity statement
-- about: How whole the record is, for each source and day (UTC): the hours by how far their completeness is shown, what is known to be missing, the verdicts by cause, the entries read and the lines rejected by reason. Proven: the store's counters or a digest chain match every line. Bounded: two devices agree, or canary numbers have no hole. Unknown: one device alone. Violated: a loss is shown. An hour in which a source wrote nothing has no grade.
WITH graded AS (
    SELECT
        source,
        strftime(make_timestamp(us), '%Y-%m-%d')                       AS day,
        list_distinct(flatten(list(stores) FILTER (stores IS NOT NULL))) AS stores,
        count(*)                                                       AS hours,
        count(*) FILTER (grade = 1)                                    AS proven,
        count(*) FILTER (grade = 2)                                    AS bounded,
        count(*) FILTER (grade = 3)                                    AS unknown,
        count(*) FILTER (grade = 4)                                    AS violated,
        sum(missing)                                                   AS missing_operations
    FROM (
        SELECT
            source,
            epoch_us(hour)                                             AS us,
            list(DISTINCT store) FILTER (store IS NOT NULL)            AS stores,
            max(list_position(['proven', 'bounded', 'unknown', 'violated'], completeness)) AS grade,
            sum(missing_operations)                                    AS missing
        FROM coverage
        WHERE epoch_us(hour) > epoch_us($from) - 3600000000 AND hour < $to
        GROUP BY source, hour
    ) AS hourly
    GROUP BY ALL
),
entered AS (
    SELECT
        source,
        strftime(make_timestamp(epoch_us(time)), '%Y-%m-%d')           AS day,
        list(DISTINCT store) FILTER (store IS NOT NULL)                AS stores,
        count(*)                                                       AS entries,
        count(*) FILTER (leaf_index IS NULL)                           AS unsealed,
        min(leaf_index)                                                AS first_leaf,
        max(leaf_index)                                                AS last_leaf
    FROM events
    WHERE time >= $from AND time < $to
    GROUP BY ALL
),
refused AS (
    SELECT
        source,
        strftime(make_timestamp(epoch_us(time)), '%Y-%m-%d')           AS day,
        reason,
        count(*)                                                       AS lines
    FROM rejected
    WHERE time IS NULL OR (time >= $from AND time < $to)
    GROUP BY ALL
),
placed AS (
    SELECT
        source,
        strftime(make_timestamp(CASE WHEN began IS NOT NULL THEN greatest(began, epoch_us($from)) END), '%Y-%m-%d') AS day,
        verdict || CASE WHEN cause <> verdict THEN ' (' || cause || ')' ELSE '' END AS verdict,
        verdict IN ('gap', 'duplicate', 'altered', 'reordered', 'truncated', 'torn', 'unpaired', 'clock_step') AS broken,
        count(*)                                                       AS places
    FROM (SELECT *, epoch_us(coalesce(from_time, to_time)) AS began FROM integrity) AS dated
    WHERE verdict <> 'ok' AND coalesce(from_time < $to, true) AND coalesce(to_time >= $from, true)
    GROUP BY ALL
),
parts AS (
    FROM graded
    UNION ALL BY NAME FROM entered
    UNION ALL BY NAME SELECT source, day, lines AS rejected, coalesce(reason, 'unknown') || ': ' || lines AS rejected_as FROM refused
    UNION ALL BY NAME SELECT source, day, CASE WHEN broken THEN places END AS broken, verdict || ': ' || places AS verdict_as FROM placed
),
days AS (
    SELECT
        source,
        day,
        coalesce(list_sort(list_distinct(flatten(list(stores) FILTER (stores IS NOT NULL)))), []) AS stores,
        coalesce(sum(hours), 0)::BIGINT                                AS hours,
        coalesce(sum(proven), 0)::BIGINT                               AS proven,
        coalesce(sum(bounded), 0)::BIGINT                              AS bounded,
        coalesce(sum(unknown), 0)::BIGINT                              AS unknown,
        coalesce(sum(violated), 0)::BIGINT                             AS violated,
        coalesce(sum(missing_operations), 0)::BIGINT                   AS missing_operations,
        coalesce(sum(broken), 0)::BIGINT                               AS exceptions,
        coalesce(list(verdict_as ORDER BY verdict_as) FILTER (verdict_as IS NOT NULL), [])    AS verdicts,
        coalesce(sum(entries), 0)::BIGINT                              AS entries,
        coalesce(sum(rejected), 0)::BIGINT                             AS rejected,
        coalesce(list(rejected_as ORDER BY rejected_as) FILTER (rejected_as IS NOT NULL), []) AS rejected_by_reason,
        coalesce(sum(unsealed), 0)::BIGINT                             AS outside_ledger,
        min(first_leaf)                                                AS first_leaf,
        max(last_leaf)                                                 AS last_leaf
    FROM parts
    GROUP BY source, day
)
SELECT
    source,
    day,
    stores,
    CASE
        WHEN violated > 0 OR missing_operations > 0                    THEN 'loss shown'
        WHEN exceptions > 0                                            THEN 'exceptions'
        WHEN hours = 0                                                 THEN 'not graded'
        WHEN unknown > 0                                               THEN 'no loss shown, completeness unknown'
        WHEN bounded > 0                                               THEN 'whole, as far as compared'
        ELSE 'whole, proven'
    END                                                                AS conclusion,
    hours,
    proven,
    bounded,
    unknown,
    violated,
    missing_operations,
    exceptions,
    verdicts,
    entries,
    rejected,
    rejected_by_reason,
    outside_ledger,
    first_leaf,
    last_leaf,
    day::DATE - lag(day::DATE) OVER (PARTITION BY source ORDER BY day) - 1 AS silent_days_before
FROM days
ORDER BY source, day
