-- title: Controls
-- about: What the lake shows in the period for controls that auditors ask about. Shown: all that the control asks can be read from these logs, for the stores that wrote them. Partly shown: some of it. Not shown: nothing, or the data speaks against it. No row says that an organisation fulfils a control: rules, people, and systems that write no log here are outside of what is measured.
WITH used AS (
    SELECT
        count(*)                                                          AS operations,
        count(*) FILTER (principal <> 'anonymous' AND principal <> '' AND operation <> '' AND outcome <> '' AND client_ip <> ''
            AND coalesce(nullif(secret, ''), path) <> '')                 AS full_rows,
        count(*) FILTER (principal <> 'anonymous' AND principal <> '')    AS named,
        count(*) FILTER (principal_type = 'human')                        AS by_people,
        count(*) FILTER (principal_type IN ('root', 'token'))             AS by_shared,
        count(DISTINCT principal) FILTER (principal <> 'anonymous')       AS principals,
        count(DISTINCT secret) FILTER (secret <> '')                      AS secrets,
        count(DISTINCT (store, namespace, principal, secret)) FILTER (secret <> '' AND outcome = 'success') AS pairs,
        count(DISTINCT operation)                                         AS kinds,
        count(DISTINCT api_operation)                                     AS words,
        count(*) FILTER (operation = 'read' AND secret <> '')             AS reads,
        count(*) FILTER (outcome = 'denied')                              AS denied,
        count(*) FILTER (operation = 'auth' AND outcome = 'success')      AS let_in,
        count(*) FILTER (operation = 'auth' AND outcome = 'denied')       AS turned_away,
        count(*) FILTER (operation = 'policy' AND outcome = 'success')    AS access_changes,
        count(DISTINCT principal) FILTER (operation = 'policy' AND outcome = 'success') AS access_changers,
        count(*) FILTER (operation = 'revoke' AND outcome = 'success')    AS revocations,
        count(*) FILTER (operation = 'audit_control')                     AS trail_changes,
        count(*) FILTER (operation = 'delete' AND outcome = 'success')    AS deletions,
        count(*) FILTER (principal_type = 'root')                         AS root_uses,
        count(DISTINCT epoch_us(time) // 86400000000)                     AS days
    FROM operations
    WHERE time >= $from AND time < $to AND store <> 'vault_agent'  -- looks into a cache
),
entered AS (
    SELECT
        count(*)                                                          AS entries,
        count(DISTINCT source)                                            AS sources,
        count(leaf_index)                                                 AS sealed
    FROM events
    WHERE time >= $from AND time < $to
),
refused AS (
    SELECT count(*)                                                       AS rejected
    FROM rejected
    WHERE time IS NULL OR (time >= $from AND time < $to)
),
graded AS (
    SELECT
        count(*)                                                          AS hours,
        count(*) FILTER (completeness IN ('proven', 'bounded'))           AS whole,
        count(*) FILTER (completeness = 'proven')                         AS proven,
        count(*) FILTER (completeness = 'violated')                       AS violated,
        coalesce(sum(missing_operations), 0)::BIGINT                      AS missing
    FROM coverage
    WHERE epoch_us(hour) > epoch_us($from) - 3600000000 AND hour < $to
),
checked AS (
    SELECT
        count(*) FILTER (verdict IN ('gap', 'duplicate', 'altered', 'reordered', 'truncated', 'torn', 'unpaired', 'clock_step')) AS broken,
        count(*) FILTER (verdict IN ('altered', 'truncated', 'reordered')) AS changed
    FROM integrity
    WHERE coalesce(from_time < $to, true) AND coalesce(to_time >= $from, true)
),
raised AS (
    SELECT
        count(*)                                                          AS alerts,
        count(*) FILTER (severity IN ('high', 'critical'))                AS severe,
        count(*) FILTER (state IN ('open', 'updated'))                    AS still_open,
        count(*) FILTER (state = 'suppressed')                            AS suppressed,
        count(*) FILTER (list_contains(detectors, 'integrity'))           AS of_integrity
    FROM alerts
    WHERE first_time < $to AND last_time >= $from
),
measured AS (
    SELECT count(DISTINCT epoch_us(window_start) // 86400000000)          AS days_judged
    FROM slis
    WHERE window_start >= $from AND window_start < $to
),
held AS (
    SELECT
        count(DISTINCT week)                                              AS weeks,
        count(DISTINCT week) FILTER (week < 13)                           AS recent
    FROM (
        SELECT (epoch_us($to) - 1 - epoch_us(time)) // 604800000000 AS week
        FROM events
        WHERE time < $to
    ) AS back
    WHERE week < 52
),
figures AS (
    SELECT *
    FROM used, entered, refused, graded, checked, raised, measured, held
),
told AS (
    SELECT
        *,
        format('Entries: {:,}. Sources: {:,}. Graded hours: {:,}; whole as far as compared: {:,}; with a loss: {:,}. Operations known to be missing: {:,}. Lines that could not be read: {:,}.',
            entries, sources, hours, whole, violated, missing, rejected)  AS record_text,
        format('Entries with a leaf in the signed ledger: {:,} of {:,}. Exceptions of integrity: {:,}; of them entries changed, cut off or reordered: {:,}. Alerts about exceptions: {:,}.',
            sealed, entries, broken, changed, of_integrity)               AS seal_text,
        format('Operations that tell who, what, when, with what outcome, from where and on what: {:,} of {:,}.', full_rows, operations) AS content_text,
        format('Days with operations that were measured and judged by rules: {:,} of {:,}.', days_judged, days) AS judged_text,
        format('Alerts: {:,}; high or critical: {:,}; still open: {:,}; suppressed with a reason: {:,}.', alerts, severe, still_open, suppressed) AS alert_text,
        format('Changes of policies, roles and access: {:,}, by principals: {:,}. Revocations: {:,}. Pairs of principal and secret in use: {:,}.',
            access_changes, access_changers, revocations, pairs)          AS access_text,
        CASE
            WHEN operations = 0                                           THEN 'not shown'
            WHEN full_rows = operations                                   THEN 'shown'
            WHEN full_rows > 0                                            THEN 'partly shown'
            ELSE 'not shown'
        END                                                               AS content_shown,
        CASE WHEN least(operations, days_judged) > 0 THEN 'partly shown' ELSE 'not shown' END AS review_shown,
        CASE WHEN sealed = 0 OR changed > 0 THEN 'not shown' ELSE 'partly shown' END          AS seal_shown,
        hours > 0 AND whole = hours AND missing = 0 AND rejected = 0 AND broken = 0 AS record_whole
    FROM figures
),
rows AS (
    SELECT unnest([
        {
            place: 1, framework: 'SOC 2', control: 'CC6.1',
            asks: 'Logical access to information assets is restricted to those who should have it.',
            shows: format('Operations: {:,}, refused: {:,}. Known principals: {:,}. Secrets: {:,}.', operations, denied, principals, secrets),
            shown: CASE WHEN operations > 0 THEN 'partly shown' ELSE 'not shown' END,
            beyond: 'Whether what was granted was meant to be granted: the rules themselves and their approval.'
        },
        {
            place: 2, framework: 'SOC 2', control: 'CC6.2',
            asks: 'Users are registered and authorised before they get credentials, and lose them when access ends.',
            shows: format('Log-ins and requests for tokens: {:,} let in, {:,} turned away. Revocations: {:,}.', let_in, turned_away, revocations),
            shown: CASE WHEN let_in + turned_away + revocations > 0 THEN 'partly shown' ELSE 'not shown' END,
            beyond: 'Who registered and approved a user, and whether each leaver was removed.'
        },
        {
            place: 3, framework: 'SOC 2', control: 'CC6.3',
            asks: 'Access is given, changed and taken away by role, with least privilege and separation of duties.',
            shows: access_text,
            shown: CASE WHEN access_changes + pairs > 0 THEN 'partly shown' ELSE 'not shown' END,
            beyond: 'Rights that nobody used, and who approved a change.'
        },
        {
            place: 4, framework: 'SOC 2', control: 'CC7.2',
            asks: 'System components are watched for anomalies that point to attacks, disasters or errors, and anomalies are analysed.',
            shows: judged_text || ' ' || alert_text,
            shown: review_shown,
            beyond: 'Components other than the stores that wrote these logs.'
        },
        {
            place: 5, framework: 'SOC 2', control: 'CC7.3',
            asks: 'Security events are evaluated as to whether they are incidents, and incidents are acted on.',
            shows: alert_text,
            shown: CASE WHEN alerts > 0 THEN 'partly shown' ELSE 'not shown' END,
            beyond: 'What people decided and did: an alert closes by itself when it has been quiet.'
        },
        {
            place: 6, framework: 'PCI DSS 4.0.1', control: '10.2.1',
            asks: 'Audit logs are on for all system components: access to data, acts of administrators, access to logs, refused access, changes of credentials, start and stop of logging, and made or deleted objects.',
            shows: record_text || format(' Reads of secrets: {:,}. Requests by root: {:,}. Refusals: {:,}. Changes of access: {:,}, of the audit trail: {:,}. Deletions: {:,}.', reads, root_uses, denied, access_changes, trail_changes, deletions),
            shown: CASE WHEN entries > 0 THEN 'partly shown' ELSE 'not shown' END,
            beyond: 'Components that write no log here, and reads of the log files themselves.'
        },
        {
            place: 7, framework: 'PCI DSS 4.0.1', control: '10.2.2',
            asks: 'Each entry tells the user, the kind of event, date and time, success or failure, where it came from, and what it touched.',
            shows: content_text,
            shown: content_shown,
            beyond: 'The person behind an account or token that several use; operations without a known caller do not count as full.'
        },
        {
            place: 8, framework: 'PCI DSS 4.0.1', control: '10.3.2',
            asks: 'Audit log files are protected from being changed by individuals.',
            shows: seal_text,
            shown: seal_shown,
            beyond: 'Rights on the files before they are read. That ledger and lake still agree is shown by keytrail verify.'
        },
        {
            place: 9, framework: 'PCI DSS 4.0.1', control: '10.3.4',
            asks: 'Detection of changes on audit logs makes sure that entries cannot be changed without an alert.',
            shows: seal_text,
            shown: CASE WHEN sealed = 0 OR (broken > 0 AND of_integrity = 0) THEN 'not shown' ELSE 'partly shown' END,
            beyond: 'Changes made before a line was read. That ledger and lake still agree is shown by keytrail verify.'
        },
        {
            place: 10, framework: 'PCI DSS 4.0.1', control: '10.4.1',
            asks: 'Security events and the logs of critical components are reviewed at least once a day.',
            shows: judged_text || ' ' || alert_text,
            shown: review_shown,
            beyond: 'Whether anybody looked at the alerts, and on which day.'
        },
        {
            place: 11, framework: 'PCI DSS 4.0.1', control: '10.5.1',
            asks: 'The history of audit logs is kept for at least twelve months, the last three at hand at once.',
            shows: format('Weeks with entries in the lake: {:,} of the 52 before the end of the period, {:,} of the last 13.', weeks, recent),
            shown: CASE
                WHEN weeks = 52 THEN 'shown'
                WHEN recent = 13 THEN 'partly shown'
                ELSE 'not shown'
            END,
            beyond: 'Copies kept elsewhere. A week with a single entry counts.'
        },
        {
            place: 12, framework: 'ISO/IEC 27001:2022', control: 'A.8.15',
            asks: 'Logs of activities, exceptions and faults are produced, stored, protected and analysed.',
            shows: record_text || format(' Entries with a leaf in the signed ledger: {:,}. ', sealed) || judged_text,
            shown: CASE WHEN entries > 0 THEN 'partly shown' ELSE 'not shown' END,
            beyond: 'Faults that a store writes to its server log alone, and rights on the files.'
        },
        {
            place: 13, framework: 'ISO/IEC 27001:2022', control: 'A.8.16',
            asks: 'Networks, systems and applications are watched for odd behaviour, and possible incidents are evaluated.',
            shows: judged_text || ' ' || alert_text,
            shown: review_shown,
            beyond: 'Networks and systems other than these stores, and what came of an alert.'
        },
        {
            place: 14, framework: 'ISO/IEC 27001:2022', control: 'A.5.18',
            asks: 'Access rights are given, reviewed, changed and taken away by rule.',
            shows: access_text,
            shown: CASE WHEN access_changes + revocations + pairs > 0 THEN 'partly shown' ELSE 'not shown' END,
            beyond: 'Rights that nobody used, and that a review took place; the report access-review is made for one.'
        },
        {
            place: 15, framework: 'NIST SP 800-53 r5', control: 'AU-2',
            asks: 'It is decided, with reasons, which kinds of events are logged, and the decision is looked at again.',
            shows: format('Kinds of operation logged: {:,}, under names of the stores'' own: {:,}. Sources: {:,}.', kinds, words, sources),
            shown: CASE WHEN operations > 0 THEN 'partly shown' ELSE 'not shown' END,
            beyond: 'The decision, its reasons, and kinds of events that were left out.'
        },
        {
            place: 16, framework: 'NIST SP 800-53 r5', control: 'AU-3',
            asks: 'Audit records tell what happened, when, where, from where, with what outcome, and who was concerned.',
            shows: content_text,
            shown: content_shown,
            beyond: 'The person behind an account or token that several use; operations without a known caller do not count as full.'
        },
        {
            place: 17, framework: 'NIST SP 800-53 r5', control: 'AU-6',
            asks: 'Audit records are reviewed and analysed for unusual activity, and findings are reported.',
            shows: judged_text || ' ' || alert_text,
            shown: review_shown,
            beyond: 'Who was told, and that the level of review follows the risk.'
        },
        {
            place: 18, framework: 'NIST SP 800-53 r5', control: 'AU-9',
            asks: 'Audit information and the tools for it are protected from being read, changed or deleted without right.',
            shows: seal_text,
            shown: seal_shown,
            beyond: 'Who may read the logs and the lake. That ledger and lake still agree is shown by keytrail verify.'
        },
        {
            place: 19, framework: 'NIST SP 800-53 r5', control: 'AU-10',
            asks: 'There is evidence that cannot be disputed that somebody did what they did.',
            shows: format('Operations with a known principal: {:,} of {:,}; by accounts of people: {:,}; by root or tokens made by hand: {:,}. ', named, operations, by_people, by_shared) || seal_text,
            shown: CASE WHEN sealed = 0 OR named = 0 OR changed > 0 THEN 'not shown' ELSE 'partly shown' END,
            beyond: 'That the account''s holder, and nobody else, used it.'
        },
        {
            place: 20, framework: 'NIST SP 800-53 r5', control: 'AU-12',
            asks: 'The components chosen write audit records for the events chosen, with the content of AU-3.',
            shows: record_text || ' ' || content_text,
            shown: CASE
                WHEN entries = 0 THEN 'not shown'
                WHEN record_whole AND content_shown = 'shown' THEN 'shown'
                ELSE 'partly shown'
            END,
            beyond: 'Components and events that were chosen and are not in these logs.'
        },
        {
            place: 21, framework: 'HIPAA', control: '164.312(b)',
            asks: 'Mechanisms record and examine activity in systems that hold or use electronic health information.',
            shows: format('Operations recorded: {:,}. ', operations) || judged_text || ' ' || alert_text,
            shown: review_shown,
            beyond: 'Which of the secrets open systems with health information.'
        }
    ]) AS row
    FROM told
)
SELECT
    row.framework                                                         AS framework,
    row.control                                                           AS control,
    row.asks                                                              AS asks,
    row.shows                                                             AS shows,
    row.shown                                                             AS shown,
    row.beyond                                                            AS not_in_these_logs
FROM rows
ORDER BY row.place
