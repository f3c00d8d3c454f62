-- title: Privileged use
-- about: Rights that few have, used or tried in the period: root, break-glass accounts, policies and access, the audit trail, the store's seal and keys, copies of the whole store, tokens that outlive or exceed their maker, keys taken out, revocations in bulk. One row per principal and path, with the alerts that told of it. What a request's path does not tell (a token asked for without a parent) is taken from the findings.
WITH named(title, what) AS (
    VALUES
        ('Token with root rights issued', 'token beyond its maker'),
        ('Token issued with policies its maker lacks', 'token beyond its maker'),
        ('Orphan token issued', 'token beyond its maker'),
        ('Token without an end issued', 'token beyond its maker'),
        ('Transit key exported', 'key taken out'),
        ('Transit key backed up in plain', 'key taken out'),
        ('Private key of a certificate authority exported', 'key taken out'),
        ('Key vault object backed up', 'key taken out'),
        ('Secrets of the whole cluster listed', 'copy of the whole store')
),
heard AS (
    SELECT unnest(finding_uids) AS finding, uid AS alert, severity || ': ' || title AS alert_title
    FROM alerts
),
evidence AS (
    SELECT unnest(evidence) AS uid, uid AS finding, title
    FROM findings
),
told AS (
    SELECT
        store,
        coalesce(nullif(correlation_uid, ''), events.uid)           AS request,
        min(named.what)                                             AS what,
        list(DISTINCT alert) FILTER (alert IS NOT NULL)             AS alerts,
        list(DISTINCT alert_title) FILTER (alert_title IS NOT NULL) AS titles
    FROM evidence JOIN events USING (uid) LEFT JOIN named USING (title) LEFT JOIN heard USING (finding)
    GROUP BY ALL
),
emergency AS (
    SELECT DISTINCT principal FROM findings WHERE detector = 'break_glass'
),
used AS (
    SELECT
        operations.*,
        told.alerts,
        told.titles,
        CASE
            WHEN principal_type = 'root'                                            THEN 'root'
            WHEN regexp_matches(lower(principal), 'break[-_]?glass')
              OR principal IN (FROM emergency)                                      THEN 'break-glass account'
            WHEN operation = 'audit_control'
              OR (operation = 'policy' AND regexp_matches(path, '^sys/config/auditing(/|$)')) THEN 'audit trail'
            WHEN operation = 'seal'
              OR (operation = 'rotate' AND regexp_matches(path, '^sys/rotate'))     THEN 'seal and keys of the store'
            WHEN operations.store = 'vault'
             AND regexp_matches(path, '^sys/(storage/raft/snapshot|raw(/|$))')      THEN 'copy of the whole store'
            WHEN told.what IS NOT NULL                                              THEN told.what
            WHEN operations.store = 'vault' AND path = 'auth/token/create-orphan'              THEN 'token beyond its maker'
            WHEN operation = 'policy'
             AND (operations.store <> 'vault' OR regexp_matches(path, '^sys/polic(y|ies)/'))   THEN 'policy'
            WHEN operation = 'policy'                                               THEN 'access and settings'
            WHEN operations.store = 'vault'
             AND regexp_matches(path, '^sys/(leases/)?revoke-(force|prefix)/')      THEN 'revocation in bulk'
        END AS what
    FROM operations
    LEFT JOIN told ON told.store = operations.store AND told.request = coalesce(nullif(correlation_uid, ''), uid)
    WHERE time >= $from AND time < $to
)
SELECT
    what,
    principal,
    min(principal_type)                                                      AS principal_type,
    store,
    namespace,
    path,
    api_operation,
    count(*)                                                                 AS times,
    count(*) FILTER (outcome = 'success')                                    AS granted,
    count(*) FILTER (outcome = 'denied')                                     AS denied,
    count(*) FILTER (outcome NOT IN ('success', 'denied'))                   AS failed,
    min(time)                                                                AS first_time,
    max(time)                                                                AS last_time,
    count(DISTINCT client_ip)                                                AS addresses,
    count(*) FILTER (alerts IS NULL)                                         AS untold,
    coalesce(list_sort(list_distinct(flatten(list(titles) FILTER (titles IS NOT NULL)))), []) AS told_as,
    coalesce(list_sort(list_distinct(flatten(list(alerts) FILTER (alerts IS NOT NULL)))), []) AS alerts
FROM used
WHERE what IS NOT NULL
GROUP BY what, principal, store, namespace, path, api_operation
ORDER BY
    list_position([
        'root', 'break-glass account', 'audit trail', 'seal and keys of the store', 'copy of the whole store',
        'key taken out', 'token beyond its maker', 'policy', 'access and settings', 'revocation in bulk'
    ], what),
    principal, store, namespace, path, api_operation
