"""Attacks whose lines have a form of their own, through the whole line: what an operator is told of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.lakes import run, view
from tests.scenarios.vault_lines import TOKEN, entry, line, pairs

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600
SYSTEM = {"mount_point": "sys/", "mount_type": "system", "operation": "update"}
JWT = {"mount_point": "auth/jwt/", "mount_type": "jwt", "operation": "update"}
PKI = {"mount_point": "pki/", "mount_type": "pki", "operation": "update"}
DATABASE = {"mount_point": "database/", "mount_type": "database", "operation": "update"}
RENEWAL = {"mount_point": "auth/token/", "mount_type": "token", "operation": "update", "path": "auth/token/renew-self"}


def both(number: int, seconds: float, *, error: str = "", nobody: bool = False, **request: Any) -> bytes:
    """Both halves of a request that is no read; of `nobody` the store knows no more than that the token is none."""
    lines = b""
    for phase in ("request", "response"):
        told = entry(number, phase, seconds + 0.002 * (phase == "response"), **request)
        told |= {"error": error} if error else {}
        if nobody:
            told["auth"] = {"token_type": "default"}
        if phase == "response":
            told["response"] = {"mount_type": request["mount_type"]}
        lines += line(told) + b"\n"
    return lines


def dead_token(count: int) -> bytes:
    """A client renews a token that has ended, four times a second."""
    return b"".join(
        both(n, 60 + n / 4, nobody=True, error="permission denied", remote_address="10.7.7.7", **RENEWAL)
        for n in range(count)
    )


ASKED = {
    "Audit device with the hashing options given": both(
        900, 400, path="sys/audit/more", data={"type": TOKEN, "options": {"log_raw": TOKEN}}, **SYSTEM
    ),
    "Values of a mount to stand in the trail unhashed": both(
        901, 401, path="sys/mounts/kv/tune", data={"audit_non_hmac_response_keys": [TOKEN]}, **SYSTEM
    ),
    "Certificate signed as its asker wrote it": both(
        902, 402, path="pki/sign-verbatim/web", data={"csr": TOKEN}, **PKI
    ),
    "Certificates for any name allowed": both(903, 403, path="pki/roles/web", data={"allow_any_name": True}, **PKI),
    "Bounds of an auth role taken away": both(906, 406, path="auth/jwt/role/ci", data={"bound_claims": {}}, **JWT),
    "Private key of a certificate authority exported": both(904, 404, path="pki/root/generate/exported", **PKI),
    "Secret stands in an error text": both(
        905, 405, path="database/config/pg", error="host=db password=hunter22: refused", **DATABASE
    ),
}  # fmt: skip
QUIET = [
    both(910, 410, path="sys/audit/more", data={"type": TOKEN, "options": {"file_path": TOKEN}}, **SYSTEM),
    both(911, 411, path="sys/mounts/kv/tune", data={"audit_non_hmac_response_keys": []}, **SYSTEM),
    both(912, 412, path="pki/sign/web", data={"csr": TOKEN}, **PKI),
    both(913, 413, path="pki/roles/web", data={"allow_any_name": False}, **PKI),
    both(916, 416, path="auth/jwt/role/ci", data={"bound_claims": {"project": TOKEN}}, **JWT),
    both(914, 414, path="pki/root/generate/internal", **PKI),
    both(915, 415, path="database/config/pg", error="host=db password=xxxxx: refused", **DATABASE),
]  # fmt: skip
FLOOD = "Flood of refusals without a valid token"


def titles(home: Path, lines: bytes) -> set[str]:
    """What is told of these lines and of an hour of reads behind them."""
    (home / "audit.log").write_bytes(lines + pairs(range(1000, 1010), start=HOUR + 5, step=400))
    run(home / "lake", home / "audit.log")
    return set(view(home / "lake", "findings")["title"])


def test_each_is_told(tmp_path: Path) -> None:
    """A dead token renewed for ever, hashing that ends, any name certified, a key or a password that gets out."""
    assert {FLOOD, *ASKED} <= titles(tmp_path, dead_token(400) + b"".join(ASKED.values()))


def test_what_is_alike_and_harmless_is_not(tmp_path: Path) -> None:
    """A token that is renewed until its client notices, and the same requests without what makes them attacks."""
    assert {FLOOD, *ASKED}.isdisjoint(titles(tmp_path, dead_token(200) + b"".join(QUIET)))


def busy(first: float, last: float) -> bytes:
    """Ten reads a minute from one second to another."""
    return pairs(range(2000 + int(first), 2000 + int(last), 6), start=first, step=6)


def log_ins(count: int, at: float) -> bytes:
    """Clients that log in anew, two seconds apart."""
    asked = {
        "mount_point": "auth/approle/",
        "mount_type": "approle",
        "operation": "update",
        "path": "auth/approle/login",
    }
    return b"".join(both(20_000 + n, at + 2 * n, who=f"approle-svc{n}", **asked) for n in range(count))


def test_a_seal_that_no_line_tells_of_is_inferred(tmp_path: Path) -> None:
    """Minutes without a line in a busy store, then a wave of log-ins: told; the same log-ins without a pause: not."""
    pause, wave = "Store was interrupted, then many logged in anew", log_ins(14, 4501)
    for name, until, told in (("sealed", 3600, True), ("whole", 4500, False)):
        (home := tmp_path / name).mkdir()
        assert (pause in titles(home, busy(0, until) + busy(4500, 4501) + wave + busy(4530, 6000))) is told
