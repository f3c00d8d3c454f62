"""`keytrail policy`: exactly what was seen, nothing that was denied, and no name that breaks out of its string."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.inquiry.policy import aws, grants, kubernetes, listed, vault
from pipeline.inquiry.policy.escaped import quoted
from pipeline.inquiry.policy.grants import BOUND, Grant
from pipeline.inquiry.policy.patterns import Rules, covers
from tests.command import keytrail
from tests.unit.inquiry.told_lines import Log, hashed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOSTILE = [
    'kv/data/a"b', "kv/data/a\nb", "kv/data/a\\", "kv/data/${env}", "kv/data/%{if}", 'kv/data/" {\n}\npath "sys/x',
    "kv/data/\u2028x\u202e", "kv/data/\x1b[2J", "kv/data/😀\U000e0041", "kv/data/$${x}", "kv/data/#x", "kv/data/'x",
]  # fmt: skip
WILD = ["kv/data/*", "kv/data/+/x", "kv/data/+", "kv/data/{{identity.entity.id}}", "kv/data/a+*b"]
START = dt.datetime(2026, 3, 2, 8, tzinfo=dt.UTC)


def apart(path: str, number: int) -> str:
    """In a folder of its own, so that it has no siblings."""
    return path.replace("kv/data/", f"kv/data/{number}/", 1)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one workload did, with what is left out, what was denied, and names that would break out."""
    log = Log()
    token, system = {"mount": "auth/token/", "kind": "token"}, {"mount": "sys/", "kind": "system"}
    log.ask(0, "userpass-app", "auth/token/renew-self", "update", **token)
    log.ask(1, "userpass-app", "sys/capabilities-self", "update", **system)
    log.ask(2, "userpass-app", "kv/data/app/db", version=1)
    log.ask(3, "userpass-app", "kv/data/app/db", "update", version=2)
    log.ask(4, "userpass-app", "kv/metadata/app/", "list", data={})
    log.ask(5, "userpass-app", "kv/data/app/gone", denied=True)
    for number, name in enumerate("abcd"):
        log.ask(6 + number, "userpass-app", f"kv/data/many/{name}/tls", version=1)
    log.ask(10, "userpass-app", "sys/audit/file", "update", **system)
    for number, path in enumerate((*HOSTILE, *WILD)):
        log.ask(20 + number, "userpass-odd", apart(path, number), version=1)
    for number, space in enumerate(("", "team-a")):
        log.ask(50 + number, "userpass-two", "kv/data/x", version=1, space=space)
    log.ask(60, "userpass-one", "kv/data/x", version=1, space="team-a")
    return log.lake(tmp_path_factory.mktemp("policy"))


def suggested(lake: Path, *words: str) -> str:
    """The policy as it is printed."""
    done = keytrail("policy", *words, "--lake", lake)
    assert done.code == 0, done.error
    return done.stdout


def test_the_policy_is_what_was_seen(lake: Path) -> None:
    """Paths as they were asked, capabilities as they were used; the rest in comments."""
    text = suggested(lake, "userpass/app")
    head, body = text.split("\n\n", 1)
    assert head.splitlines()[1:3] == [
        "# 8 operations on 7 paths; what is done once a year may not be among them.",
        "# Left out: 2 operations that need no policy, or the default one alone.",
    ]
    assert (
        body
        == """\
# 2 times since 2026-03-02 08:02, last 2026-03-02 08:03
path "kv/data/app/db" {
  capabilities = ["read", "update"]
}

# one + for 4 siblings used alike: a, b, c, …
# 4 times since 2026-03-02 08:06, last 2026-03-02 08:09
path "kv/data/many/+/tls" {
  capabilities = ["read"]
}

# 1 time since 2026-03-02 08:04, last 2026-03-02 08:04
path "kv/metadata/app/" {
  capabilities = ["list"]
}

# 1 time since 2026-03-02 08:10, last 2026-03-02 08:10
path "sys/audit/file" {
  capabilities = ["update", "sudo"]
}

# Asked for and denied; not part of the policy:
#   "kv/data/app/gone" [read]: 1 time since 2026-03-02 08:05, last 2026-03-02 08:05
"""
    )


