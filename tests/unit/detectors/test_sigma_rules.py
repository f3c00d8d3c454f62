"""Sigma rules over operations: what matches, what is refused, and what can never match."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from detectors.sigma import Config, check, create
from detectors.sigma.fields import FLAGS
from detectors.sigma.match import Matcher
from detectors.sigma.read import read
from pipeline.core.clock import HOUR_US
from pipeline.core.errors import ConfigError
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, OPERATION, conform, empty
from pipeline.decoders.vault import columns as vault_columns

if TYPE_CHECKING:
    from pathlib import Path

VAULT = {"product": "vault", "service": "audit"}
START_US = 1_772_409_600_000_000
USUAL: dict[str, Any] = {
    "store": "vault", "operation": "read", "api_operation": "read", "outcome": "success", "principal": "approle/shop",
    "principal_type": "service", "client_ip": "10.4.7.9", "user_agent": "svc/1.0", "namespace": "", "mount": "kv/",
    "mount_type": "kv", "secret": "kv/app/db", "path": "kv/data/app/db", "paired": True, "latency_ms": 12.0,
    "flags": ["no_parent"], "policies": ["default", "App-Read"], "token_ttl": 3600, "discloses_value": True,
}  # fmt: skip


def rows(*told: dict[str, Any]) -> pl.DataFrame:
    made = [
        {**USUAL, **one, "uid": str(i), "time": START_US + i, "complete_time": START_US + i}
        for i, one in enumerate(told)
    ]
    columns = {name: [row.get(name) for row in made] for name in OPERATION}
    kinds = {name: pl.Int64() if kind.is_temporal() else kind for name, kind in OPERATION.items()}
    return conform(pl.DataFrame(columns, schema=kinds), OPERATION)


def rule(selection: Any, condition: str = "sel", logsource: Any = None, **more: Any) -> dict[str, Any]:
    detection = selection if "sel" in selection else {"sel": selection}
    return {
        "title": "A rule", "name": "one", "level": "low", "status": "test", "logsource": logsource or VAULT,
        "detection": {**detection, "condition": condition}, **more,
    }  # fmt: skip


def written(folder: Path, *rules: Any) -> str:
    file = folder / "rules.yml"
    file.write_text("\n---\n".join(json.dumps(one) for one in rules), "utf-8")
    return str(file)


def reasons(folder: Path, *rules: Any, **config: Any) -> list[str]:
    return list(check(Config(rules=(written(folder, *rules),), **config)))


def matched(folder: Path, selection: Any, *told: dict[str, Any], **how: Any) -> list[int]:
    """Places of the operations that a rule matches."""
    given = how.pop("placeholders", {})
    pack = read([written(folder, rule(selection, **how))], given)
    assert not pack.problems
    return Matcher(pack.rules).hits(rows(*told)).get(0, pl.Series([], dtype=pl.Int64).to_numpy()).tolist()


@pytest.mark.parametrize(
    ("selection", "yes", "no"),
    [
        ({"request.path": "KV/Data/app/DB"}, {}, {"path": "kv/data/app/db2"}),
        ({"request.path|cased": "kv/data/app/db"}, {}, {"path": "kv/data/app/DB"}),
        ({"request.path|startswith": "kv/data/"}, {}, {"path": "my/kv/data/x"}),
        ({"request.path|endswith": "/db"}, {}, {"path": "kv/data/app/db/x"}),
        ({"request.path|contains": "/app/"}, {}, {"path": "kv/data/app"}),
        ({"request.path": "kv/*/d?"}, {}, {"path": "kv/data/app/dbx"}),
        ({"request.path|re": r"^kv/data/[a-z]+/db$"}, {}, {"path": "kv/data/APP/db"}),
        ({"request.path|re|i": r"^KV/DATA/"}, {}, {"path": "x/kv/data/"}),
        ({"request.path|contains|all": ["app", "db"]}, {}, {"path": "kv/data/app/x"}),
        ({"request.path": ["a", "kv/data/app/db"]}, {}, {"path": "b"}),
        ({"request.path": "audit/x"}, {"path": "team/audit/x/", "namespace": "team"}, {"path": "team/audit/x"}),
        ({"request.operation": "Update"}, {"api_operation": "update"}, {"api_operation": "create"}),
        ({"client_ip|cidr": "10.4.0.0/16"}, {}, {"client_ip": "10.5.0.1"}),
        ({"client_ip|cidr": "2001:db8::/32"}, {"client_ip": "2001:db8:0:0::1"}, {"client_ip": "2001:db9::1"}),
        ({"client_ip|cidr": "10.4.0.0/16"}, {}, {"client_ip": None}),
        ({"policies": "app-read"}, {}, {"policies": ["app-read-not"]}),
        ({"policies|startswith": "app"}, {}, {"policies": ["default"]}),
        ({"policies|re": "^App-"}, {}, {"policies": ["app-read"]}),
        ({"auth.policies|contains|all": ["def", "app"]}, {}, {"policies": ["default"]}),
        ({"request.data.no_parent": True}, {}, {"flags": ["period"]}),
        ({"request.data.no_parent": False}, {"flags": None}, {}),
        ({"latency_ms|gt": 10}, {}, {"latency_ms": 10.0}),
        ({"latency_ms|lte": 12}, {}, {"latency_ms": 12.5}),
        ({"token_ttl": 3600}, {}, {"token_ttl": None}),
        ({"token_ttl|neq": 3600}, {"token_ttl": 60}, {}),
        ({"error": None}, {}, {"error": "1 error"}),
        ({"error": ""}, {"error": ""}, {"error": "1 error"}),
        ({"error|exists": True}, {"error": "permission denied"}, {}),
        ({"error|exists": False}, {}, {"error": "permission denied"}),
        ({"user_agent": "*"}, {}, {"user_agent": None}),
        ({"discloses_value": True}, {}, {"discloses_value": False}),
        ({"discloses_value": "false"}, {"discloses_value": False}, {}),
        ({"time|hour": 0}, {}, None),
        ({"time|month": 3}, {}, None),
        ({"secret|fieldref|startswith": "mount"}, {}, {"secret": "transit/k"}),
        ({"login_principal|fieldref": "principal"}, {"login_principal": "approle/SHOP"}, {"login_principal": "x"}),
        ({"engine": "kv"}, {"mount_type": None, "mount": "kv/"}, {"mount_type": "transit"}),
        ({"path_in_mount|startswith": "data/"}, {}, {"path": "kv/metadata/app", "mount": "kv/"}),
        ({"path_in_mount": "export/k"}, {"mount": "a/b/", "path": "ns/a/b/export/k", "namespace": "ns"}, {}),
        ({"secret|expand": "%bait%"}, {}, {"secret": "kv/other"}),
        ({"user_agent|windash|contains": " -x"}, {"user_agent": "vault /x"}, {"user_agent": "vault x"}),
    ],
)  # fmt: skip
def test_what_a_selection_matches(
    selection: dict[str, Any], yes: dict[str, Any], no: dict[str, Any] | None, tmp_path: Path
) -> None:
    """Each modifier and each kind of field matches what it says and not its neighbour."""
    told = [yes] if no is None else [yes, no]
    assert matched(tmp_path, selection, *told, placeholders={"bait": ["kv/app/db"]}) == [0]


def test_conditions_join_selections(tmp_path: Path) -> None:
    """and, or, not, quantifiers and lists of maps mean what they mean in Sigma."""
    two = {"sel": {"operation": "read"}, "filter": {"principal|startswith": "approle/"}}
    told = ({}, {"principal": "userpass/ana"}, {"operation": "write", "principal": "userpass/ana"})
    assert matched(tmp_path, two, *told, condition="sel and not filter") == [1]
    assert matched(tmp_path, two, *told, condition="1 of them") == [0, 1]
    assert matched(tmp_path, two, *told, condition="all of them") == [0]
    assert matched(tmp_path, {"sel": [{"operation": "write"}, {"principal|startswith": "approle/"}]}, *told) == [0, 2]


def test_a_rule_sees_its_own_stream_only(tmp_path: Path) -> None:
    """A rule for Vault says nothing of another store; one for keytrail's operations speaks of all."""
    told = ({}, {"store": "aws"})
    assert matched(tmp_path, {"secret": "kv/app/db"}, *told) == [0]
    assert matched(tmp_path, {"secret": "kv/app/db"}, *told, logsource={"product": "openbao"}) == [0]
    assert matched(tmp_path, {"secret": "kv/app/db"}, *told, logsource={"product": "keytrail"}) == [0, 1]
    aws = {"product": "aws", "service": "cloudtrail"}
    called = {"store": "aws", "api_operation": "StopLogging"}
    assert matched(tmp_path, {"eventName": "StopLogging"}, {}, called, logsource=aws) == [1]


