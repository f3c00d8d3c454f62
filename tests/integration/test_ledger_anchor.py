"""RFC 3161: `keytrail ledger anchor` asks a real authority; `verify` and openssl look at what it kept."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.clock import system_clock
from pipeline.core.errors import ConfigError
from pipeline.ledger import anchor, leaf, timestamp
from pipeline.store import Lake, StoreConfig
from tests.authority import Authority
from tests.command import Done, keytrail
from tests.crash.line_nursery import Nursery
from tests.unit.ledger.small_lake import SmallLake, broken, records

pytestmark = pytest.mark.integration


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    with Authority(tmp_path / "authority").serving() as made:
        yield made


@pytest.fixture
def lake(small_lake: Path, tmp_path: Path) -> Path:
    """A copy to write to, its key beside it."""
    shutil.copytree(small_lake.parent, tmp_path / "copy")
    return tmp_path / "copy" / "lake"


def stamped(lake: Path, authority: Authority, *more: str | Path) -> Done:
    key = lake.parent / "signing.key"
    words = ("ledger", "anchor", "--lake", lake, "--tsa", authority.url, "--signing-key", key, "--format", "json")
    return keytrail(*words, *more)


def verified(lake: Path, *more: str | Path) -> tuple[int, set[tuple[str, str, str]], str]:
    """Exit code; (source, verdict, cause) of what does not hold; the notes."""
    rows = keytrail("verify", "--lake", lake, "--format", "json", *more).rows
    wrong = {(r["source"], r["verdict"], r["cause"]) for r in rows if r["verdict"] not in {"ok", "redacted"}}
    done = keytrail("verify", "--lake", lake, *more)
    return done.code, wrong, done.both


def tokens(lake: Path) -> list[Path]:
    return sorted((lake / "ledger" / "anchors").glob("*.tsr"))


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_the_newest_checkpoint_is_stamped_and_holds(lake: Path, authority: Authority) -> None:
    """The token is over the checkpoint's bytes, is recorded, and openssl accepts it; a second call asks nobody."""
    done = stamped(lake, authority, "--roots", authority.roots)
    (row,) = done.rows
    assert (done.code, row["trusted"], row["recorded"]) == (0, True, True)
    published = lake / "ledger" / "checkpoints" / str(row["size"])
    assert authority.verifies(published, lake / row["path"])
    assert not authority.verifies(lake / "ledger" / "checkpoint", lake / row["path"])
    code, wrong, notes = verified(lake, "--roots", authority.roots)
    assert (code, wrong) == (0, set())
    assert f"{row['size']} entries were there by {row['at'][:19]}" in notes
    assert "not checked" not in notes
    again = stamped(lake, authority, "--roots", authority.roots)
    assert (again.code, again.rows, len(authority.asked)) == (0, [], 1)
    assert "nothing was added" in again.stderr


def test_without_roots_it_says_that_signatures_were_not_checked(
    lake: Path, authority: Authority, tmp_path: Path
) -> None:
    """Also where the command is given none; configured ones are used."""
    done = stamped(lake, authority)
    assert (done.code, done.rows[0]["trusted"]) == (0, False)
    assert "not checked" in done.stderr
    code, wrong, notes = verified(lake)
    assert (code, wrong) == (0, set())
    assert "not checked" in notes
    config = tmp_path / "keytrail.toml"
    config.write_text(f'[ledger.anchor]\ntsa = "{authority.url}"\nroots = "{authority.roots}"\n')
    assert "not checked" not in verified(lake, "--config", config)[2]