def test_rows_for_programs(lake: Path) -> None:
    """One object a grant, what was denied among them with its status."""
    rows = keytrail("policy", "userpass/app", "--lake", lake, "--format", "json").rows
    assert [(row["path"], row["capabilities"], row["status"], row["paths"], row["operations"]) for row in rows] == [
        ("kv/data/app/db", ["read", "update"], "suggested", 1, 2),
        ("kv/data/many/+/tls", ["read"], "suggested", 4, 4),
        ("kv/metadata/app/", ["list"], "suggested", 1, 1),
        ("sys/audit/file", ["update", "sudo"], "suggested", 1, 1),
        ("kv/data/app/gone", ["read"], "denied", 1, 1),
    ]
    keys = "principal store namespace path capabilities status paths operations first last note"
    assert {tuple(row) for row in rows} == {tuple(keys.split())}
    assert "suggested" in keytrail("policy", "userpass/app", "--lake", lake, "--format", "table").stdout


def test_a_period_is_what_counts(lake: Path) -> None:
    """Before and after it nothing is seen."""
    words = ("--from", "2026-03-02T08:03:00Z", "--to", "2026-03-02T08:04:00Z")
    assert re.findall(r"\[.*\]", suggested(lake, "userpass/app", *words)) == ['["update"]']
    done = keytrail("policy", "userpass/app", "--lake", lake, "--from", "2026-03-02T08:30:00Z")
    assert done.code == 3
    assert "did nothing" in done.error


def read(text: str) -> str:
    """A string of HCL, read as its scanner does. Raises ValueError for what would not be one string."""
    if not re.fullmatch(r'"(?:[^"\\\n$%]|[$%](?!\{)|\\(?:["\\nrt]|u[0-9a-f]{4}|U[0-9a-f]{8}))*"', text):
        raise ValueError(text)
    plain = {'\\"': '"', "\\\\": "\\", "\\n": "\n", "\\r": "\r", "\\t": "\t"}
    sign = r"\\(?:u([0-9a-f]{4})|U([0-9a-f]{8})|.)"
    return re.sub(sign, lambda one: plain.get(one[0]) or chr(int(one[1] or one[2], 16)), text[1:-1])


def test_no_name_breaks_out(lake: Path) -> None:
    """Every line is one of four kinds, and the names in them are those of the log; wildcards are only comments."""
    text = suggested(lake, "userpass/odd")
    lines = text.split("\n")
    live = [line for line in lines if line and not line.startswith("#")]
    heads = [re.fullmatch(r'path (".*") \{', line) for line in live[::3]]
    assert all(head is not None for head in heads)
    assert {read(head[1]) for head in heads if head} == {apart(path, at) for at, path in enumerate(HOSTILE)}
    assert set(live[1::3]) == {'  capabilities = ["read"]'}
    assert set(live[2::3]) == {"}"}
    assert sum(line.startswith("# path ") for line in lines) == len(WILD)
    assert not set("\x1b\u2028\u202e\r") & set(text)


@given(st.text(max_size=30).filter(lambda text: not any(0xD800 <= ord(c) <= 0xDFFF for c in text)))
def test_a_string_is_read_as_it_was(text: str) -> None:
    """Whatever is in it, on one line."""
    assert read(quoted(text)) == text
    assert "\n" not in quoted(text)


def test_namespaces(lake: Path) -> None:
    """Of one namespace paths are its own; of several they begin with it."""
    assert '# Keep it in the namespace "team-a".' in suggested(lake, "userpass/one")
    assert 'path "kv/data/x"' in suggested(lake, "userpass/one")
    assert re.findall('^path (.*) ', suggested(lake, "userpass/two"), re.MULTILINE) == [
        '"kv/data/x"', '"team-a/kv/data/x"',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("userpass/ap",), 3, "userpass/app"),
        (("userpass",), 2, "several fit"),
        (("kv/app/db",), 3, "knows no principal"),
        (("userpass/app", "--store", "aws"), 2, "it used: vault"),
    ],
)
def test_who_is_not_known_is_refused(lake: Path, words: tuple[str, ...], code: int, told: str) -> None:
    """With close names, and nothing on stdout."""
    done = keytrail("policy", *words, "--lake", lake)
    assert (done.code, done.stdout) == (code, "")
    assert told in done.error