@pytest.mark.parametrize(
    ("selection", "why"),
    [
        ({"request.pathh": "x"}, "there is no field request.pathh; meant: request.path"),
        ({"CommandLine|contains": "x"}, "there is no field CommandLine"),
        ({"outcome": "refused"}, "outcome is never refused; it is one of: success, denied, not_found, failure"),
        ({"outcome": ["reject", "refused"]}, "outcome is never reject.*; outcome is never refused"),
        ({"outcome|cased": "Denied"}, "outcome is never Denied"),
        ({"request.operation": "write"}, "request.operation is never write"),
        ({"operation|startswith": "sel"}, r"operation is never sel\*; it is one of"),
        ({"request.path": "/v1/sys/seal"}, "never begins with a slash"),
        ({"request.path|startswith": "v1/sys"}, "without the API's v1/"),
        ({"request.path|endswith": "/"}, "slash at the end"),
        ({"token_ttl": "long"}, "token_ttl is a number, so it is never long"),
        ({"paired": 2}, "paired is true or false, so it is never 2"),
        ({"time|hour": 24}, "hour is never 24"),
        ({"token_ttl|gt": 100, "token_ttl|lt": 50}, "token_ttl cannot lie above 100 and below 50"),
        ({"request.path|startswith": "sys/", "request.path|endswith": "x", "path": "y", "secret": "kv/a/"}, "slash"),
    ],
)
def test_a_value_that_can_never_stand_there_is_an_error(selection: dict[str, Any], why: str, tmp_path: Path) -> None:
    """A rule that can never match is an error that names the field, the value and what there is."""
    [said] = reasons(tmp_path, rule(selection))
    assert re.search(why, said), said


