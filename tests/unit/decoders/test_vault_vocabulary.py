"""Paths and verbs of Vault's engines, as operations on secrets."""

from __future__ import annotations

import polars as pl
import pytest

from pipeline.core.schema import OPERATIONS_VOCABULARY
from pipeline.decoders.vault.places import KEY
from pipeline.decoders.vault.vocabulary import describe

# engine, mount, path, verb -> operation, secret
TABLE = """
kv kv/ kv/data/app/db read -> read kv/app/db
kv kv/ kv/data/app/db patch -> write kv/app/db
kv kv/ kv/data/app/db delete -> delete kv/app/db
kv kv/ kv/metadata/app/db read -> list kv/app/db
kv kv/ kv/metadata/app/ list -> list kv/app
kv kv/ kv/metadata/ list -> list kv
kv kv/ kv/metadata/app/db delete -> delete kv/app/db
kv kv/ kv/subkeys/app/db read -> list kv/app/db
kv kv/ kv/delete/app/db update -> delete kv/app/db
kv kv/ kv/destroy/app/db update -> delete kv/app/db
kv kv/ kv/undelete/app/db update -> write kv/app/db
kv kv/ kv/data/app/db help -> other kv/app/db
kv old/ old/app/db read -> read old/app/db
generic secret/ secret/app create -> write secret/app
kv team/kv/ team/kv/data/app read -> read team/kv/app
cubbyhole cubbyhole/ cubbyhole/x read -> read cubbyhole/x
transit transit/ transit/decrypt/k update -> read transit/k
transit transit/ transit/encrypt/k update -> other transit/k
transit transit/ transit/datakey/plaintext/k update -> read transit/k
transit transit/ transit/datakey/wrapped/k update -> other transit/k
transit transit/ transit/export/encryption-key/k/2 read -> read transit/k
transit transit/ transit/keys/k/rotate update -> rotate transit/k
transit transit/ transit/keys/k/config update -> write transit/k
transit transit/ transit/keys/k read -> list transit/k
transit transit/ transit/keys/k delete -> delete transit/k
transit transit/ transit/keys list -> list transit
transit transit/ transit/random/32 update -> other transit
pki pki/ pki/issue/web update -> read pki/web
pki pki/ pki/issuer/int/sign/web update -> read pki/web
pki pki/ pki/roles/web update -> policy pki/web
pki pki/ pki/roles list -> list pki
pki pki/ pki/revoke update -> revoke pki
pki pki/ pki/root/generate/internal update -> write pki/root
pki pki/ pki/root/rotate/internal update -> rotate pki/root
database database/ database/creds/app read -> read database/app
database database/ database/static-creds/app read -> read database/app
database database/ database/rotate-role/app update -> rotate database/app
database database/ database/rotate-root/pg update -> rotate database/pg
database database/ database/roles/app update -> policy database/app
aws aws/ aws/sts/deploy update -> read aws/deploy
aws aws/ aws/config/root update -> policy aws
gcp gcp/ gcp/roleset/r/rotate update -> rotate gcp/r
ldap ldap/ ldap/library/set/check-out update -> read ldap/set
ssh ssh/ ssh/sign/ops update -> read ssh/ops
ssh ssh/ ssh/creds/ops update -> read ssh/ops
totp totp/ totp/code/me read -> read totp/me
totp totp/ totp/code/me update -> other totp/me
system sys/ sys/wrapping/unwrap update -> read
system sys/ sys/storage/raft/snapshot read -> read
system sys/ sys/storage/raft/snapshot-force update -> write
system sys/ sys/leases/lookup update -> list
system sys/ sys/leases/revoke-prefix/aws update -> revoke
system sys/ sys/policies/acl/app update -> policy
system sys/ sys/policies/acl/app read -> list
system sys/ sys/policies/acl/ list -> list
system sys/ sys/mounts/kv update -> policy
system sys/ sys/config/auditing/request-headers/x update -> policy
system sys/ sys/audit/file update -> audit_control
system sys/ sys/audit/file delete -> audit_control
system sys/ sys/audit read -> list
system sys/ sys/rotate/keyring update -> rotate
system sys/ sys/rotate update -> rotate
system sys/ sys/seal update -> seal
system sys/ sys/generate-root/attempt update -> seal
system sys/ sys/metrics read -> other
identity identity/ identity/entity/id/x update -> policy
identity identity/ identity/oidc/token/r read -> auth
identity identity/ identity/lookup/entity update -> list
token auth/token/ auth/token/create update -> auth
token auth/token/ auth/token/revoke-self update -> revoke
token auth/token/ auth/token/roles/r update -> policy
approle auth/approle/ auth/approle/login update -> auth
approle auth/approle/ auth/approle/role/r/secret-id update -> auth
approle auth/approle/ auth/approle/role/r/secret-id list -> list
approle auth/approle/ auth/approle/role/r/secret-id/destroy update -> revoke
approle auth/approle/ auth/approle/role/r update -> policy
userpass auth/userpass/ auth/userpass/login/ada update -> auth
oidc auth/oidc/ auth/oidc/oidc/callback read -> auth
- - kv/data/app read -> read kv/app
- - secret/app read -> read secret/app
- - transit/decrypt/k update -> read transit/k
- - aws/creds/r read -> read aws/r
- - auth/corp/ldap/login/ada update -> auth
- - sys/mounts read -> list
"""
ROWS = [line.split(" -> ") for line in TABLE.strip().splitlines()]


