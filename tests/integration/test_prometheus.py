"""A real Prometheus: it takes the rules, every expression of the dashboards, and what a run exports."""

from __future__ import annotations

import gzip
import http
import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.components import from_debian
from tests.dashboards import FOLDER, asked, expressions
from tests.integration.kafka.broker import free_port
from tests.lakes import SAMPLES
from tests.processes import start

pytestmark = pytest.mark.integration

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: keytrail
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
# Panels that must have something to show of a quiet day: the others wait for what does not happen in it.
SHOWN = (
    "executive: Reads that succeed (M1)", "executive: Error budget left (M1)", "executive: Operations an hour",
    "executive: Refused", "oncall: Reads that succeed", "oncall: Latency", "oncall: Burn rate, last hour",
    "oncall: Refused a second, by mount", "oncall: Age of the newest event", "debug: Latency, all of it",
    "debug: Entries a second", "debug: One commit", "debug: Memory", "debug: Up for", "debug: Version",
)  # fmt: skip


@pytest.fixture(scope="module")
def programs() -> Path:
    """Prometheus and promtool of Debian, unpacked."""
    return from_debian("prometheus", "prometheus") / "usr" / "bin"


def promtool(programs: Path, *words: str | Path) -> None:
    """It has nothing to say against something."""
    done = subprocess.run([programs / "promtool", *words], capture_output=True, text=True, check=False, cwd=FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_expression_is_promql(programs: Path, tmp_path: Path) -> None:
    """Those of panels, as Grafana sends them, and those of rules are parsed."""
    plain = [(where, asked(expression)) for where, expression in expressions() if "label_values(" not in expression]
    records = [{"record": f"asked:{number}", "expr": expression} for number, (_, expression) in enumerate(plain)]
    whole = tmp_path / "panels.yml"
    whole.write_text(json.dumps({"groups": [{"name": "panels", "rules": records}]}))  # JSON is YAML
    promtool(programs, "check", "rules", "--lint=none", whole)
    promtool(programs, "check", "rules", "--lint-fatal", "rules.yml")
    whole.write_text(whole.read_text().replace("sum by", "sum of", 1))
    with pytest.raises(AssertionError):
        promtool(programs, "check", "rules", "--lint=none", whole)


def test_alerts_fire_and_stay_quiet(programs: Path) -> None:
    """Every case of rules_test.yml."""
    promtool(programs, "test", "rules", "rules_test.yml")


def until(wanted: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for something that must come."""
    deadline = time.monotonic() + seconds
    while not (found := wanted()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.2)
    return found


def ask(port: int, path: str, **parameters: str) -> Any:
    """What Prometheus answers; None before it does."""
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.SERVICE_UNAVAILABLE:  # it is starting
            return None
        pytest.fail(f"{parameters}: {error.read().decode()}")
    except OSError:
        return None


@pytest.mark.slow
def test_a_run_fills_the_dashboards(programs: Path, tmp_path: Path) -> None:
    """Scraped while it follows a log, every query is answered, what must be there is, and no rule fails."""
    here, there, log = free_port(), free_port(), tmp_path / "audit.log"
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG.format(rules=json.dumps(str(FOLDER / "rules.yml")), port=here))
    story = gzip.decompress((SAMPLES / "vault" / "quiet_days" / "audit.log.1.gz").read_bytes())
    lines = story.splitlines(keepends=True)
    log.touch()
    run = start(
        "run", log, "--follow", "--lake", tmp_path / "lake", "--signing-key", tmp_path / "signing.key",
        "--metrics-port", str(here), home=tmp_path, stdout=None, stderr=None,
    )  # fmt: skip
    words = [
        "--config.file", config, "--storage.tsdb.path", tmp_path / "tsdb", "--web.listen-address", f"127.0.0.1:{there}",
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as told:
        prometheus = subprocess.Popen([programs / "prometheus", *map(str, words)], stdout=told, stderr=told)
    try:
        before = 0.0
        for start_at in range(0, 3_000, 1_000):  # scraped in between, so that there is something to grow
            with log.open("ab") as file:
                file.writelines(lines[start_at : start_at + 1_000])
            before = until(lambda known=before: counted(there) > known and counted(there))
        until(lambda: not empty(there, SHOWN))
        empty(there, (where for where, _ in queries()))  # whatever they find, none of them fails
        groups = ask(there, "rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert len(rules) == sum(": " not in where and "label_values(" not in e for where, e in expressions())
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}  # the latter had no turn yet
    finally:
        for process in (run, prometheus):
            process.terminate()
            process.wait(60)


def queries() -> list[tuple[str, str]]:
    """The panels' expressions."""
    return [(where, expression) for where, expression in expressions() if ": " in where]


def empty(port: int, places: Iterable[str]) -> list[str]:
    """The panels of these that find nothing."""
    wanted = set(places)
    found = [(where, ask(port, "query", query=asked(e))["result"]) for where, e in queries() if where in wanted]
    assert {where for where, _ in found} == wanted
    return [where for where, result in found if not result]


def counted(port: int) -> float:
    """What SLIs have counted, as the newest scrape tells."""
    found = (ask(port, "query", query="sum(keytrail_sli_events_total)") or {}).get("result")
    return float(found[0]["value"][1]) if found else 0.0
