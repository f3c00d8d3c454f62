"""The name of who asked: stable over tokens, pods and addresses, never a client id or an address."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.schema import DECODED, EVENT
from pipeline.enrich import Config, create


def events(*changes: dict[str, Any]) -> pl.DataFrame:
    """DECODED rows of Vault requests with these columns, the others null."""
    usual = {
        "store": "vault",
        "phase": "request",
        "operation": "read",
        "outcome": "success",
        "path": "kv/data/a",
        "mount": "kv/",
    }
    return pl.DataFrame([{**usual, **change} for change in changes], schema=DECODED)


def who(config: Config | None = None, **columns: Any) -> tuple[str, str]:
    """principal and principal_type of one event."""
    row = create(config).resolve(events(columns)).row(0, named=True)
    return row["principal"], row["principal_type"]


def sa(display: str) -> dict[str, Any]:
    return {"auth_display_name": display, "auth_sa_name": "cart", "auth_sa_namespace": "shop"}


NAMES: dict[str, tuple[dict[str, Any], str, str]] = {
    "an AppRole": ({"auth_display_name": "approle", "auth_role": "billing"}, "approle/billing", "service"),
    "an AppRole at a mount with a dash": (
        {"auth_display_name": "approle-eu", "auth_role": "b"},
        "approle-eu/b",
        "service",
    ),
    "an AppRole before role names": ({"auth_display_name": "approle", "auth_entity": "e-1"}, "approle/e-1", "service"),
    "an AppRole told by display name": ({"auth_display_name": "approle-cicd"}, "approle/cicd", "service"),
    "a user": ({"auth_display_name": "userpass-ada", "auth_username": "ada"}, "userpass/ada", "human"),
    "a user with a dash": ({"auth_display_name": "corp-ldap-a-b", "auth_username": "a-b"}, "corp-ldap/a-b", "unknown"),
    "an OIDC user": (
        {"auth_display_name": "oidc-ada@example.org", "auth_entity": "e"},
        "oidc/ada@example.org",
        "human",
    ),
    "a certificate": ({"auth_display_name": "cert-web01"}, "cert/web01", "service"),
    "a cloud role": ({"auth_display_name": "aws-i-0abc", "auth_role": "deploy"}, "aws/deploy", "service"),
    "a pod by JWT": (sa("k8s-prod-system:serviceaccount:shop:cart"), "k8s-prod/shop/cart", "pod"),
    "a pod by the kubernetes method": (sa("kubernetes-shop-cart"), "kubernetes/shop/cart", "pod"),
    "a created token": ({"auth_display_name": "token-breakglass"}, "token/breakglass", "token"),
    "a created token without a name": ({"auth_display_name": "token", "auth_policies": ["app"]}, "token", "token"),
    "the root token": ({"auth_display_name": "root", "auth_policies": ["root"]}, "root", "root"),
    "a nameless root token": ({"auth_display_name": "token", "auth_policies": ["root"]}, "root", "root"),
    "a named root token": ({"auth_display_name": "token-x", "auth_policies": ["root"]}, "token/x", "root"),
    "somebody named root": ({"auth_display_name": "userpass-root", "auth_username": "root"}, "userpass/root", "human"),
    "a wrapping token": ({"auth_display_name": "root", "auth_policies": ["response-wrapping"]}, "wrapping", "token"),
    "an entity alone": ({"auth_entity": "e-9"}, "entity/e-9", "unknown"),
    "nobody": ({"auth_token_type": "default"}, "anonymous", "anonymous"),
    "a claimed name": ({"path": "auth/userpass/login/jonas", "operation": "auth"}, "userpass/jonas", "human"),
    "a claim at a nested mount": ({"path": "auth/corp/ldap/login/jo", "operation": "auth"}, "corp-ldap/jo", "unknown"),
    "a log-in that claims nothing": ({"path": "auth/approle/login", "operation": "auth"}, "anonymous", "anonymous"),
    "a path that only looks like a log-in": ({"path": "kv/data/auth/x/login"}, "anonymous", "anonymous"),
}


@pytest.mark.parametrize("case", NAMES)
def test_principal(case: str) -> None:
    """Each way of being known gives the name and type that the contract states."""
    columns, principal, kind = NAMES[case]
    assert who(**columns) == (principal, kind)


def test_workload_keeps_its_name() -> None:
    """Other tokens, sessions, addresses, entities and policies of one workload do not change its name."""
    same = [
        {**sa("k8s-prod-system:serviceaccount:shop:cart"), "client_ip": ip, "session": f"hmac-{ip}", "auth_entity": ip,
         "auth_policies": [ip], "token_hash": ip, "auth_token_type": kind, "path": f"kv/data/{ip}"}
        for ip in ("10.3.0.1", "10.3.9.9", "fd00::1") for kind in ("service", "batch")
    ]  # fmt: skip
    assert set(create().resolve(events(*same))["principal"]) == {"k8s-prod/shop/cart"}


def test_configured_mounts() -> None:
    """A mount whose path holds a dash is found where nothing else in the entry tells where the name begins."""
    config = Config(auth_mounts=("oidc-corp",), human_mounts=("oidc-corp",))
    assert who(config, auth_display_name="oidc-corp-ada@x") == ("oidc-corp/ada@x", "human")
    assert who(auth_display_name="oidc-corp-ada@x")[0] == "oidc/corp-ada@x"


def test_log_in_is_named_in_its_response() -> None:
    """The response of a log-in is by, and for, the identity that logged in; its mount comes from the path."""
    row = create().resolve(
        events(
            {"phase": "response", "operation": "auth", "path": "auth/k8s/prod/login", "mount": "auth/k8s/prod/",
             "login_display_name": "k8s-prod-system:serviceaccount:shop:cart", "login_sa_name": "cart",
             "login_sa_namespace": "shop"}
        )
    ).row(0, named=True)  # fmt: skip
    assert row["principal"] == row["login_principal"] == "k8s-prod/shop/cart"
    assert row["principal_type"] == "pod"
    assert who(**sa("k8s-prod-system:serviceaccount:shop:cart"))[0] == row["principal"]


@pytest.mark.parametrize("mounts", [(), ("jwt-ci",)])
def test_a_log_in_and_what_its_token_does_are_by_one(mounts: tuple[str, ...]) -> None:
    """Also where the mount's path holds a dash, which nothing but the log-in's path tells: configured or not."""
    config, shown = Config(auth_mounts=mounts), {"entity": "e-1", "display_name": "jwt-ci-shop/build-main"}
    log_in = {"phase": "response", "operation": "auth", "path": "auth/jwt-ci/login", "mount": "auth/jwt-ci/"}
    row = create(config).resolve(events({**log_in, **{f"login_{k}": v for k, v in shown.items()}})).row(0, named=True)
    used = who(config, **{f"auth_{k}": v for k, v in shown.items()})
    assert (row["principal"], row["principal_type"]) == (row["login_principal"], row["principal_type"]) == used
    assert used == ("jwt-ci/shop/build-main" if mounts else "jwt/ci-shop/build-main", "service")


@pytest.mark.parametrize(("session", "made"), [("s-1", "k8s/shop/cart"), ("s-2", "k8s/e-1")])
def test_what_an_answer_leaves_out_of_its_caller_s_token_the_caller_tells(session: str, made: str) -> None:
    """An answer that names the entity alone: told whose it is where it is the caller's own, as after a log-in."""
    answer = {"operation": "auth", "phase": "response", "mount": "auth/k8s/", "session": "s-1"}
    given = {"login_entity": "e-1", "auth_entity": "e-1", "login_session": session, **sa("k8s-shop-cart")}
    assert create().resolve(events({**answer, **given}))["login_principal"].to_list() == [made]


