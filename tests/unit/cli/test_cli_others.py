"""`keytrail detectors`, `simulate` and `check`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pipeline.core import plugins
from tests.command import keytrail


def test_the_suite_is_listed() -> None:
    """Every detector folder, with what it looks for."""
    rows = keytrail("detectors", "list", "--format", "json").rows
    assert [row["name"] for row in rows] == list(plugins.kinds("detectors"))
    assert all(row["title"] and row["summary"] and row["version"] for row in rows)


@pytest.mark.parametrize("name", plugins.kinds("detectors"))
def test_a_detector_explains_itself(name: str) -> None:
    """The page is the folder's README, with its limits and its runbook."""
    page = keytrail("detectors", "explain", name).stdout
    assert page.startswith(f"# {name}")
    assert "**Runbook.**" in page


def test_cases_are_run() -> None:
    """One row a case, all as they should be."""
    rows = keytrail("detectors", "test", "silence", "--format", "json").rows
    assert {row["detector"] for row in rows} == {"silence"}
    assert {row["case"].split("_")[0] for row in rows} == {"fires", "quiet"}
    assert all(row["ok"] for row in rows)


def test_a_detector_whose_extra_is_not_installed_is_told_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an installation without extras: its row says what to install, the others are played."""
    for name in [name for name in sys.modules if name.split(".")[0] == "sigma" or name.startswith("detectors.sigma.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sigma", None)
    done = keytrail("detectors", "test", "sigma", "silence", "--format", "json")
    assert done.code == 0, done.error
    told = {row["detector"]: row for row in done.rows}
    assert told["sigma"]["ok"] is None
    assert "keytrail[sigma]" in told["sigma"]["differences"]
    assert told["silence"]["ok"] is True


@pytest.mark.parametrize("words", [["explain", "nonsense"], ["test", "nonsense"]])
def test_an_unknown_detector_is_refused(words: list[str]) -> None:
    """The ones there are, are named."""
    done = keytrail("detectors", *words)
    assert done.code == 2
    assert "invariant" in done.error


SIMULATE = ("simulate", "--days", "1", "--rate", "0.2", "--preset", "xs")


def contents(folder: Path) -> dict[str, bytes]:
    """Name and bytes of every file."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two runs of one scenario are equal, another seed is another stream; stdout names what was written."""
    done = keytrail(*SIMULATE, "--seed", "7", "--attack", "snapshot:easy", "--out", tmp_path / "one")
    keytrail(*SIMULATE, "--seed", "7", "--attack", "snapshot:easy", "--out", tmp_path / "two")
    keytrail(*SIMULATE, "--seed", "8", "--attack", "snapshot:easy", "--out", tmp_path / "three")
    one, two, three = (contents(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert one["audit.log"] != three["audit.log"]
    assert {Path(line).name for line in done.stdout.splitlines()} == set(one)


def test_labels_are_one_incident_a_line(tmp_path: Path) -> None:
    """What, how hard, by whom, on what, when, and in which requests."""
    keytrail(*SIMULATE, "--attack", "snapshot", "--out", tmp_path)
    (label,) = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert label["attack"] == "snapshot"
    assert {"id", "difficulty", "principal", "secrets", "from", "to"} <= set(label)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--attack", "nonsense"], "snapshot"),
        (["--attack", "snapshot:extreme"], "hard"),
        (["--store", "nonsense"], "openbao"),
        (["--preset", "xxl"], "xs"),
        (["--rate", "0"], "rate"),
        (["--rate", "nan"], "rate"),
        (["--rate", "inf"], "rate"),
        (["--days", "0"], ""),
    ],
)
def test_a_scenario_that_is_none_is_refused(tmp_path: Path, words: list[str], told: str) -> None:
    """The message names what is allowed, and nothing is written."""
    done = keytrail("simulate", *words, "--out", tmp_path / "out")
    assert done.code == 2
    assert told in done.error
    assert not (tmp_path / "out").exists()


