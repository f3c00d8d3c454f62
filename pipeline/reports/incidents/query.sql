-- title: Incidents
-- about: Every alert with a sign in the period, the most severe first: what happened, to what, by whom, how it was routed, whether it was suppressed and why, how long it lasted and on how many entries it rests. The state is the newest that the lake has; of an alert that is still open the time runs to the end of the period.
WITH evidence AS (
    SELECT
        alert,
        count(DISTINCT entry)                                             AS entries,
        list(DISTINCT technique) FILTER (technique IS NOT NULL)           AS techniques,
        list(DISTINCT client_ip) FILTER (client_ip <> '')                 AS addresses
    FROM (SELECT uid AS alert, unnest(finding_uids) AS finding FROM alerts) AS told
    JOIN (
        SELECT uid AS finding, client_ip, unnest(evidence) AS entry, NULL AS technique FROM findings
        UNION ALL
        SELECT uid, client_ip, NULL, unnest(techniques) FROM findings
    ) AS found USING (finding)
    GROUP BY alert
)
SELECT
    first_time,
    last_time,
    severity,
    title,
    principal,
    secret,
    store,
    message,
    route,
    state,
    nullif(suppression, '')                                               AS suppressed_because,
    round((CASE WHEN state IN ('open', 'updated') THEN epoch_us($to) ELSE epoch_us(last_time) END
        - epoch_us(first_time)) / 3600000000, 1)                          AS hours,
    count                                                                 AS findings,
    coalesce(entries, 0)                                                  AS evidence,
    coalesce(list_sort(addresses), [])                                    AS addresses,
    coalesce(list_sort(techniques), [])                                   AS techniques,
    detectors,
    uid
FROM alerts LEFT JOIN evidence ON evidence.alert = alerts.uid
WHERE first_time < $to AND last_time >= $from
ORDER BY
    list_position(['critical', 'high', 'medium', 'low', 'informational'], severity),
    first_time, uid