def test_a_changed_or_missing_token_is_told(lake: Path, authority: Authority) -> None:
    """Any byte of it, by the record; that it is gone, too."""
    stamped(lake, authority)
    (path,) = tokens(lake)
    token, name = path.read_bytes(), str(path.relative_to(lake))
    for at in (0, len(token) // 2, len(token) - 1):
        path.write_bytes(changed(token, at))
        assert verified(lake)[:2] == (10, {(name, "altered", "anchor")})
    path.unlink()
    assert verified(lake)[:2] == (10, {(name, "gap", "anchor")})


def test_a_checkpoint_that_is_gone_is_told(lake: Path, authority: Authority) -> None:
    """A token over bytes that nobody has any more shows nothing."""
    (row,) = stamped(lake, authority).rows
    (lake / "ledger" / "checkpoints" / str(row["size"])).unlink()
    assert verified(lake)[:2] == (10, {(row["path"], "gap", "anchor")})


def test_a_token_under_another_root_is_refused_and_told(lake: Path, authority: Authority, tmp_path: Path) -> None:
    """The command keeps nothing and says which; verification of one that was kept says anchor_root."""
    stranger = Authority(tmp_path / "stranger")
    done = stamped(lake, authority, "--roots", stranger.roots)
    assert (done.code, tokens(lake)) == (10, [])
    assert "under none of the roots" in done.error
    (row,) = stamped(lake, authority, "--roots", authority.roots).rows
    assert verified(lake, "--roots", stranger.roots)[:2] == (10, {(row["path"], "unverifiable", "anchor_root")})


def test_an_answer_that_does_not_hold_is_refused_and_the_next_one_taken(
    lake: Path, authority: Authority, tmp_path: Path
) -> None:
    """Another imprint, an old answer, a signature that does not hold: exit 10, nothing kept, and a retry is clean."""
    other = tmp_path / "other"
    other.write_bytes(b"something else\n")
    replayed = authority.stamp(lake / "ledger" / "checkpoint")
    for instead, words in (
        (lambda _: authority.stamp(other), "other bytes"),
        (lambda _: replayed, "nonce"),
        (lambda answer: changed(answer, len(answer) - 1), "signature does not hold"),
    ):
        authority.instead = instead
        done = stamped(lake, authority, "--roots", authority.roots)
        assert (done.code, tokens(lake)) == (10, []), done
        assert words in done.error
    authority.instead = None
    assert stamped(lake, authority, "--roots", authority.roots).code == 0
    assert verified(lake, "--roots", authority.roots)[:2] == (0, set())


def test_an_authority_that_does_not_serve_is_a_failure(lake: Path, authority: Authority) -> None:
    """Refusing, answering with an error or with something else, being down: exit 1 and the reason; a retry is clean."""
    authority.digests = "sha512"
    refused = stamped(lake, authority)
    assert refused.code == 1
    assert "refused: rejected" in refused.error
    authority.digests, authority.instead = "sha256", lambda _: b"<html>busy</html>"
    nonsense = stamped(lake, authority)
    assert nonsense.code == 1
    assert "sent no time stamp" in nonsense.error
    authority.instead, authority.status = None, 503
    assert "status 503" in stamped(lake, authority).error
    authority.status = 200
    with Authority(lake.parent / "short-lived").serving() as gone:
        pass  # nobody listens there any more
    lost = stamped(lake, gone)
    assert lost.code == 1
    assert "could not be asked" in lost.error
    assert tokens(lake) == []
    assert stamped(lake, authority).code == 0


def test_an_address_that_cannot_be_used_is_said(lake: Path, authority: Authority) -> None:
    """Exit 2: no address, no http, a password in it (which is not repeated); roots that are none."""
    assert keytrail("ledger", "anchor", "--lake", lake).code == 2
    authority.url = "ftp://tsa.example"
    assert stamped(lake, authority).code == 2
    authority.url = "http://me:secret@tsa.example/"
    done = stamped(lake, authority)
    assert (done.code, "secret" in done.error) == (2, False)
    assert stamped(lake, authority, "--roots", lake / "ledger" / "checkpoint").code == 2
    assert keytrail("verify", "--lake", lake, "--roots", lake / "nothing").code == 2


def test_death_between_token_and_record(lake: Path, authority: Authority, tmp_path: Path) -> None:
    """Verification is clean and says what is to be done; the next call records what was kept and asks nobody."""
    (tmp_path / "nursery").mkdir()
    with Nursery(tmp_path / "nursery") as nursery:
        key = lake.parent / "signing.key"
        words = ("ledger", "anchor", "--lake", lake, "--tsa", authority.url, "--signing-key", key)
        assert nursery.start(*words, fault="anchor.kept").wait() == -signal.SIGKILL
    assert len(tokens(lake)) == 1
    code, wrong, notes = verified(lake)
    assert (code, wrong) == (0, set())
    assert "not among the leaves yet" in notes
    done = stamped(lake, authority)
    assert (done.code, [row["recorded"] for row in done.rows], len(authority.asked)) == (0, [True], 1)
    assert "not among the leaves" not in verified(lake)[2]


def test_beside_a_run_the_token_is_kept_and_recorded_later(lake: Path, authority: Authority) -> None:
    """A stamp does not wait for the end of a run, nor a run for it."""
    with Lake.open(lake, StoreConfig(), writer=True, clock=system_clock):
        done = stamped(lake, authority)
        assert (done.code, done.rows[0]["recorded"]) == (0, False)
        assert "a run is writing" in done.stderr
    assert [row["recorded"] for row in stamped(lake, authority).rows] == [True]
    assert verified(lake)[:2] == (0, set())


def test_a_token_that_nobody_recorded_must_hold_too(lake: Path, authority: Authority) -> None:
    """One that was put there and is over something else is told; the next stamp of that size may take its place."""
    newest = (lake / "ledger" / "checkpoint").read_bytes().split(b"\n")[1].decode()
    (lake / "ledger" / "anchors").mkdir()
    put = lake / "ledger" / "anchors" / f"{newest}.tsr"
    put.write_bytes(authority.stamp(lake / "ledger" / "policy"))
    name = str(put.relative_to(lake))
    assert verified(lake)[:2] == (10, {(name, "altered", "anchor_imprint")})
    put.write_bytes(b"nothing of the kind")
    assert verified(lake)[:2] == (10, {(name, "unverifiable", "anchor_token")})
    assert stamped(lake, authority).code == 0
    assert verified(lake)[:2] == (0, set())


def test_a_recorded_token_over_another_checkpoint_is_told(authority: Authority, tmp_path: Path) -> None:
    """Whoever holds the key may record what he likes: the imprint is still not this checkpoint's."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(10))
    lake.write(records(10, 10))
    checkpoint, _ = anchor.published(lake.folder, "ledger", 10)
    token = authority.stamp(lake.folder / "ledger/checkpoints/20")
    path = lake.folder / "ledger/anchors/10.tsr"
    path.parent.mkdir()
    path.write_bytes(token)
    stamp = timestamp.Stamp(timestamp.check(token, (lake.folder / "ledger/checkpoints/20").read_bytes(), ()).at, False)
    body = anchor.Anchor("ledger/anchors/10.tsr", checkpoint, token, stamp).body()
    lake.write(records(5, 20), control=[(leaf.ANCHOR, body)])
    report = lake.verify()
    assert broken(report) == {("ledger/anchors/10.tsr", "altered")}
    assert "anchor_imprint" in report.rows["cause"].to_list()


def test_without_the_extra_verification_goes_on_and_says_so(
    lake: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens are held against their records; what was not looked into is told; asking needs the extra."""
    stamped(lake, authority)
    without: Any = None
    monkeypatch.setitem(sys.modules, "rfc3161_client", without)
    code, wrong, notes = verified(lake)
    assert (code, wrong) == (0, set())
    assert "install keytrail[anchor]" in notes
    refused = keytrail("verify", "--lake", lake, "--roots", authority.roots)
    assert (refused.code, "keytrail[anchor]" in refused.error) == (ConfigError.exit_code, True)
    assert "keytrail[anchor]" in stamped(lake, authority).error
    tokens(lake)[0].unlink()
    assert verified(lake)[0] == 10
