"""The store as a whole: storage, seal, keys of the barrier, plugins, namespaces, server configuration."""

from __future__ import annotations

from typing import Final

from detectors.invariant.rule import NEVER, RARE, Rule, asks, at, changes, is_vault, under, verb, writes

_DAILY: Final = r"^sys/(renew|leases/(renew|lookup)|capabilities|wrapping/|tools/|internal/)"

_HEADERS: Final = r"^sys/config/ui/headers/."
_QUOTA: Final = r"^sys/quotas/(rate-limit|lease-count)/."

GATE: Final = under("sys/storage", "sys/raw") | (under("sys/") & ~asks() & ~at(_DAILY))

RULES: Final = (
    Rule(
        "snapshot_read",
        "Snapshot of the whole store read",
        "high",
        is_vault() & at(r"^sys/storage/raft/snapshot$") & verb("read"),
        "{who} read a snapshot of the whole store",
        "Check that the backup job did this, from its usual place and at its usual time. Otherwise treat the sealed"
        " content as copied: find the file, and plan to rekey and rotate.",
        ("T1005", "T1530"),
        RARE,
    ),
    Rule(
        "snapshot_restored",
        "Store overwritten from a snapshot",
        "high",
        is_vault() & at(r"^sys/storage/raft/snapshot$") & writes(),
        "{who} restored the store from a snapshot",
        "If unplanned: policies, tokens and revocations are back at an old state. Stop writes and compare with your own"
        " newest snapshot.",
        ("T1485", "T1565"),
        NEVER,
    ),
    Rule(
        "snapshot_forced",
        "Store overwritten from a foreign snapshot",
        "critical",
        is_vault() & at(r"^sys/storage/raft/snapshot-force$") & writes(),
        "{who} forced a snapshot of another store's keys onto this one",
        "Only a disaster recovery does this. Otherwise seal the store and restore your own newest snapshot.",
        ("T1485", "T1565"),
        NEVER,
    ),
    Rule(
        "snapshot_schedule",
        "Automatic snapshots changed",
        "medium",
        is_vault() & at(r"^sys/storage/raft/snapshot-auto/") & changes(),
        "{who} changed where or when snapshots are taken: {path}",
        "Check the target: a new bucket is a copy of everything in someone else's hands.",
        ("T1537", "T1490"),
    ),
    Rule(
        "raft_peers",
        "Cluster membership changed",
        "medium",
        is_vault()
        & at(r"^sys/storage/raft/(remove-peer|promote|demote|autopilot/configuration|bootstrap|join)")
        & changes(),
        "{who} changed the members of the cluster: {path}",
        "Check with the platform owner that the cluster still has its quorum.",
        ("T1489",),
    ),
    Rule(
        "raw_storage",
        "Raw storage touched",
        "high",
        is_vault() & at(r"^sys/raw(/|$)"),
        "{who} used raw storage access: {verb} on {path}",
        "Raw access goes around every policy. Turn raw_storage_endpoint off and find out who turned it on.",
        ("T1005", "T1565"),
        NEVER,
    ),
    Rule(
        "sealed",
        "Seal requested",
        "high",
        is_vault() & at(r"^sys/seal$") & changes(),
        "{who} asked the store to seal itself",
        "Unseal if this was not planned; every consumer fails until then. The trail shows the request and never its"
        " outcome.",
        ("T1489",),
        NEVER,
    ),
    Rule(
        "stepped_down",
        "Leader asked to step down",
        "medium",
        is_vault() & at(r"^sys/step-down$") & changes(),
        "{who} asked the leader to step down",
        "Expect a short burst of failures and log-ins. Check that an upgrade or maintenance was on.",
        ("T1489",),
    ),
    Rule(
        "rekey",
        "Rekey of unseal or recovery keys",
        "high",
        is_vault() & at(r"^sys/(rekey|rekey-recovery-key)/|^sys/rotate/(root|recovery)(/|$)") & changes(),
        "{who} took part in a rekey of the store: {path}",
        "Ask the key holders. If it is not theirs: cancel it, and treat the shares as known to others.",
        ("T1098", "T1531"),
        NEVER,
    ),
    Rule(
        "barrier_rotated",
        "Barrier key rotated",
        "low",
        is_vault() & at(r"^sys/rotate(/keyring)?(/config)?$") & changes(),
        "{who} rotated the key that encrypts the store's data",
        "Harmless by itself; check it against the schedule.",
        ("T1098",),
        RARE,
    ),
    Rule(
        "plugin_changed",
        "Plugin catalogue changed",
        "high",
        is_vault() & at(r"^sys/plugins/(catalog|pins|runtimes)(/|$)") & changes(),
        "{who} changed the plugin catalogue: {path}",
        "A plugin sees every secret of its mount. Compare the binary's hash with the release and the change.",
        ("T1505", "T1554"),
    ),
    Rule(
        "plugin_reloaded",
        "Plugin reloaded",
        "low",
        is_vault() & at(r"^sys/plugins/reload") & changes(),
        "{who} reloaded a plugin: {path}",
        "Check that a plugin upgrade was planned.",
        ("T1505",),
    ),
    Rule(
        "namespace_created",
        "Namespace created or changed",
        "low",
        is_vault() & at(r"^sys/namespaces/.") & ~at(r"/api-lock/") & writes(),
        "{who} created or changed the namespace {name}",
        "Check the change; its own administrators are outside the policies of its parent.",
        ("T1098",),
    ),
    Rule(
        "namespace_deleted",
        "Namespace deleted",
        "high",
        is_vault() & at(r"^sys/namespaces/.") & verb("delete"),
        "{who} deleted the namespace {name} with all its secrets",
        "If unplanned: revoke the caller's token and restore from the newest snapshot.",
        ("T1485",),
    ),
    Rule(
        "namespace_locked",
        "Namespace locked or unlocked",
        "high",
        is_vault() & at(r"^sys/namespaces/api-lock/") & writes(),
        "{who} locked or unlocked a namespace: {path}",
        "A locked namespace refuses every request. Unlock it unless the lock is your own measure.",
        ("T1489",),
    ),
    Rule(
        "replication_changed",
        "Replication changed",
        "high",
        is_vault() & at(r"^sys/replication/") & changes(),
        "{who} changed replication: {path}",
        "A new secondary holds a copy of every secret. Compare the list of secondaries with your own.",
        ("T1537", "T1489"),
    ),
    Rule(
        "quota_removed",
        "Limit on requests removed",
        "medium",
        is_vault() & at(_QUOTA) & verb("delete"),
        "{who} removed a limit on requests or leases: {path}",
        "Find the change. Without one: put the limit back and look for whom it held up, since floods and the guessing"
        " of passwords run free until then.",
        ("T1562",),
    ),
    Rule(
        "server_config",
        "Server configuration changed",
        "low",
        is_vault()
        & at(r"^sys/(config/(ui|state|control-group|group-policy-application|reload)|quotas/)")
        & ~at(_HEADERS)
        & ~(at(_QUOTA) & verb("delete"))
        & changes(),
        "{who} changed the server's configuration: {path}",
        "Compare with the configuration as code.",
        ("T1562",),
    ),
    Rule(
        "browser_guard",
        "Guard of browsers changed",
        "medium",
        is_vault() & (at(r"^sys/config/cors$") | at(_HEADERS)) & changes(),
        "{who} changed which web pages may use the store from a browser: {path}",
        "Read allowed origins and headers. A foreign origin, or a missing content policy, lets a web page use the token"
        " of whoever has the store's own page open: undo it, and revoke the tokens of people who were logged in.",
        ("T1562", "T1539"),
        RARE,
    ),
    Rule(
        "leases_revoked",
        "Leases revoked in bulk",
        "medium",
        is_vault() & at(r"^sys/(leases/)?revoke-prefix/") & changes(),
        "{who} revoked all leases under {path}",
        "Normal while a leak is being closed. Otherwise expect its consumers to fail and renew.",
        ("T1531",),
    ),
    Rule(
        "leases_forced",
        "Leases dropped without revoking",
        "high",
        is_vault() & at(r"^sys/(leases/)?revoke-force/") & changes(),
        "{who} dropped all leases under {path} without telling the engines behind them",
        "The credentials stay valid where they were issued: delete them there, then find out why this was used.",
        ("T1531", "T1562"),
    ),
)
