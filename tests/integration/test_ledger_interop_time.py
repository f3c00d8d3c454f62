"""RFC 3161: a token that openssl makes over a checkpoint is recorded, checked, and verified by openssl again."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.core.errors import StoreError
from pipeline.ledger import LedgerError, anchor, leaf
from tests.unit.ledger.small_lake import SmallLake, broken, records

pytestmark = pytest.mark.integration
CONFIG = """
[req]
distinguished_name = dn
prompt = no
x509_extensions = ext
[dn]
CN = test authority
[ext]
extendedKeyUsage = critical,timeStamping
keyUsage = critical,digitalSignature
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
signer_cert = {folder}/cert
signer_key = {folder}/key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
"""


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A folder with a time-stamping authority of our own."""
    if shutil.which("openssl") is None:
        if os.environ.get("KEYTRAIL_REQUIRE_INTEGRATION") == "1":
            pytest.fail("openssl is not installed")
        pytest.skip("openssl is not installed: no time-stamp token can be made")
    folder = tmp_path / "tsa"
    folder.mkdir()
    (folder / "config").write_text(CONFIG.format(folder=folder))
    (folder / "serial").write_text("01\n")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config",
            folder / "config", "-keyout", folder / "key", "-out", folder / "cert")  # fmt: skip
    return folder


def openssl(*arguments: object) -> int:
    command = ["openssl", *(str(part) for part in arguments)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def stamped(authority: Path, path: Path) -> bytes:
    config, query, reply = authority / "config", authority / "query", authority / "reply"
    assert openssl("ts", "-query", "-data", path, "-sha256", "-cert", "-out", query) == 0
    assert openssl("ts", "-reply", "-config", config, "-queryfile", query, "-out", reply) == 0
    return reply.read_bytes()


def verified(authority: Path, path: Path, token: Path) -> bool:
    return openssl("ts", "-verify", "-data", path, "-in", token, "-CAfile", authority / "cert") == 0


def test_a_token_over_a_checkpoint_is_recorded_and_verifies(authority: Path, tmp_path: Path) -> None:
    """The token's hash is a leaf; openssl verifies token against checkpoint; a changed or missing token is told."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(10))
    published = lake.folder / "ledger/checkpoints/10"
    token = stamped(authority, published)
    lake.write(records(5), control=[(leaf.ANCHOR, anchor.store(lake.folder, 10, token))])
    path = lake.folder / "ledger/anchors/10.tsr"
    assert verified(authority, published, path)
    assert not verified(authority, lake.folder / "ledger/checkpoints/16", path)
    assert lake.verify().exit_code == 0
    path.write_bytes(token[:-1] + b"?")
    assert broken(lake.verify()) == {("ledger/anchors/10.tsr", "altered")}
    path.unlink()
    assert broken(lake.verify()) == {("ledger/anchors/10.tsr", "gap")}


def test_a_token_is_kept_once_and_only_for_a_published_checkpoint(tmp_path: Path) -> None:
    """An anchor cannot be replaced by a later one."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(3))
    body = anchor.store(lake.folder, 3, b"token")
    assert anchor.store(lake.folder, 3, b"token") == body
    with pytest.raises(StoreError):
        anchor.store(lake.folder, 3, b"later token")
    with pytest.raises(LedgerError):
        anchor.store(lake.folder, 4, b"token")
