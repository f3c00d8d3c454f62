-- title: Denied access
-- about: Who was refused what in each week of the period (Monday to Sunday, UTC), why, how often, from where, and whether the same operation was granted to them before or since, as far as the lake reaches. Failures of the store itself and secrets that do not exist are no refusals.
WITH asked AS (
    SELECT
        * REPLACE (coalesce(namespace, '') AS namespace),
        coalesce(nullif(secret, ''), path)                           AS target,
        lower(coalesce(error, ''))                                   AS said,
        epoch_us(time) - (epoch_us(time) - 345600000000) % 604800000000 AS monday
    FROM operations
    WHERE outcome = 'denied' AND time >= $from AND time < $to
),
caused AS (
    SELECT
        *,
        CASE
            WHEN regexp_matches(said, 'locked out')                                          THEN 'account locked after failed log-ins'
            WHEN regexp_matches(said, 'wrapping token')                                      THEN 'wrapping token used, expired or never issued'
            WHEN operation = 'auth' AND regexp_matches(path, '(^|/)(login|callback)(/|$)')   THEN 'log-in refused: wrong credentials or role'
            WHEN regexp_matches(said, 'expired ?token|token (is )?(expired|revoked)|invalid ?(client ?)?token|bad token|token not found')
              OR regexp_matches(said, 'missing client token|invalidaccesskey|unrecognizedclient|authfailure|signaturedoesnotmatch')
              OR regexp_matches(said, 'unauthenticated|^unauthori[sz]ed(:|$)|\b401\b')
              OR (store = 'vault' AND principal = 'anonymous')                               THEN 'no valid credential: missing, expired or revoked'
            WHEN regexp_matches(said, 'permission.?denied|access.?denied|forbidden|authori[sz]ed|\b403\b') THEN 'refused by policy'
            WHEN said = ''                                                                   THEN 'refused; the log gives no reason'
            ELSE 'refused for another reason'
        END                                                          AS cause
    FROM asked
),
granted AS (
    SELECT
        store,
        coalesce(namespace, '')                                      AS namespace,
        principal,
        coalesce(nullif(secret, ''), path)                           AS target,
        operation,
        min(time)                                                    AS first_granted,
        max(time)                                                    AS last_granted
    FROM operations
    WHERE outcome = 'success' AND principal IN (SELECT principal FROM asked)
    GROUP BY ALL
)
SELECT
    strftime(make_timestamp(monday), '%Y-%m-%d')                     AS week,
    principal,
    min(principal_type)                                              AS principal_type,
    store,
    namespace,
    target,
    operation,
    cause,
    count(*)                                                         AS denied,
    min(time)                                                        AS first_denied,
    max(time)                                                        AS last_denied,
    count(DISTINCT client_ip)                                        AS addresses,
    coalesce(list(DISTINCT client_ip ORDER BY client_ip) FILTER (client_ip IS NOT NULL)[:3], []) AS first_addresses,
    coalesce(min(first_granted) < min(time), false)                  AS granted_before,
    coalesce(max(last_granted) > max(time), false)                   AS granted_since,
    min(nullif(trim(regexp_replace(error, '\s+', ' ', 'g')), ''))    AS error
FROM caused LEFT JOIN granted USING (store, namespace, principal, target, operation)
GROUP BY monday, principal, store, namespace, target, operation, cause
ORDER BY week, denied DESC, principal, store, namespace, target, operation, cause