def grant(path: str, *capabilities: str, status: str = "suggested", store: str = "vault", **more: object) -> Grant:
    """A grant on a secret of `kv/`, seen once."""
    chosen = {"mount": "kv/", "fixed": 2, "mount_type": "kv", "namespace": "", **more}
    return Grant(
        store=store, path=path, capabilities=capabilities or ("read",), status=status, operations=1, first=START,
        last=START, **chosen,  # type: ignore[arg-type]
    )  # fmt: skip


def folded(seen: Sequence[Grant], denied: Sequence[Grant] = ()) -> list[str]:
    """The paths of what is suggested."""
    return [one.path for one in vault.shaped(seen, denied)[0]]


def test_siblings_fold_from_four_on() -> None:
    """Three stay apart, as do those that are used differently, and the engine's own words."""
    assert folded([grant(f"kv/data/a/{n}") for n in "123"]) == ["kv/data/a/1", "kv/data/a/2", "kv/data/a/3"]
    assert folded([grant(f"kv/data/a/{n}") for n in "1234"]) == ["kv/data/a/+"]
    mixed = [grant(f"kv/data/a/{n}", "list" if n == "4" else "read") for n in "1234"]
    assert len(folded(mixed)) == 4
    words = [grant(f"transit/{word}/key", mount="transit/") for word in ("encrypt", "decrypt", "hmac", "rewrap")]
    assert len(folded(words)) == 4


def test_what_was_denied_stays_denied() -> None:
    """No + reaches over a sibling that was refused."""
    seen, no = [grant(f"kv/data/a/{n}") for n in "1234"], [grant("kv/data/a/5", status="denied")]
    assert len(folded(seen, no)) == 4
    assert folded(seen, [grant("kv/data/b", status="denied")]) == ["kv/data/a/+"]
    assert folded(seen, [grant("kv/data/a/4", status="denied")]) == ["kv/data/a/+"]  # once denied, later given


def test_past_the_bound_whole_folders() -> None:
    """Said so, and never more than the mount's own folder."""
    seen = [grant(f"kv/data/{n}/{m}", "read" if m % 2 else "list") for n in range(30) for m in range(6)]
    shaped = vault.shaped(seen, ())[0]
    assert len(shaped) <= BOUND
    assert "*" not in {one.path for one in shaped}
    wide = [grant(f"kv/data/{n}/{n}/{n}") for n in range(200)]
    (one,) = vault.shaped(wide, ())[0]
    assert one.path == "kv/data/*"
    assert "past the bound of 100 paths" in one.note
    assert one.paths == 200


SEGMENT = st.sampled_from("abcde")
PATHS = st.builds(lambda *parts: "kv/data/" + "/".join(parts), SEGMENT, SEGMENT, SEGMENT)


@given(
    st.dictionaries(PATHS, st.sampled_from([("read",), ("list",), ("read", "update")]), max_size=125),
    st.sets(PATHS, max_size=8),
    st.sampled_from([5, BOUND]),
)
def test_folding_allows_what_was_seen_and_nothing_denied(
    seen: dict[str, tuple[str, ...]], refused: set[str], bound: int
) -> None:
    """By the order in which the servers choose among patterns."""
    never = [grant(path, "delete", "read", "list", status="denied") for path in refused - set(seen)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grants, "BOUND", bound)
        rules = Rules(vault.shaped([grant(path, *words) for path, words in seen.items()], never)[0])
    assert all(set(words) <= rules.of("", path) for path, words in seen.items())
    assert not any(rules.of("", one.path) & set(one.capabilities) for one in never)


def test_a_pattern_covers_one_segment_or_all_behind() -> None:
    """As the servers match them."""
    assert covers("kv/+/x", "kv/data/x")
    assert not covers("kv/+/x", "kv/a/b/x")
    assert covers("kv/*", "kv/a/b")
    assert not covers("kv/a.c", "kv/abc")


