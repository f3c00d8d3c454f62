"""What a client can ask of the store: one row per kind of request, with its path and its place in our vocabulary.

A path is mount + `word` + object name + `tail`. `shape` names what the request
and the answer carry, see `vault.shapes`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np


class Outcome(IntEnum):
    """How a request ended; the first four in the order of `core.schema.OUTCOMES`."""

    OK = 0
    DENIED = 1
    NOT_FOUND = 2
    FAILED = 3
    BAD_TOKEN = 4  # denied, and the token is not known: nobody is named
    NO_TOKEN = 5  # an unwrap with a token that was used already: refused, and no answer is logged


class Kind(NamedTuple):
    """One kind of request."""

    verb: str  # request.operation
    word: str
    tail: str
    operation: str  # core.schema.OPERATIONS_VOCABULARY
    discloses: bool
    shape: str
    latency_ms: float  # median


class Action(IntEnum):
    """Codes of the kinds, stable within a run only."""

    READ = 0
    LIST = 1
    META = 2
    WRITE = 3
    DELETE = 4
    DESTROY = 5
    META_DELETE = 6
    CREDS = 7
    ENCRYPT = 8
    DECRYPT = 9
    ISSUE = 10
    LOGIN = 11  # approle, kubernetes, jwt
    LOGIN_USER = 12
    RENEW = 13
    LOOKUP = 14
    REVOKE = 15
    TOKEN_CREATE = 16
    TOKEN_ORPHAN = 17
    REVOKE_ACCESSOR = 18
    POLICY_WRITE = 19
    POLICY_READ = 20
    ROLE_WRITE = 21
    SECRET_ID = 22
    AUDIT_OFF = 23
    AUDIT_ON = 24
    AUDIT_HEADER = 25
    ROOT_ATTEMPT = 26
    ROOT_UPDATE = 27
    SNAPSHOT = 28
    LEASE_PREFIX = 29
    KEY_CONFIG = 30
    KEY_EXPORT = 31
    CAPABILITIES = 32
    WRAP_READ = 33
    WRAP_LOOKUP = 34
    UNWRAP = 35
    MOUNTS = 36
    TOKEN_PERIODIC = 37
    AUDIT_RAW = 38
    TUNE = 39
    CA_EXPORT = 40
    SIGN_VERBATIM = 41
    DATABASE = 42


KINDS: dict[Action, Kind] = {
    Action.READ: Kind("read", "data/", "", "read", True, "kv_read", 2.6),
    Action.LIST: Kind("list", "metadata/", "", "list", False, "keys", 3.4),
    Action.META: Kind("read", "metadata/", "", "list", False, "kv_metadata", 2.4),
    Action.WRITE: Kind("update", "data/", "", "write", False, "kv_write", 7.5),
    Action.DELETE: Kind("delete", "data/", "", "delete", False, "empty", 6.0),
    Action.DESTROY: Kind("update", "destroy/", "", "delete", False, "versions", 6.4),
    Action.META_DELETE: Kind("delete", "metadata/", "", "delete", False, "empty", 7.1),
    Action.CREDS: Kind("read", "creds/", "", "read", True, "lease", 38.0),
    Action.ENCRYPT: Kind("update", "encrypt/", "", "other", False, "encrypt", 3.1),
    Action.DECRYPT: Kind("update", "decrypt/", "", "read", True, "decrypt", 3.2),
    Action.ISSUE: Kind("update", "issue/", "", "read", True, "certificate", 92.0),
    Action.LOGIN: Kind("update", "login", "", "auth", False, "login", 9.0),
    Action.LOGIN_USER: Kind("update", "login/", "", "auth", False, "login", 61.0),
    Action.RENEW: Kind("update", "renew-self", "", "auth", False, "renew", 3.9),
    Action.LOOKUP: Kind("read", "lookup-self", "", "auth", False, "lookup", 1.4),
    Action.REVOKE: Kind("update", "revoke-self", "", "revoke", False, "empty", 6.8),
    Action.TOKEN_CREATE: Kind("update", "create", "", "auth", False, "token", 7.7),
    Action.TOKEN_ORPHAN: Kind("update", "create-orphan", "", "auth", False, "token", 7.7),
    Action.REVOKE_ACCESSOR: Kind("update", "revoke-accessor", "", "revoke", False, "accessor", 7.0),
    Action.POLICY_WRITE: Kind("update", "policies/acl/", "", "policy", False, "policy", 5.8),
    Action.POLICY_READ: Kind("read", "policies/acl/", "", "list", False, "policy_read", 1.2),
    Action.ROLE_WRITE: Kind("update", "role/", "", "policy", False, "role", 5.5),
    Action.SECRET_ID: Kind("update", "role/", "/secret-id", "auth", False, "secret_id", 5.9),
    Action.AUDIT_OFF: Kind("delete", "audit/", "", "audit_control", False, "empty", 4.4),
    Action.AUDIT_ON: Kind("update", "audit/", "", "audit_control", False, "audit", 5.2),
    Action.AUDIT_HEADER: Kind("update", "config/auditing/request-headers/", "", "policy", False, "header", 4.0),
    Action.ROOT_ATTEMPT: Kind("update", "generate-root/attempt", "", "seal", False, "root_attempt", 2.2),
    Action.ROOT_UPDATE: Kind("update", "generate-root/update", "", "seal", False, "root_update", 2.4),
    Action.SNAPSHOT: Kind("read", "storage/raft/snapshot", "", "read", True, "stream", 410.0),
    Action.LEASE_PREFIX: Kind("update", "leases/revoke-prefix/", "", "revoke", False, "empty", 55.0),
    Action.KEY_CONFIG: Kind("update", "keys/", "/config", "write", False, "key_config", 5.1),
    Action.KEY_EXPORT: Kind("read", "export/encryption-key/", "", "read", True, "key_export", 2.9),
    Action.CAPABILITIES: Kind("update", "capabilities-self", "", "policy", False, "capabilities", 1.1),
    Action.WRAP_READ: Kind("read", "data/", "", "read", False, "wrap", 8.8),
    Action.WRAP_LOOKUP: Kind("update", "wrapping/lookup", "", "list", False, "wrap_lookup", 1.6),
    Action.UNWRAP: Kind("update", "wrapping/unwrap", "", "read", True, "unwrap", 7.9),
    Action.MOUNTS: Kind("read", "internal/ui/mounts", "", "list", False, "mounts", 2.0),
    Action.TOKEN_PERIODIC: Kind("update", "create", "", "auth", False, "token_periodic", 7.7),
    Action.AUDIT_RAW: Kind("update", "audit/", "", "audit_control", False, "audit_raw", 5.2),
    Action.TUNE: Kind("update", "mounts/", "/tune", "policy", False, "tune", 4.9),
    Action.CA_EXPORT: Kind("update", "", "/generate/exported", "write", False, "authority", 310.0),
    Action.SIGN_VERBATIM: Kind("update", "sign-verbatim/", "", "read", True, "signed", 36.0),
    Action.DATABASE: Kind("update", "config/", "", "policy", False, "database", 12.0),
}

MEDIAN_NS = np.array([KINDS[a].latency_ms for a in Action]) * 1e6
LOGINS = (Action.LOGIN, Action.LOGIN_USER)
ISSUERS = (*LOGINS, Action.TOKEN_CREATE, Action.TOKEN_ORPHAN, Action.TOKEN_PERIODIC)
# Requests made without a token: nobody is named before the answer.
BARE = (*LOGINS, Action.ROOT_ATTEMPT, Action.ROOT_UPDATE, Action.WRAP_LOOKUP)
