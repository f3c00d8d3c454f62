"""A signer that is a command: what it signs verifies as ever; whatever it does wrong, nothing false is published."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pipeline import config as conf
from pipeline import verification
from pipeline.app import RunOptions
from pipeline.core.errors import ConfigError
from pipeline.job import Run
from pipeline.ledger import command_signer, keys, note
from pipeline.ledger.command_signer import CommandSigner, SignerError
from tests.lakes import run
from tests.trail import MAIN, trail

if TYPE_CHECKING:
    from pathlib import Path

TABLES = {"detection": {"disabled": ["integrity"]}}
SIGN = """
import base64, pathlib, sys, time
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
home = pathlib.Path(sys.argv[1])
mode = (home / "mode").read_text()
if mode == "slow":
    time.sleep(30)
count = home / "count"
count.write_text(str(int(count.read_text()) + 1 if count.exists() else 1))
if mode == "down" or (mode == "flaky" and int(count.read_text()) % 2):
    sys.exit(3)
message = sys.stdin.buffer.read()
seed = base64.b64decode((home / "kms.key").read_text().split("+", 4)[4])[1:]
signature = Ed25519PrivateKey.from_private_bytes(seed).sign(message + (b"?" if mode == "wrong" else b""))
sys.stdout.buffer.write({"text": base64.b64encode(signature) + b"\\n", "short": signature[:-1]}.get(mode, signature))
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_signer, "_PAUSE_SECONDS", 0.0)


class Kms:
    """A key that only a command can use, and what the configuration says of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.key = keys.create(home / "kms.key")
        (home / "sign.py").write_text(SIGN)
        self.be("raw")

    def be(self, mode: str) -> None:
        (self.home / "mode").write_text(mode)

    def tables(self, seconds: float = 20.0, **more: Any) -> dict[str, Any]:
        command = (sys.executable, str(self.home / "sign.py"), str(self.home))
        public = note.verifier_of(self.key).vkey()
        table = {"signer": "command", "command": command, "public_key": public, "signer_seconds": seconds,
                 "signed": str(self.home / "signed")}  # fmt: skip
        return {**TABLES, "ledger": {**table, **more}}

    def run(self, lake: Path, log: Path, seconds: float = 20.0) -> dict[str, Any]:
        return Run(RunOptions((str(log),), lake), conf.Settings(None, self.tables(seconds))).execute()

    def config(self) -> conf.LedgerConfig:
        return conf.Settings(None, self.tables()).table(conf.LedgerConfig, "ledger")


@pytest.fixture
def kms(tmp_path: Path) -> Kms:
    return Kms(tmp_path)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return trail(MAIN).write(tmp_path / "logs")[0]


def clean(lake: Path, config: conf.LedgerConfig) -> str:
    (found,) = verification.verify_lake(lake, None, (), None, config)
    assert found.report.exit_code == 0, found.report.rows.rows()
    return found.pinned.origin


@pytest.mark.parametrize("mode", ["raw", pytest.param("text", marks=pytest.mark.slow), "flaky"])
def test_what_the_command_signs_verifies(kms: Kms, log: Path, tmp_path: Path, mode: str) -> None:
    """Raw bytes, base64, and one that fails every other time: the lake verifies under its key, and goes on."""
    kms.be(mode)
    kms.run(tmp_path / "lake", log)
    assert clean(tmp_path / "lake", kms.config()) == "the configured signer"
    log.write_bytes(log.read_bytes() + log.read_bytes().splitlines(keepends=True)[-1])
    kms.run(tmp_path / "lake", log)
    clean(tmp_path / "lake", kms.config())
    assert not (tmp_path / "signing.key").exists()


@pytest.mark.parametrize(
    ("mode", "seconds", "said"),
    [
        pytest.param("down", 20, "exit code 3", marks=pytest.mark.slow),
        ("wrong", 20, "does not open"),
        pytest.param("short", 20, "63 bytes", marks=pytest.mark.slow),
        ("slow", 0.4, "within"),
    ],
)
def test_a_signer_that_fails_stops_the_run_and_nothing_false_is_published(  # noqa: PLR0917
    kms: Kms, log: Path, tmp_path: Path, mode: str, seconds: float, said: str
) -> None:
    """The error says what happened; what stood stands; when it signs again the run goes on where it was."""
    lake, whole = tmp_path / "lake", log.read_bytes()
    log.write_bytes(b"".join(whole.splitlines(keepends=True)[:200]))
    kms.run(lake, log)
    head = (lake / "ledger/checkpoint").read_bytes()
    log.write_bytes(whole)
    kms.be(mode)
    with pytest.raises(SignerError, match=said):
        kms.run(lake, log, seconds)
    assert (lake / "ledger/checkpoint").read_bytes() == head
    clean(lake, kms.config())
    kms.be("raw")
    assert kms.run(lake, log)["entries"] > 0
    clean(lake, kms.config())
    assert (lake / "ledger/checkpoint").read_bytes() != head


def test_a_ledger_goes_from_a_file_to_the_command(kms: Kms, log: Path, tmp_path: Path) -> None:
    """`rotate` without `--to`: both keys sign the record, and the old one speaks for the log no more."""
    lake = tmp_path / "lake"
    run(lake, log, tables=TABLES)
    vkey = verification.rotate_key(lake, tmp_path / "signing.key", None, "main", kms.config())
    assert note.parse_vkey(vkey).public == kms.key.public
    kms.run(lake, log)
    assert clean(lake, kms.config()) == "the configured signer"
    with pytest.raises(ConfigError, match="--to"):
        verification.rotate_key(lake, None, None, "main", kms.config())


def test_public_keys_in_every_form(kms: Kms, tmp_path: Path) -> None:
    """A verifier key, base64 that has plus signs, PEM in a file; anything else is refused without being shown."""
    public = kms.key.public
    pem = (
        keys.load(tmp_path / "kms.key")._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "public.pem").write_bytes(pem)
    forms = (note.verifier_of(kms.key).vkey(), note.base64.b64encode(public).decode(), str(tmp_path / "public.pem"))
    assert {command_signer.public_key(form) for form in forms} == {public}
    assert command_signer.public_key("+++/" + "A" * 39 + "=")[:2] == b"\xfb\xef"
    for text in ("", "abc", "x+y+z", str(tmp_path / "absent.pem"), "-----BEGIN PUBLIC KEY-----\n"):
        with pytest.raises(ConfigError, match="public_key"):
            command_signer.public_key(text)


def test_a_configuration_that_cannot_work_is_refused(kms: Kms, log: Path, tmp_path: Path) -> None:
    """No command, no key, both kinds at once, a program that is not there, another log's key."""
    for more, said in (
        ({"command": ()}, "needs command"),
        ({"public_key": None}, "needs command"),
        ({"signing_key": "x"}, "signing_key"),
    ):
        with pytest.raises(ConfigError, match=said):
            Run(RunOptions((str(log),), tmp_path / "a"), conf.Settings(None, kms.tables(**more))).execute()
    with pytest.raises(SignerError, match="cannot be run"):
        CommandSigner("log", kms.key.public, (str(tmp_path / "nothing"),), 1.0).sign(b"")
    run(tmp_path / "lake", log, tables=TABLES)
    with pytest.raises(ConfigError, match="belongs to"):
        kms.run(tmp_path / "lake", log)
