"""`keytrail run` and the shape of the command line: summary, notes, exit codes, help."""

from __future__ import annotations

import io
import json
import shutil
import signal
import time
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from pipeline.cli import show
from tests.command import keytrail
from tests.lakes import SAMPLES
from tests.processes import keytrail as process
from tests.processes import start

TORN = SAMPLES / "vault" / "torn_file"
KEYS = "entries operations rejected integrity slis alerts seconds entries_per_second findings"
COMMANDS = (
    "run judge query alerts outbox verify proof ledger report investigate inventory policy scan detectors backtest"
    " simulate evaluate probe check"
)
WHOLE = {
    "entries": 10, "operations": 5, "rejected": {}, "integrity": {}, "alerts": {}, "seconds": 1.0,
    "entries_per_second": 10, "slis": {}, "findings": {"folded": 0, "held": 0, "suppressed": 0},
}  # fmt: skip


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A log in which nothing is broken."""
    log = tmp_path / "whole.log"
    log.write_bytes(b"".join((TORN / "audit.log").read_bytes().splitlines(keepends=True)[:20]))
    return log


def summarised(result: dict[str, object], lake: str = "lake") -> str:
    """What a person reads at the end of a run."""
    out = io.StringIO()
    with redirect_stdout(out):
        show.summary(result, Path(lake), as_json=False)
    return out.getvalue()


def test_help_has_the_commands_in_order() -> None:
    """The order is that of the documentation; nothing is cut short."""
    lines = keytrail("--help").stdout.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in lines] == COMMANDS.split()
    assert not [line for line in lines if line.endswith("...")]


PARTS = (
    "outbox refused",
    "outbox replay",
    "ledger rotate",
    "ledger redact",
    "ledger hold",
    "ledger release",
    "ledger records",
    "ledger purge",
    "verify proof",
    "verify cloudtrail",
    "detectors list",
    "detectors explain",
    "detectors test",
)


@pytest.mark.parametrize("command", [*COMMANDS.split(), *PARTS])
def test_every_option_says_what_it_does(command: str) -> None:
    """Each command has help, and each of its options and subcommands a word about it."""
    text = keytrail(*command.split(), "--help").stdout
    blocks = text.split("Options:\n")[1].replace("\n                ", " ").splitlines()
    assert all(len(line.split("  ")) > 1 for line in blocks if line.strip().startswith("--"))
    assert not [line for line in text.splitlines()[1:] if line.endswith("...") and "..]" not in line]


def test_the_version_is_told() -> None:
    """`--version` names the program and its version on stdout."""
    assert keytrail("--version").stdout.startswith("keytrail ")


def test_stdout_is_one_object_and_notes_are_on_stderr(tmp_path: Path) -> None:
    """A whole process: the JSON summary alone on stdout, what was left out and the new key on stderr, exit 10."""
    done = process("run", TORN, "--lake", tmp_path / "lake", "--format", "json", home=tmp_path)
    assert done.returncode == 10
    (line,) = done.stdout.splitlines()
    assert list(json.loads(line)) == KEYS.split()
    assert "signing key" in done.stderr
    assert "4 files do not look like logs" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_people_read_a_summary_and_what_to_do_next(whole: Path, tmp_path: Path) -> None:
    """Every line of the summary is there, hints name the lake, and a clean run exits 0."""
    lake = tmp_path / "a lake"
    done = keytrail("run", whole, "--lake", lake)
    assert done.code == 0
    assert "nothing missing" in done.stdout
    margin = [line[:12].strip() for line in done.stdout.splitlines()]
    assert margin == ["read", "rejected", "integrity", "M1", "M2", "M4", "M9", "M10", "alerts", "", "next", "", "", ""]
    assert done.stdout.count(f"--lake '{lake}'") == 3


def test_a_second_run_says_that_nothing_is_new(whole: Path, tmp_path: Path) -> None:
    """Only what is new is read, and figures of nothing are not told."""
    ask = ("run", whole, "--lake", tmp_path / "lake")
    keytrail(*ask)
    done = keytrail(*ask)
    assert done.code == 0
    assert "nothing new" in done.stdout
    assert "M2" not in done.stdout


def test_exit_severity_grades_the_alerts(whole: Path, tmp_path: Path) -> None:
    """Without the option alerts change no exit code; with it the highest one does; broken integrity goes first."""
    assert keytrail("run", whole, "--lake", tmp_path / "one", "--exit-severity").code == 0
    log = tmp_path / "snapshot.log"
    lines = (TORN / "audit.log").read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(line for line in lines if b"raft/snapshot" in line))
    assert keytrail("run", log, "--lake", tmp_path / "two").code == 0
    assert keytrail("run", log, "--lake", tmp_path / "three", "--exit-severity").code == 14
    assert keytrail("run", TORN, "--lake", tmp_path / "four", "--exit-severity").code == 10


def test_what_is_no_audit_log_is_said(tmp_path: Path) -> None:
    """A file of which no line can be read is kept as rejected, and the summary does not call it whole."""
    (tmp_path / "notes.txt").write_text("dear diary\nnothing happened\n")
    done = keytrail("run", tmp_path / "notes.txt", "--lake", tmp_path / "lake")
    assert "not one line could be read" in done.stdout
    assert "nothing missing" not in done.stdout
    assert done.code == 0


def test_a_run_that_follows_waits_for_the_first_log(whole: Path, tmp_path: Path) -> None:
    """An empty folder is no error then: it is said, and what comes is read."""
    (logs := tmp_path / "logs").mkdir()
    running = start("run", logs, "--follow", "--lake", tmp_path / "lake", "--format", "json", home=tmp_path)
    try:
        assert running.stderr is not None
        said = running.stderr.readline()
        assert f"nothing to read in {logs}" in said
        assert "waiting for the first log" in said
        shutil.copy(whole, logs / "audit.log")
        until = time.monotonic() + 60
        while "20" not in keytrail("query", "SELECT count(*) FROM events", "--lake", tmp_path / "lake").stdout:
            assert time.monotonic() < until
            time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=60)
        assert running.returncode == 0
        assert json.loads(out)["entries"] == 20
    finally:
        running.kill()


def test_an_exit_code_of_broken_integrity_is_always_explained(tmp_path: Path) -> None:
    """Also where not one line could be read: what is torn and the alerts about it are told with code 10."""
    (tmp_path / "audit.log").write_bytes(b'{"time":"2026-03-02T08:00:00Z","type":"request","request":{"id":"x\n')
    done = keytrail("run", tmp_path / "audit.log", "--lake", tmp_path / "lake")
    assert done.code == 10
    assert "not one line could be read" in done.stdout
    assert "BROKEN: 1 torn (exit code 10)" in done.stdout
    assert "alerts      1 low" in done.stdout


def test_one_file_left_out_is_told_as_one(tmp_path: Path) -> None:
    """The note about what a folder holds besides logs is right for a single file, too."""
    logs = tmp_path / "logs"
    logs.mkdir()
    shutil.copy(TORN / "audit.log", logs)
    (logs / "notes.md").write_text("dear diary\n")
    done = keytrail("run", logs, "--lake", tmp_path / "lake")
    assert "1 file does not look like a log and was left out (" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 3, "give a PATH"),
        (["nowhere"], 3, "nowhere"),
        (["empty"], 3, "empty"),
        (["-", "whole.log"], 2, "standard input"),
        (["--kafka", "localhost:9092", "whole.log"], 2, "no PATH"),
        (["--topic", "audit"], 2, "--kafka"),
        (["--listen", "tcp://:9090", "whole.log"], 2, "neither PATH"),
        (["--listen", "tcp://0.0.0.0:9090"], 2, "public"),
        (["--listen", ","], 2, "an address"),
        (["--listen", "vault:9090"], 2, "tcp://127.0.0.1:9090"),
        (["--kafka", "localhost:9092"], 2, "--topic"),
        (["whole.log", "--input-format", "vualt"], 2, "vault"),
        (["whole.log", "--config", "none.toml"], 2, "none.toml"),
        (["whole.log", "--format", "csv"], 2, ""),
        (["whole.log", "--batch-entries", "0"], 2, ""),
        (["whole.log", "--max-memory", "1000"], 2, ""),
        (["whole.log", "--metrics-port", "65536"], 2, ""),
        (["whole.log", "--metrics-port", "-1"], 2, ""),
        (["whole.log", "--worker", "../up"], 2, ""),
        (["whole.log", "--signing-key", "lake/key"], 2, "must not lie in the lake"),
        (["whole.log", "--counters", "none.prom"], 2, "none.prom"),
    ],
)
def test_what_cannot_be_run_is_refused(
    whole: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, told: str
) -> None:
    """Usage and config are 2, no input is 3, and the message names what is wrong."""
    monkeypatch.chdir(whole.parent)
    Path("empty").mkdir()
    done = keytrail("run", *words)
    assert done.code == code, done
    assert told in done.error


def test_a_key_of_another_lake_is_refused(small_lake: Path, whole: Path, tmp_path: Path) -> None:
    """A ledger goes on only under its own key; nothing is written."""
    shutil.copytree(small_lake, tmp_path / "lake")
    done = keytrail("run", whole, "--lake", tmp_path / "lake", "--signing-key", tmp_path / "new.key")
    assert done.code == 2
    assert "belongs to" in done.error


def test_max_memory_changes_no_result(whole: Path, tmp_path: Path) -> None:
    """A bound on memory and a batch of one give the same figures."""
    plain = keytrail("run", whole, "--lake", tmp_path / "one", "--format", "json").rows[0]
    small = keytrail("run", whole, "--lake", tmp_path / "two", "--format", "json", "--max-memory", str(1 << 28),
                     "--batch-entries", "1").rows[0]  # fmt: skip
    unlike = {"seconds", "entries_per_second"}
    assert {k: v for k, v in plain.items() if k not in unlike} == {k: v for k, v in small.items() if k not in unlike}


@pytest.mark.parametrize(
    ("integrity", "told"),
    [
        ({}, "nothing missing"),
        ({"device_change": 1}, "1 device_change\n"),
        ({"torn": 2, "device_change": 1}, "BROKEN: 2 torn (exit code 10); also 1 device_change\n"),
    ],
)
def test_integrity_is_told_by_what_it_means(integrity: dict[str, int], told: str) -> None:
    """Only verdicts that break the record are called so."""
    assert told in summarised({**WHOLE, "integrity": integrity})


@pytest.mark.parametrize(
    ("findings", "alerts", "told"),
    [
        ((0, 0, 0), {}, ""),
        ((1, 0, 0), {"low": 1}, "findings    1 folded into 1 alert: 0% fewer to look at\n"),
        ((60, 40, 7), {"low": 2, "high": 3},
         "60 folded into 5 alerts, 40 held as not worth one, 7 suppressed by the configuration: 95% fewer"),
        ((0, 4, 0), {}, "0 folded into 0 alerts, 4 held as not worth one: 100% fewer"),
        ((0, 0, 0), {"low": 1}, ""),
    ],
)  # fmt: skip
def test_what_grouping_saved_is_told(findings: tuple[int, ...], alerts: dict[str, int], told: str) -> None:
    """Findings against alerts, with what was held and suppressed; nothing where nothing was found."""
    counts = dict(zip(("folded", "held", "suppressed"), findings, strict=True))
    text = summarised({**WHOLE, "alerts": alerts, "findings": counts})
    assert told in text
    assert ("findings" in text) == bool(told)


def test_objectives_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Met, not met, and nothing to measure."""
    slis = {
        "M1": {"good": 9, "total": 10, "value": 0.9, "objective": 0.999, "met": False},
        "M2": {"good": 10, "total": 10, "value": 1.0, "objective": 200.0, "met": True},
        "M4": {"good": 0, "total": 0, "value": None, "objective": None, "met": None},
        "M3": {"good": 1, "total": 2, "value": 0.5, "objective": 0.99, "met": False},
        "M5": {"good": 7, "total": 7, "value": 0, "objective": 0.0, "met": True},
        "M8": {"value": 4_980.0, "total": 1, "objective": 1800.0, "met": False, "note": "1 of 1 still running"},
        "M9": {"good": 0, "total": 7, "value": 1400.0, "objective": None, "met": None},
        "M10": {"good": 9, "total": 10, "value": 0.9, "objective": 0.95, "estimate": True, "met": False},
    }
    text = summarised({**WHOLE, "slis": slis})
    assert "M1          90.000% of 10 reads succeeded; objective 99.9%: NOT met\n" in text
    assert "M2          100.00% of 10 operations answered within 200 ms; objective 95%: met\n" in text
    assert "M4          nothing to measure\n" in text
    assert "M3          50.00% of 2 rotations done; objective 99%: NOT met\n" in text
    assert "M5          0 of 7 reads were of secrets past their lifetime; objective 0: met\n" in text
    told = (
        "M8          83 minutes until what leaked was of no more use, 1 of 1 still running; objective 30 min: NOT met\n"
    )
    assert told in text
    assert "M9          1,400.0 operations a minute\n" in text
    assert "M10         90.00% of 10 reads needed, no cache had them (estimate); objective 95%: NOT met\n" in text
    slis["M10"]["estimate"] = False
    told = "M10         90.00% of 10 lookups answered by a cache; objective 95%: NOT met\n"
    assert told in summarised({**WHOLE, "slis": slis})


def test_the_default_lake_is_not_named_in_hints() -> None:
    """A hint is as short as it can be, and quoted where it must be."""
    assert "--lake" not in summarised(WHOLE)
    assert "--lake 'my lake'" in summarised(WHOLE, "my lake")


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets colours, unless it or its user wants none."""
    broken = {**WHOLE, "integrity": {"gap": 1}}
    assert "\x1b" not in summarised(broken)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[1;31mBROKEN" in summarised(broken)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in summarised(broken)


def test_notes_cannot_act(capsys: pytest.CaptureFixture[str]) -> None:
    """A path of the input that holds an escape sequence is spelled out."""
    show.note("no such file: \x1b[2Jx\u202e\nsecond line")
    assert capsys.readouterr().err == "no such file: <U+001B>[2Jx<U+202E>\nsecond line\n"