@pytest.mark.parametrize(
    ("one", "other", "condition", "contradicts"),
    [
        ({"operation": "read"}, {"operation": "write"}, "sel and other", True),
        ({"operation": "read"}, {"operation": "write"}, "sel or other", False),
        ({"operation": "read"}, {"operation": ["read", "list"]}, "sel and not other", True),
        ({"operation": ["read", "write"]}, {"operation": ["read", "list"]}, "sel and not other", False),
        ({"request.path|startswith": "sys/audit"}, {"request.path|startswith": "sys/"}, "sel and not other", True),
        ({"request.path|startswith": "sys/"}, {"request.path|startswith": "sys/audit"}, "sel and not other", False),
        ({"request.path|startswith": "sys/"}, {"request.path|startswith": "auth/"}, "sel and other", True),
        ({"request.path|endswith": "/a"}, {"request.path|endswith": "/b"}, "sel and other", True),
        ({"request.path|endswith": "b/a"}, {"request.path|endswith": "/a"}, "sel and other", False),
        ({"request.path": "sys/seal"}, {"request.path|contains": "audit"}, "sel and other", True),
        ({"request.path": "sys/seal"}, {"request.path": "sys/rekey"}, "sel and other", True),
        ({"error": None}, {"error|exists": True}, "sel and other", True),
        ({"error": None}, {"error": "x"}, "sel and other", True),
        ({"secret": "kv/a"}, {"secret": "kv/a"}, "sel and not other", True),
        ({"policies": "a"}, {"policies": "b"}, "sel and other", False),
        ({"token_ttl|gte": 5}, {"token_ttl|lte": 5}, "sel and other", False),
        ({"token_ttl|gte": 5}, {"token_ttl|lt": 5}, "sel and other", True),
        ({"store": "aws"}, {"outcome": "success"}, "sel and other", True),
        ({"secret|re": "^a"}, {"secret|re": "^b"}, "sel and other", False),
        ({"outcome": ["success", "refused"]}, {"secret": "kv/a"}, "sel and other", False),
        ({"outcome": "success"}, {"outcome": "refused"}, "sel and not other", False),
        ({"outcome": None}, {"secret": "kv/a"}, "sel and other", False),
    ],
)
def test_contradictions_are_found_and_only_those(
    one: Any, other: Any, condition: str, contradicts: bool, tmp_path: Path
) -> None:
    """A condition that contradicts itself can never match; what may be satisfied, or cannot be proved, passes."""
    said = reasons(tmp_path, rule({"sel": one, "other": other}, condition))
    assert bool(said) == contradicts, said


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (rule(["a keyword"]), "a keyword without a field"),
        (rule({"secret|re": "(?=a)b"}), "invalid|linear time"),
        (rule({"secret|expand": "%nobody%"}), "%nobody% is not in"),
        (rule({"time": "2026-01-01"}), "time is a time"),
        (rule({"secret|gt": 5}), "secret is text"),
        (rule({"secret": "a"}, logsource={"product": "windows", "service": "security"}), "no stream that is read here"),
        (rule({"secret": "a"}, logsource={"category": "process_creation", "product": "vault"}), "no stream"),
        (rule({"secret": "a"}, logsource={"product": "aws", "service": "s3"}), "another stream of aws"),
        (rule({"secret": "a"}, "nobody"), "not defined in detections"),
        (rule({"secret|nonsense": "a"}), "Unknown modifier"),
        ({"title": "x"}, "log ?source|detection"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(told: Any, why: str, tmp_path: Path) -> None:
    """A rule that cannot be run is left out, the reason is told, and the rest goes on."""
    good = {**rule({"secret": "kv/app/db"}), "name": "good", "title": "Good"}
    config = Config(rules=(written(tmp_path, told, good),))
    assert any(re.search(why, said, re.IGNORECASE) for said in check(config)), check(config)
    detector = create(config)
    found = detector.inspect(Window(0, HOUR_US, rows({}), empty(INTEGRITY), None, closed=True))
    assert found["cause"].to_list() == ["good"]
    assert detector.notes


def test_a_file_that_is_no_rule_is_told(tmp_path: Path) -> None:
    """Broken YAML, a scalar and an empty file are named; a path that is not there is an error of the config."""
    for name, text in (("a.yml", "title: [x"), ("b.yml", "just text"), ("c.yaml", "")):
        (tmp_path / name).write_text(text)
    said = check(Config(rules=(str(tmp_path),)))
    assert len(said) == 3
    assert all(name in " ".join(said) for name in ("a.yml", "b.yml", "c.yaml"))
    with pytest.raises(ConfigError, match="no file or folder"):
        create(Config(rules=(str(tmp_path / "missing"),)))


def test_other_products_can_be_left_out(tmp_path: Path) -> None:
    """A folder of rules for everything is usable: with ours_only, rules for other streams are no problem."""
    others = rule({"secret": "a"}, logsource={"product": "windows", "service": "security"})
    assert reasons(tmp_path, others)
    assert not reasons(tmp_path, others, ours_only=True)
    assert not reasons(tmp_path, others, off=("one",))


def test_without_the_extra_the_config_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules without pySigma are an error of the config that names the extra; without rules nothing is missing."""
    for name in [name for name in sys.modules if name.startswith("detectors.sigma.") or name.split(".")[0] == "sigma"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sigma", None)
    monkeypatch.setitem(sys.modules, "sigma.collection", None)
    with pytest.raises(ConfigError, match=r"keytrail\[sigma\]"):
        create(Config(rules=(written(tmp_path, rule({"secret": "a"})),)))
    assert create(Config()).notes == ()


def test_flags_are_those_the_decoder_tells() -> None:
    """A rule may ask for exactly the options that the Vault decoder knows."""
    assert set(FLAGS) == {*vault_columns._FLAGS, "complete", "policies", "version"}


def test_alike_matches_are_told_once_an_hour(tmp_path: Path) -> None:
    """The same principal, secret, address and outcome is one finding an hour, in however many pieces it comes."""
    detector = create(Config(rules=(written(tmp_path, rule({"operation": "read"})),)))
    found = []
    for hour in (0, 0, 1):
        told = rows({}, {}, {"secret": "kv/other"}).with_columns(
            complete_time=pl.col("complete_time").dt.offset_by(f"{hour}h")
        )
        found.append(len(detector.inspect(Window(0, HOUR_US, told, empty(INTEGRITY), None, closed=True))))
    assert found == [2, 0, 2]


def test_a_finding_hides_what_looks_like_a_token(tmp_path: Path) -> None:
    """A title, a path or a false positive that holds a token is told without it."""
    token = "hvs." + "A" * 24
    told = rule({"operation": "read"}, title=f"Seen {token}", falsepositives=[f"the job {token}"])
    detector = create(Config(rules=(written(tmp_path, told),)))
    seen = rows({"path": f"auth/token/lookup/{token}", "api_operation": "read"})
    [found] = detector.inspect(Window(0, HOUR_US, seen, empty(INTEGRITY), None, closed=True)).to_dicts()
    assert token not in json.dumps(found, default=str)
