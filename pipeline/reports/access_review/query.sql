-- title: Access review
-- about: Who reached which secret in the period, what was done there, how often, and from how many addresses. Requests that name no secret, such as log-ins, are left out.
SELECT
    principal,
    min(principal_type)                                                      AS principal_type,
    store,
    namespace,
    secret,
    count(*) FILTER (outcome = 'success' AND operation = 'read')             AS reads,
    count(*) FILTER (outcome = 'success' AND operation IN ('write', 'rotate')) AS writes,
    count(*) FILTER (outcome = 'success' AND operation = 'delete')           AS deletes,
    count(*) FILTER (outcome = 'success' AND operation NOT IN ('read', 'write', 'rotate', 'delete')) AS other,
    count(*) FILTER (outcome = 'denied')                                     AS denied,
    count(DISTINCT client_ip)                                                AS addresses,
    min(time)                                                                AS first_access,
    max(time)                                                                AS last_access,
    bool_and(outcome = 'denied')                                             AS never_granted
FROM operations
WHERE secret <> '' AND time >= $from AND time < $to
GROUP BY principal, store, namespace, secret
ORDER BY principal, store, namespace, secret