def checked(tmp_path: Path, text: str) -> dict[str, tuple[str, str]]:
    """Key to value and origin, of a config."""
    (tmp_path / "keytrail.toml").write_text(text)
    rows = keytrail("check", "--config", tmp_path / "keytrail.toml", "--format", "json").rows
    return {row["key"]: (row["value"], row["from"]) for row in rows}


def test_check_tells_where_each_value_came_from(tmp_path: Path) -> None:
    """A value of the file names the file, all others are defaults; every table is there."""
    found = checked(tmp_path, "[alerts]\nper_day = 3\n[detectors.breadth]\nleast = 20\n")
    origin = str(tmp_path / "keytrail.toml")
    assert found["alerts.per_day"][1] == origin
    assert found["detectors.breadth.least"] == ("20", origin)
    assert found["detectors.breadth.windows"][1] == "default"
    tables = {key.split(".")[0] for key in found}
    assert {"line", "detection", "detectors", "sources", "decoders", "enrich", "baselines", "slis", "alerts", "outbox",
            "store", "canary", "ledger", "integrity", "probe", "scan"} == tables  # fmt: skip


def test_an_evaluation_is_refused_before_it_begins(tmp_path: Path) -> None:
    """A number of incidents that is none, and a folder that cannot be written, are told at once, not after hours."""
    done = keytrail("evaluate", "--incidents", "nan")
    assert done.code == 2
    assert "incidents a day" in done.error
    (tmp_path / "out").write_text("")
    done = keytrail("evaluate", "--out", tmp_path / "out")
    assert done.code == 2
    assert "--out" in done.error


@pytest.mark.parametrize("words", [("--timeout", "inf"), ("--interval", "1e20")])
def test_a_probe_waits_no_longer_than_a_day(words: tuple[str, str]) -> None:
    """No sleep can be as long."""
    done = keytrail("probe", *words)
    assert done.code == 2
    assert "interval and timeout" in done.error


def test_check_needs_no_file() -> None:
    """Without a config every value is a default."""
    rows = keytrail("check", "--format", "json").rows
    assert {row["from"] for row in rows} == {"default"}


def test_check_shows_a_secrets_place_and_not_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink's secret is printed as the reference that the file has."""
    monkeypatch.setenv("HOOK_SECRET", "whsec_c2VjcmV0c2VjcmV0c2VjcmV0")
    text = '[sinks.siem]\nkind = "webhook"\nurl = "https://siem.example/hook"\nsecret = { env = "HOOK_SECRET" }\n'
    found = checked(tmp_path, text)
    assert "HOOK_SECRET" in found["sinks.siem.secret"][0]
    assert "whsec" not in str(found)


SPLUNK = '[sinks.siem]\nkind = "splunk_hec"\nurl = "https://siem.example"\ntoken = { env = "HEC_TOKEN" }\n'
ELASTIC = '[sinks.siem]\nkind = "elastic"\nurl = "https://siem.example"\napi_key = { env = "HEC_TOKEN" }\n'
WEBHOOK = '[sinks.siem]\nkind = "webhook"\nurl = "https://siem.example"\nsecret = { env = "HEC_TOKEN" }\n'


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (SPLUNK, "hush\nhush"),
        (SPLUNK, "hüsh"),
        (ELASTIC, "hush\rhush"),
        (WEBHOOK, "whsec_hüsh"),
        (WEBHOOK, "h\udce9sh"),
    ],
)
def test_a_secret_that_no_sink_could_use_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, secret: str
) -> None:
    """By `check` and by `run` before it reads, instead of failing at every delivery; it is not told."""
    monkeypatch.setenv("HEC_TOKEN", secret)
    (tmp_path / "keytrail.toml").write_text(text)
    (tmp_path / "audit.log").write_text("")
    run = ("run", tmp_path / "audit.log", "--lake", tmp_path / "lake")
    for words in (("check",), run):
        done = keytrail(*words, "--config", tmp_path / "keytrail.toml")
        assert done.code == 2, done
        assert "[sinks.siem]" in done.error
        assert "h\udce9sh" not in done.error
        assert not any(part in done.both + done.error for part in ("hush", "hüsh"))


