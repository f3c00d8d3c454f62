-- title: Rotation
-- about: When each secret was last changed (rotated, or written as a new version), how often it usually is, and which are overdue at the end of the period. The usual interval is the middle one of at least three, changes within an hour counted as one, and is given only where half of them lie within half of it. Due: later than usual; overdue: by half as much again. The store's own rotations count as far as it logs them.
WITH touched AS (
    SELECT
        store,
        coalesce(namespace, '')                                                     AS namespace,
        secret,
        principal,
        operation,
        outcome,
        time,
        nullif(trim(regexp_replace(error, '\s+', ' ', 'g')), '')                    AS error,
        -- what a KV engine knows of a secret is written as well, and is no new version of it
        operation IN ('write', 'rotate') AND NOT coalesce(
            store = 'vault' AND secret_version IS NULL AND contains('/' || path, '/' || mount || 'metadata/'), false
        )                                                                           AS changes
    FROM operations
    WHERE secret <> '' AND time < $to
),
changed AS (
    SELECT
        store,
        namespace,
        secret,
        epoch_us(time) - lag(epoch_us(time)) OVER (PARTITION BY store, namespace, secret ORDER BY time) AS gap
    FROM touched
    WHERE changes AND outcome = 'success'
),
rhythm AS (
    SELECT store, namespace, secret, median(gap) AS usual
    FROM changed
    WHERE gap >= 3600000000
    GROUP BY store, namespace, secret
    HAVING count(*) >= 3
       AND quantile_cont(gap, 0.25) >= 0.5 * median(gap)
       AND quantile_cont(gap, 0.75) <= 1.5 * median(gap)
),
known AS (
    SELECT
        store,
        namespace,
        secret,
        count(*) FILTER (changes AND outcome = 'success' AND operation = 'rotate' AND time >= $from) AS rotations,
        count(*) FILTER (changes AND outcome = 'success' AND operation = 'write' AND time >= $from)  AS new_versions,
        count(*) FILTER (changes AND outcome <> 'success' AND time >= $from)                         AS failed,
        max(error ORDER BY time, error) FILTER (changes AND outcome <> 'success' AND time >= $from)  AS last_error,
        count(*) FILTER (changes AND outcome = 'success')                                            AS changes,
        min(time) FILTER (outcome = 'success')                                                       AS first_seen,
        max(time) FILTER (changes AND outcome = 'success')                                           AS last_change,
        arg_max(principal, (time, principal)) FILTER (changes AND outcome = 'success')               AS changed_by,
        max(time) FILTER (operation = 'read' AND outcome = 'success')                                AS last_read,
        max(time) FILTER (operation = 'delete' AND outcome = 'success')                              AS last_delete
    FROM touched
    GROUP BY store, namespace, secret
    HAVING count(*) FILTER (outcome = 'success') > 0 OR failed > 0
),
judged AS (
    SELECT
        known.*,
        usual,
        epoch_us(last_change) + usual                                                          AS due_us,
        epoch_us($to) - epoch_us(last_change)                                                  AS age,
        CASE
            WHEN last_delete > greatest(last_change, last_read, first_seen)
              OR last_delete = first_seen                                                      THEN 'deleted'
            WHEN last_change IS NULL                                                           THEN 'no change seen'
            WHEN usual IS NULL                                                                 THEN 'irregular'
            WHEN age > 1.5 * usual                                                             THEN 'overdue'
            WHEN age > usual                                                                   THEN 'due'
            ELSE 'in time'
        END                                                                                    AS status
    FROM known LEFT JOIN rhythm USING (store, namespace, secret)
)
SELECT
    secret,
    namespace,
    store,
    status,
    last_change,
    changed_by,
    round(usual / 86400000000, 1)                                        AS usual_days,
    to_timestamp(due_us / 1000000)                                       AS due,
    CASE WHEN status IN ('overdue', 'due') THEN round((age - usual) / 86400000000, 1) END AS days_late,
    rotations,
    new_versions,
    failed,
    last_error,
    changes,
    last_read,
    first_seen
FROM judged
ORDER BY
    list_position(['overdue', 'due', 'in time', 'irregular', 'no change seen', 'deleted'], status),
    days_late DESC, failed DESC, store, namespace, secret
