"""`keytrail scan`: what it prints, where it exits, and what it leaves in a lake."""

from __future__ import annotations

import gzip
import json
import os
import stat
from pathlib import Path

import pytest
import zstandard

from pipeline.core.schema import LEAK
from tests.command import keytrail
from tests.lakes import SAMPLES, view
from tests.processes import start
from tests.unit.scan.cases import FIRES, QUIET

TOKEN = FIRES["vault_service_token"][0][1]
PASSWORD = FIRES["password"][0][1]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with a token, a password and much else."""
    path = tmp_path / "app.log"
    lines = [f"2026-03-04T11:02:55Z token {TOKEN}", *QUIET[2:], f"password={PASSWORD}", ""]
    path.write_text("\n".join(lines))
    return path


def test_rows_are_those_of_the_view(log: Path) -> None:
    """JSON has the view's columns, and nothing printed holds the secret."""
    done = keytrail("scan", log, "--format", "json")
    assert done.code == 0
    assert [(row["rule"], row["position"], row["preview"]) for row in done.rows] == [
        ("vault_service_token", 0, "hvs."),
        ("password", log.read_text().index("\npassword=" + PASSWORD) + 1, "T"),
    ]
    assert list(done.rows[0]) == list(LEAK)
    assert done.rows[0]["time"] == "2026-03-04T11:02:55.000000Z"
    assert len(done.rows[0]["keyed_hash"]) == 64
    assert TOKEN[4:] not in done.both
    assert PASSWORD[1:] not in done.both
    assert "2 leaks in 1 of 1 file" in done.stderr


@pytest.mark.parametrize("style", ["table", "csv"])
def test_other_styles(log: Path, style: str) -> None:
    """A line a leak and one of names."""
    done = keytrail("scan", log, "--format", style)
    assert len(done.stdout.splitlines()) == 3
    assert TOKEN[4:] not in done.both


def test_clean(tmp_path: Path) -> None:
    """Nothing on stdout where there is nothing, and exit 0 whatever is asked for."""
    (tmp_path / "app.log").write_text("\n".join(QUIET[2:]))
    done = keytrail("scan", tmp_path, "--exit-severity")
    assert (done.code, done.stdout) == (0, "")
    assert done.stderr.endswith("bytes\n")
    assert "no leaks in 1 file" in done.stderr


def test_exit_by_severity(log: Path) -> None:
    """The gravest leak decides, when that is asked for."""
    assert keytrail("scan", log, "--exit-severity").code == 15
    log.write_text(f"password={PASSWORD}")
    assert keytrail("scan", log, "--exit-severity").code == 14


def test_compressed_files_and_folders(log: Path) -> None:
    """gzip and zstd are read as what they hold; positions count in that; a folder is read whole."""
    data = log.read_bytes()
    folder = log.parent / "more" / "deep"
    folder.mkdir(parents=True)
    (folder / "a.txt.gz").write_bytes(gzip.compress(data))
    (folder / "b.out").write_bytes(zstandard.ZstdCompressor().compress(data))
    rows = keytrail("scan", log.parent, "--format", "json").rows
    places = {file: [row["position"] for row in rows if row["file"].endswith(file)] for file in ("log", "gz", "out")}
    assert places["log"] == places["gz"] == places["out"] != []


def test_standard_input(log: Path, tmp_path: Path) -> None:
    """`-` is what comes through a pipe."""
    with log.open("rb") as file:
        child = start("scan", "-", "--format", "json", home=tmp_path, stdin=file)
        stdout, _ = child.communicate()
    rows = [json.loads(line) for line in stdout.splitlines()]
    assert [(row["source"], row["rule"]) for row in rows] == [("-", "vault_service_token"), ("-", "password")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (gzip.compress(b"password=" + PASSWORD.encode() + b"\n" + os.urandom(99_999))[:-5_000], "damaged (truncated)"),
        ("password=x".encode("utf-16"), "UTF-16"),
        (b"\xfd7zXZ\x00\x00\x00", "compressed with xz"),
    ],
)
def test_what_was_not_searched_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    """A file that cannot be read to its end is no clean one: it is named, and the exit code is 1."""
    (tmp_path / "a.log").write_bytes(content)
    done = keytrail("scan", tmp_path / "a.log")
    assert done.code == 1
    assert told in done.stderr
    assert done.stdout.count("password") == ("damaged" in told)


def test_a_file_that_tells_no_size(tmp_path: Path) -> None:
    """Files of the kernel say that they are empty; they are read all the same."""
    done = keytrail("scan", "/proc/self/status")
    assert done.code == 0
    assert ", 0 bytes" not in done.stderr


def test_no_input(tmp_path: Path) -> None:
    """A path that is not there, or a folder without logs, exits 3."""
    assert keytrail("scan", tmp_path / "nowhere").code == 3
    assert keytrail("scan", tmp_path).code == 3