def test_aws_gets_a_policy_document() -> None:
    """Actions by service, ARNs made of names where the log has names, wildcards in names escaped."""
    place = {"store": "aws", "namespace": "111122223333/eu-west-1", "fixed": None, "mount_type": ""}
    arn = "arn:aws:{}:eu-west-1:111122223333:{}"
    seen = [
        grant(arn.format("secretsmanager", "secret:db-q1W2e3"), "GetSecretValue", mount="secretsmanager/", **place),
        grant('odd*?${x}"', "GetSecretValue", mount="secretsmanager/", **place),
        grant("/app/mail", "GetParameter", mount="ssm/", **place),
        grant("alias/orders", "Decrypt", mount="kms/", **place),
        grant("secretsmanager/ListSecrets", "ListSecrets", mount="secretsmanager/", **place),
    ]  # fmt: skip
    lines, notes = aws.lines(
        ["who"], seen, [grant("x", "DeleteSecret", status="denied", mount="secretsmanager/", **place)]
    )
    told = json.loads("\n".join(lines))
    assert [(one["Action"], one["Resource"]) for one in told["Statement"]] == [
        (["kms:Decrypt"], [arn.format("kms", "key/*")]),
        (["secretsmanager:GetSecretValue"], [
            arn.format("secretsmanager", "secret:db-q1W2e3"),
            arn.format("secretsmanager", 'secret:odd${*}${?}${$}{x}"-??????'),
        ]),
        (["secretsmanager:ListSecrets"], ["*"]),
        (["ssm:GetParameter"], [arn.format("ssm", "parameter/app/mail")]),
    ]  # fmt: skip
    assert told["Statement"][0]["Condition"] == {"StringEquals": {"kms:RequestAlias": "alias/orders"}}
    assert any("DeleteSecret" in note for note in notes)
    assert any("Resource is *" in note for note in notes)


def test_kubernetes_gets_roles() -> None:
    """Rules with names for verbs that names narrow; what is in no namespace in a ClusterRole."""
    yaml = pytest.importorskip("yaml")
    place = {"store": "kubernetes", "fixed": None, "mount_type": "", "mount": "secrets/"}
    hostile = "/api/v1/namespaces/shop/secrets/%22]%0a- x%7d"
    seen = [
        grant("/api/v1/namespaces/shop/secrets/db", "get", "watch", namespace="shop", **place),
        grant(hostile, "get", namespace="shop", **place),
        grant("/api/v1/namespaces/shop/serviceaccounts/ci/token", "create", namespace="shop", **place),
        grant("/apis/apps/v1/namespaces/shop/deployments?limit=5", "list", namespace="shop", **place),
        grant("/api/v1/secrets?limit=500", "list", namespace="", **place),
        grant("/metrics", "get", namespace="", **place),
    ]
    lines, _ = kubernetes.lines(["who"], seen, [])
    cluster, role = yaml.safe_load_all("\n".join(lines))
    assert (cluster["kind"], role["kind"], role["metadata"]["namespace"]) == ("ClusterRole", "Role", "shop")
    assert cluster["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]},
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
    ]
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["db"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["watch"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ['"]\n- x}'], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["ci"], "verbs": ["create"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
    ]
    assert kubernetes.needless({"path": "/healthz", "mount": ""})
    assert not kubernetes.needless({"path": "/api/v1/secrets", "mount": "secrets/"})


@pytest.mark.parametrize("name", HOSTILE)
def test_other_stores_get_a_list(name: str) -> None:
    """It says that it is one, and names in it stay names."""
    yaml = pytest.importorskip("yaml")
    seen = [grant(name, "SecretGet", store="azure", namespace="pay", fixed=None)]
    lines, _ = listed.lines([name], seen, [grant(name, "SecretList", store="azure", status="denied")])
    assert yaml.safe_load("\n".join(lines)) == [{"resource": name, "scope": "pay", "operations": ["SecretGet"]}]
    assert any("a list, not a policy" in line for line in lines)


def test_a_log_in_needs_no_policy() -> None:
    """Nor does what the default policy has; what only looks like it does."""
    for path in (
        "auth/approle/login",
        "auth/oidc/oidc/callback",
        "auth/userpass/login/x",
        "cubbyhole/a",
        "sys/leases/renew",
    ):
        assert vault.needless({"path": path, "api_operation": "update"}), path
    for path in (
        "auth/token/create",
        "sys/leases/revoke",
        "auth/token/lookup-self\n",
        "kv/data/auth/x/login",
        "identity/x",
    ):
        assert not vault.needless({"path": path, "api_operation": "update"}), path
    assert hashed("x") != hashed("y")