def described(**row: str | None) -> dict[str, str]:
    filled = {name: row.get(name) for name in KEY}
    return describe(pl.DataFrame([filled], schema=dict.fromkeys(KEY, pl.String))).row(0, named=True)


@pytest.mark.parametrize(("asked", "meant"), ROWS, ids=[row[0] for row in ROWS])
def test_operation_and_secret(asked: str, meant: str) -> None:
    """Each engine's call is the operation, and on the secret, that the mapping says; so too without mount fields."""
    engine, mount, path, verb = (None if part == "-" else part for part in asked.split(" "))
    got = described(request_path=path, request_operation=verb, mount_point=mount, mount_type=engine)
    operation, _, secret = meant.partition(" ")
    assert (got["operation"], got["secret"]) == (operation, secret)
    assert operation in OPERATIONS_VOCABULARY


NAMESPACES = [
    ("team-a/", "team-a/kv/", "kv/data/x", "team-a", "kv/", "kv/x"),
    ("team-a/sub/", "team-a/sub/kv/", "kv/data/x", "team-a/sub", "kv/", "kv/x"),
    ("team-a/", "kv/", "kv/data/x", "team-a", "kv/", "kv/x"),
    ("team-a/", "team-a/kv/", "team-a/kv/data/x", "team-a", "kv/", "kv/x"),
    ("kv/", "kv/kv/", "kv/data/x", "kv", "kv/", "kv/x"),
    ("kv/", "kv/", "kv/data/x", "kv", "kv/", "kv/x"),
    (None, "kv/", "kv/data/x", "", "kv/", "kv/x"),
]


@pytest.mark.parametrize("row", NAMESPACES)
def test_namespace(row: tuple[str | None, str, str, str, str, str]) -> None:
    """Mount and path are relative to the namespace, whether or not the entry repeats it in front of them."""
    space, mount, path, *want = row
    got = described(
        request_path=path, mount_point=mount, mount_type="kv", request_namespace_path=space, request_operation="read"
    )
    assert [got["namespace"], got["mount"], got["secret"]] == want


def test_all_operations_on_a_secret_share_its_name() -> None:
    """Reading, writing, listing, deleting, destroying and restoring a KV 2 secret are told of one name."""
    words = ["data", "metadata", "delete", "undelete", "destroy", "subkeys"]
    names = {
        described(request_path=f"kv/{word}/app/db", mount_point="kv/", mount_type="kv")["secret"] for word in words
    }
    assert names == {"kv/app/db"}
