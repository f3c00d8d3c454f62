"""The table of rules as a whole, and on real logs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec
import polars as pl
import pytest

from detectors import invariant
from detectors.integrity.verdicts import VERDICTS
from detectors.invariant.rules import RULES
from pipeline.core.cases import find_cases
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, OPERATION, SEVERITIES, conform, empty
from pipeline.core.schema import VERDICTS as ALL_VERDICTS

FOLDER = Path(invariant.__file__).parent
TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")
FIELDS = {"who", "path", "secret", "name", "login", "ttl", "device", "verb"}


def window(rows: list[dict[str, object]]) -> Window:
    usual = {"uid": "u", "store": "vault", "namespace": "", "outcome": "success", "principal": "approle/web"}
    frame = pl.DataFrame([{**usual, **row} for row in rows], infer_schema_length=None)
    return Window(0, 1, conform(frame, OPERATION), empty(INTEGRITY), None, closed=True)


def test_rules_are_well_formed() -> None:
    """Ids are unique; severities, techniques and message fields exist; every rule says what to do."""
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.severity in SEVERITIES, rule.id
        assert rule.techniques, rule.id
        assert all(TECHNIQUE.fullmatch(technique) for technique in rule.techniques), rule.id
        assert set(re.findall(r"\{(\w+)\}", rule.message)) <= FIELDS, rule.id
        assert rule.next_step.endswith("."), rule.id
        assert rule.expected, rule.id


def test_every_rule_has_a_firing_case_and_a_section() -> None:
    """No rule without a case that fires it and a line in the README."""
    fired = {row["cause"] for case in find_cases("invariant") for row in case.expect}
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert {rule.id for rule in RULES} - fired == set()
    assert [rule.id for rule in RULES if f"`{rule.id}`" not in readme] == []


def test_pages_of_one_list_are_told_once() -> None:
    """What a client asks besides is no other place; nor are the namespaces that a proxy asks in others' names."""
    listed = {"store": "kubernetes", "operation": "list", "api_operation": "list", "mount_type": "secrets"}
    pages = [f"/api/v1/secrets?limit=500&continue={n}" for n in range(4)]
    rows = [{**listed, "uid": f"u{n}", "path": path} for n, path in enumerate(pages)]
    masked = {**listed, "flags": ["as=ann", "impersonated"]}
    rows += [{**masked, "uid": f"v{n}", "path": f"/api/v1/namespaces/n{n}/secrets"} for n in range(4)]
    found = invariant.create(invariant.Config()).inspect(window(rows))
    assert sorted(found["cause"]) == ["cluster_secrets_listed", "secrets_as_another"]


def test_a_rule_can_be_switched_off() -> None:
    """`off` silences a rule; a name that is no rule's is refused."""
    config = msgspec.convert({"off": ["audit_disabled"]}, invariant.Config)
    rows = [{"path": "sys/audit/file", "api_operation": "delete", "operation": "audit_control"}]
    assert len(invariant.create(invariant.Config()).inspect(window(rows))) == 1
    assert len(invariant.create(config).inspect(window(rows))) == 0
    with pytest.raises(msgspec.ValidationError, match="no such rule: audit_disable"):
        msgspec.convert({"off": ["audit_disable"]}, invariant.Config)


def test_tokens_in_old_paths_are_not_shown() -> None:
    """A path that carries a token is told without it."""
    rows = [
        {"path": "auth/token/revoke-orphan/5b7a0f7e-61a1-49d8-b8f8-0cbb62ff9f4c", "principal": "root",
         "principal_type": "root", "api_operation": "update"},
    ]  # fmt: skip
    findings = invariant.create(invariant.Config()).inspect(window(rows))
    assert findings["cause"].to_list() == ["root_use"]
    assert "5b7a0f7e" not in "".join(findings.select("message", "observed", "next_step").row(0))


def test_null_columns_break_nothing() -> None:
    """A row with nothing but a uid, an outcome and a time is no rule's business."""
    frame = conform(pl.DataFrame({"uid": ["u"], "outcome": ["success"]}), OPERATION)
    nothing = Window(0, 1, frame, empty(INTEGRITY), None, closed=True)
    assert invariant.create(invariant.Config()).inspect(nothing).is_empty()


def test_folded_memory_is_bounded() -> None:
    """Folded hits of past days are forgotten, and at most `remembered` are kept."""
    config = msgspec.convert({"remembered": 10}, invariant.Config)
    detector = invariant.create(config)
    path = "auth/approle/role/r{}/secret-id"
    for day in range(6):
        rows = [
            {"uid": f"{day}-{i}", "path": path.format(i), "api_operation": "update", "time": day * 86_400_000_000,
             "complete_time": day * 86_400_000_000}
            for i in range(30)
        ]  # fmt: skip
        assert len(detector.inspect(window(rows))) == 30
        assert len(detector.snapshot()["told"]) <= 10


def test_every_verdict_is_told_or_known_to_be_fine() -> None:
    """No verdict is forgotten by the table of words."""
    fine = {"ok", "late", "redacted"}
    assert {words.verdict for words in VERDICTS} == set(ALL_VERDICTS) - fine
    assert all(words.severity in SEVERITIES for words in VERDICTS)


def real_rows() -> pl.DataFrame:
    """Responses of a captured log, as far as rules look at them."""
    root = Path(os.environ.get("KEYTRAIL_SHARED", Path(__file__).parents[4] / "shared"))
    logs = [root / "real_logs" / "openbao-live" / name for name in ("main.log.1", "main.log")]
    if not all(log.exists() for log in logs):
        pytest.skip("the captured logs are not here: set KEYTRAIL_SHARED")
    rows = []
    for number, line in enumerate(line for log in logs for line in log.read_bytes().splitlines()):
        try:
            entry = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        if not isinstance(entry, dict) or entry.get("type") != "response":
            continue
        request, auth = entry.get("request") or {}, entry.get("auth") or {}
        rows.append(
            {
                "uid": str(number),
                "time": number,
                "path": request.get("path"),
                "api_operation": request.get("operation"),
                "mount": request.get("mount_point"),
                "mount_type": request.get("mount_type"),
                "outcome": "denied" if entry.get("error") else "success",
                "error": entry.get("error"),
                "policies": auth.get("policies") or [],
                "principal": auth.get("display_name") or "anonymous",
                "principal_type": "root" if "root" in (auth.get("policies") or []) else "service",
                "token_ttl": auth.get("token_ttl"),
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(store=pl.lit("vault"), namespace=pl.lit(""))


def test_real_log_is_told_as_it_was() -> None:
    """On a captured log the rules tell of the administration in it, and of no read, renewal or log-in."""
    rows = real_rows()
    detector = invariant.create(invariant.Config())
    findings = detector.inspect(Window(0, 1, conform(rows, OPERATION), empty(INTEGRITY), None, closed=True))
    causes = set(findings["cause"])
    assert {"audit_enabled", "audit_headers", "policy_written", "auth_enabled", "mount_enabled", "root_use"} <= causes
    plain = rows.filter(
        (pl.col("principal_type") != "root")
        & pl.col("path").str.contains(r"^kv/data/|^old/|renew-self$|lookup-self$|/login")
        & pl.col("api_operation").is_in(["read", "update", "list"])
    )
    assert len(plain) > 100
    quiet = invariant.create(invariant.Config())
    assert quiet.inspect(Window(0, 1, conform(plain, OPERATION), empty(INTEGRITY), None, closed=True)).is_empty()