def test_creating_a_token_is_by_the_creator() -> None:
    """The response of a token creation names both: who asked, and whom the token is for."""
    row = create().resolve(
        events(
            {"phase": "response", "operation": "auth", "path": "auth/token/create", "mount": "auth/token/",
             "auth_display_name": "approle", "auth_role": "ci", "login_display_name": "token-deploy",
             "login_policies": ["app"]}
        )
    ).row(0, named=True)  # fmt: skip
    assert (row["principal"], row["login_principal"]) == ("approle/ci", "token/deploy")


ELSEWHERE = [
    ("arn:aws:iam::1:role/app", "service"), ("arn:aws:iam::1:user/ada", "human"), ("arn:aws:iam::1:root", "root"),
    ("ci@p.iam.gserviceaccount.com", "service"), ("ada@example.org", "human"), ("system:serviceaccount:a:b", "pod"),
    ("7c0e-app-id", "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), ELSEWHERE)
def test_other_stores_name_their_callers(name: str, kind: str) -> None:
    """A name that another store's decoder found stands as it is; its form tells what it is."""
    assert who(store="aws", auth_display_name=name) == (name, kind)


def test_columns_are_those_of_events() -> None:
    """Nothing of the raw identity is left, and what is missing is only what the line adds."""
    resolved = create().resolve(events({}))
    placed = {"uid", "source", "file", "position", "order_time", "leaf_index"}
    assert set(EVENT) - set(resolved.columns) == placed
    assert set(resolved.columns) - set(EVENT) == {"piece"}
    assert all(resolved.schema[name] == kind for name, kind in EVENT.items() if name not in placed)
    assert create().resolve(events()).schema == resolved.schema


ZONES = [
    ("10.1.2.3", "10.1.2.0/24"), ("::ffff:10.1.2.3", "10.1.2.0/24"), ("2001:db8:aa:bb::1", "2001:db8:aa::/48"),
    ("fe80::1%eth0", "fe80::/48"), ("300.1.2.3", None), ("web01", None), ("", None), (None, None), ("::zz", None),
]  # fmt: skip


@pytest.mark.parametrize(("address", "zone"), ZONES)
def test_zone(address: str | None, zone: str | None) -> None:
    """An address lies in its /24 or /48; what is no address lies nowhere."""
    assert create().resolve(events({"client_ip": address}))["zone"].to_list() == [zone]


def test_configured_zones() -> None:
    """A configured network gives its name, the smallest one where they nest."""
    config = Config(networks={"10.0.0.0/8": "inside", "10.1.0.0/16": "lab", "fd00::/8": "mesh"})
    addresses = ["10.1.9.9", "10.2.0.1", "192.0.2.1", "fd00:1::1", "2001:db8::1"]
    resolved = create(config).resolve(events(*({"client_ip": address} for address in addresses)))
    assert resolved["zone"].to_list() == ["lab", "inside", "192.0.2.0/24", "mesh", "2001:db8::/48"]


def test_bad_network_is_a_config_error() -> None:
    """A network that is none is refused at once, naming the setting."""
    with pytest.raises(ConfigError, match=r"enrich\.networks"):
        create(Config(networks={"10.0.0.0/33": "x"}))