def test_check_tells_of_secrets_that_are_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config may be checked where its secrets are not: that is said, and no error."""
    monkeypatch.delenv("HEC_TOKEN", raising=False)
    (tmp_path / "keytrail.toml").write_text(SPLUNK)
    done = keytrail("check", "--config", tmp_path / "keytrail.toml")
    assert done.code == 0, done.error
    assert "[sinks.siem] the environment has no variable HEC_TOKEN" in done.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[alert]\n", ["[alert]", "'alerts'"]),
        ("[alerts]\nper_dya = 3\n", ["[alerts]", "'per_dya'", "'per_day'"]),
        ('[alerts]\nper_day = "three"\n', ["[alerts]", "per_day"]),
        ("[outbox]\nretry_first_seconds = -1\n", ["[outbox]"]),
        ("[line]\nbatch_entries = 0\n", ["[line]", "batch_entries", ">= 1"]),
        ("[line]\ndisorder_seconds = nan\n", ["[line]", "disorder_seconds"]),
        ("[line]\nidle_seconds = -1\n", ["[line]", "idle_seconds", ">= 0"]),
        ("[detection]\nwindow_seconds = 0\n", ["[detection]", "window_seconds", ">= 60"]),
        ("[detection]\nlook_seconds = -1\n", ["[detection]", "look_seconds", ">= 1"]),
        ('[detection]\ndisabled = ["bredth"]\n', ["'bredth'", "breadth"]),
        ("[canary]\nsilence_seconds = inf\n", ["[canary]", "silence_seconds"]),
        ("[baselines]\nhalf_life_days = inf\n", ["[baselines]", "half_life_days"]),
        ("[baselines]\nmax_keys = 9223372036854775807\n", ["[baselines]", "max_keys"]),
        ("[detectors.rate]\nsettle_hours = -1\n", ["[detectors.rate]", "settle_hours", "from 0 to 876,600"]),
        ("[detectors.rate]\nleast = 100000001\n", ["[detectors.rate]", "least", "from 0 to 100,000,000"]),
        ("[detectors.dormancy]\nidle_days = inf\n", ["[detectors.dormancy]", "idle_days"]),
        ("[detectors.isolation]\ndeviation = nan\n", ["[detectors.isolation]", "deviation"]),
        ("[detectors.isolation]\nrefit_hours = 0\n", ["[detectors.isolation]", "refit_hours"]),
        ("[detectors.isolation]\nsample = 0\n", ["[detectors.isolation]", "sample"]),
        ("[detectors.isolation]\nleast_sample = 0\n", ["[detectors.isolation]", "least_sample"]),
        ("[detectors.isolation]\ntrees = 100000000\n", ["[detectors.isolation]", "trees"]),
        ("[detectors.sli_burn]\nperiod_days = 0\n", ["[detectors.sli_burn]", "period_days"]),
        ("[detectors.sigma]\ncorrelated = 0\n", ["[detectors.sigma]", "correlated"]),
        ("[detectors.sli_burn]\nkeys = 0\n", ["[detectors.sli_burn]", "keys"]),
        ("[probe]\ninterval_seconds = -1\n", ["[probe]", "interval_seconds"]),
        ("[probe]\ntimeout_seconds = nan\n", ["[probe]", "timeout_seconds"]),
        ("[ledger]\nsigner_seconds = inf\n", ["[ledger]", "signer_seconds"]),
        ("[ledger.anchor]\nseconds = 1e9\n", ["[ledger]", "anchor.seconds", "2,000,000"]),
        ("[store]\nretention_days = 1000000\n", ["[store]", "retention_days", "36,525"]),
        ("[sources.kafka]\nstall_seconds = inf\n", ["[sources.kafka]", "stall_seconds"]),
        ("[sources.kafka]\nfetch_max_bytes = 2147483648\n", ["[sources.kafka]", "fetch_max_bytes"]),
        ("[decoders.vault]\nthreads = 0\n", ["[decoders.vault]", "threads"]),
        ("[decoders.vault]\nthreads = 1000000\n", ["[decoders.vault]", "threads"]),
        ('[sinks.a]\nkind = "alertmanager"\nurl = "https://a.example"\ntimeout_seconds = nan\n', ["timeout_seconds"]),
        ("[detectors.bredth]\nleast = 3\n", ["[detectors.bredth]", "breadth"]),
        ("[detectors.breadth]\nper_day = 0\n", ["[detectors.breadth]", "per_day"]),
        ("[alerts]\nper_day = inf\n", ["[alerts]", "per_day"]),
        ("[sources.file]\n", ["[sources.file]", "file_tail"]),
        ("[sinks.siem]\n", ["[sinks.siem]", "kind", "splunk_hec"]),
        ('[sinks.siem]\nkind = "splunk"\n', ["[sinks.siem]", "'splunk'", "splunk_hec"]),
        ('[sinks.siem]\nkind = "webhook"\nurll = "https://x.example"\n', ["[sinks.siem]", "'urll'", "'url'"]),
        ("[alerts\n", ["not valid TOML", "line 1"]),
        ("[store]\ncompact_rows = 9223372036854775808\n", ["not valid TOML", "64 bits"]),
        ("alerts = 3\n", ["[alerts]"]),
        ("sinks = 3\n", ["sinks"]),
    ],
)
def test_a_bad_config_is_explained(tmp_path: Path, text: str, told: list[str]) -> None:
    """Exit 2, with file, table, key and what is allowed; `run` refuses it before it reads anything."""
    path = tmp_path / "keytrail.toml"
    path.write_text(text)
    done = keytrail("check", "--config", path)
    assert done.code == 2
    for word in (str(path), *told):
        assert word in done.error


def test_check_tells_what_hides_nothing(tmp_path: Path) -> None:
    """A suppression that would not be applied is told by `check`, not first by the run."""
    path = tmp_path / "keytrail.toml"
    path.write_text('[[alerts.suppressions]]\nreason = "noise"\nprincipal = "approle/x"\nexpires = "next week"\n')
    done = keytrail("check", "--config", path)
    assert done.code == 2
    assert "suppression 1 is not applied: expires is not an RFC 3339 time" in done.stderr


RULE = """
title: Seals
logsource: {product: vault, service: audit}
detection:
  sel: {request.operation: %s, request.path: sys/seal}
  condition: sel