def test_a_lake_has_each_leak_once(log: Path, tmp_path: Path) -> None:
    """Scanned again, and after the log has grown and was rotated, every leak is in the lake once; the ledger holds."""
    lake = tmp_path / "lake"
    keytrail("scan", log, "--lake", lake)
    first = view(lake, "leaks")
    assert "0 new in the lake" in keytrail("scan", log, "--lake", lake).stderr
    assert view(lake, "leaks").equals(first)
    assert first.height == 2
    (sli,) = view(lake, "slis").rows(named=True)
    assert (sli["sli"], sli["value"], sli["met"]) == ("M6", 1.0, False)
    log.rename(log.with_name("app.log.1"))
    log.write_text(f"password={PASSWORD}\n")
    assert "1 new in the lake" in keytrail("scan", tmp_path, "--lake", lake).stderr
    assert set(view(lake, "leaks")["source"]) == {str(log)}
    assert keytrail("verify", "--lake", lake).code == 0
    everything = b"".join(path.read_bytes() for path in lake.rglob("*") if path.is_file())
    assert TOKEN[4:].encode() not in everything
    assert PASSWORD[1:].encode() not in everything


def test_leaks_beside_what_a_run_wrote(log: Path, tmp_path: Path) -> None:
    """A scan into the lake of a run, and a run into that of a scan, leave each other's rows and pass `verify`."""
    lake, samples = tmp_path / "lake", SAMPLES / "vault" / "torn_file"
    for words in (("scan", log), ("run", samples), ("scan", log)):
        keytrail(*words, "--lake", lake)
    assert view(lake, "leaks").height == 2
    assert view(lake, "operations").height > 40
    assert keytrail("verify", "--lake", lake).code == 0


def test_config(log: Path, tmp_path: Path) -> None:
    """Rules are switched off by name, secrets declared known by their hash; a bad table exits 2."""
    config = tmp_path / "keytrail.toml"
    known = keytrail("scan", log, "--format", "json").rows[1]["keyed_hash"]
    config.write_text(f'[scan]\ndisabled = ["vault_service_token"]\nknown = ["{known}"]\n')
    assert keytrail("scan", log, "--config", config).stdout == ""
    for wrong in ('disabled = ["nothing"]', f'known = ["{PASSWORD}"]', 'hash_key = { env = "KEY_OF_A_TEST" }'):
        config.write_text(f"[scan]\n{wrong}\n")
        assert keytrail("scan", log, "--config", config).code == 2


def test_a_given_key(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that are given one key have the same hashes; one that could be guessed is refused."""
    config = tmp_path / "keytrail.toml"
    config.write_text('[scan]\nhash_key = { env = "KEY_OF_A_TEST" }\n')
    monkeypatch.setenv("KEY_OF_A_TEST", "short")
    assert keytrail("scan", log, "--config", config).code == 2
    hashes = []
    for home in ("one", "other"):
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / home))
        monkeypatch.setenv("KEY_OF_A_TEST", "a key that many hosts have")
        hashes.append(keytrail("scan", log, "--config", config, "--format", "json").rows[0]["keyed_hash"])
    assert hashes[0] == hashes[1] != keytrail("scan", log, "--format", "json").rows[0]["keyed_hash"]


def test_the_key_is_private(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made once with mode 0600; one that others can read, or that is none, is refused without being shown."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    assert "made the key of hashes" in keytrail("scan", log).stderr
    path = tmp_path / "own" / "keytrail" / "scan.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "made" not in keytrail("scan", log).stderr
    path.chmod(0o644)
    assert "chmod 600" in keytrail("scan", log).error
    path.chmod(0o600)
    path.write_text("not a key at all")
    done = keytrail("scan", log)
    assert done.code == 2
    assert "not a key at all" not in done.error


def test_run_sends_text_logs_to_scan(log: Path, tmp_path: Path) -> None:
    """`run --input-format text` names the command that is for them."""
    done = keytrail("run", log, "--input-format", "text", "--lake", tmp_path / "lake")
    assert done.code == 2
    assert "keytrail scan" in done.error


def test_a_reader_that_goes_away_costs_no_row(tmp_path: Path) -> None:
    """`keytrail scan --lake … | head -1` keeps every leak all the same."""
    log, lake = tmp_path / "app.log", tmp_path / "lake"
    log.write_text("".join(f"password={PASSWORD}{n}\n" for n in range(1_000)))
    child = start("scan", log, "--lake", lake, "--format", "json", home=tmp_path)
    assert child.stdout is not None
    child.stdout.readline()
    child.stdout.close()
    child.communicate()
    assert child.returncode == 141
    assert view(lake, "leaks").height == 1_000
