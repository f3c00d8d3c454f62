-- title: Secret inventory
-- about: Every secret that was used, as it stood at the end of the period: owner, readers, and when it was last read, written and rotated. Known from requests that succeeded since the lake begins, so "never" means never since then, and a secret that nobody touched is missing. Owner: who wrote it most, else who read it most. Stale: unused for 90 days. Over-shared: more than ten readers in 90 days.
WITH used AS (
    SELECT
        store,
        namespace,
        secret,
        principal,
        count(*) FILTER (operation IN ('write', 'rotate'))       AS writes,
        count(*) FILTER (operation = 'read')                     AS reads,
        count(*) FILTER (operation = 'read' AND time >= $from)   AS reads_in_period,
        min(time)                                                AS first_seen,
        max(time)                                                AS last_used,
        max(time) FILTER (operation = 'read')                    AS last_read,
        max(time) FILTER (operation = 'write')                   AS last_write,
        max(time) FILTER (operation = 'rotate')                  AS last_rotation,
        max(secret_version)                                      AS versions,
        max(epoch_us(time)) FILTER (operation = 'read') >= epoch_us($to) - 7776000000000 AS reads_now
    FROM operations
    WHERE secret <> '' AND outcome = 'success' AND time < $to
    GROUP BY store, namespace, secret, principal
)
SELECT
    secret,
    namespace,
    store,
    first(principal ORDER BY writes DESC, reads DESC, principal)               AS owner,
    count(*) FILTER (reads > 0)                                                AS consumers,
    coalesce(list(principal ORDER BY reads DESC, principal) FILTER (reads > 0)[:5], []) AS first_consumers,
    min(first_seen)                                                            AS first_seen,
    max(last_used)                                                             AS last_used,
    max(last_read)                                                             AS last_read,
    max(last_write)                                                            AS last_write,
    max(last_rotation)                                                         AS last_rotation,
    max(versions)                                                              AS versions,
    sum(reads_in_period)::BIGINT                                               AS reads_in_period,
    count(*) FILTER (reads_now)                                                AS readers_90d,
    sum(reads) = 0                                                             AS never_read,
    max(epoch_us(last_used)) < epoch_us($to) - 7776000000000                   AS stale,
    count(*) FILTER (reads_now) > 10                                           AS over_shared
FROM used
GROUP BY store, namespace, secret
ORDER BY never_read OR stale OR over_shared DESC, store, namespace, secret