"""


def test_check_names_rules_that_can_never_match(tmp_path: Path) -> None:
    """A Sigma rule that can never match is an error of the config, told with the file, the rule and the reason."""
    (tmp_path / "rule.yml").write_text(RULE % "write")
    (tmp_path / "keytrail.toml").write_text(f'[detectors.sigma]\nrules = ["{tmp_path}/rule.yml", "pack:sequences"]\n')
    done = keytrail("check", "--config", tmp_path / "keytrail.toml")
    assert done.code == 2
    assert "rule.yml: Seals: request.operation is never write" in done.stderr
    (tmp_path / "rule.yml").write_text(RULE % "update")
    assert keytrail("check", "--config", tmp_path / "keytrail.toml").code == 0


def test_a_run_goes_on_without_them_and_says_so(tmp_path: Path) -> None:
    """A run with a rule that cannot be used reads all the same, and points to `check`."""
    (tmp_path / "rule.yml").write_text(RULE % "write")
    (tmp_path / "keytrail.toml").write_text(f'[detectors.sigma]\nrules = ["{tmp_path}/rule.yml"]\n')
    log = tmp_path / "audit.log"
    log.write_text("")
    done = keytrail("run", log, "--config", tmp_path / "keytrail.toml", "--lake", tmp_path / "lake")
    assert done.code == 0, done.stderr
    assert "sigma: 1 rules are left out; keytrail check says why" in done.stderr
