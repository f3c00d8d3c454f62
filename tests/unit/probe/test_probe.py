"""The canary's client: what it sends, what it makes of every answer, and that no number is used twice or left out."""

from __future__ import annotations

import hashlib
import hmac
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError
from pipeline.probe import Numbers, Prober, Result, Store
from tests.vault_double import PATH, TOKEN, VaultDouble

pytest.importorskip("hvac", reason="the probe's extra is not installed")
KEY = b"the canary's key"


@pytest.fixture
def vault() -> Iterator[VaultDouble]:
    with VaultDouble() as double:
        yield double
        assert double.faults == []


def probed(
    address: str, file: Path, count: int = 1, timeout: float = 5.0, returned: Callable[[str], list[str]] | None = None
) -> list[Result]:
    """Results of some canaries; the lake knows of each at once unless told otherwise. The clock moves as one sleeps."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    store = Store(address, TOKEN)
    with Numbers(file) as numbers:
        prober = Prober(store, numbers, KEY, "X-Audit-Canary", PATH, returned or (lambda _: ["a", "b"]),
                        lambda: now[0], sleep)  # fmt: skip
        results = [prober.once(timeout) for _ in range(count)]
    store.close()
    return results


def kept(file: Path) -> int:
    return int(file.read_text())


def test_each_canary_carries_the_next_number_and_its_mac(vault: VaultDouble, tmp_path: Path) -> None:
    """Numbers rise by one over runs, each with the MAC that the reader of the trail computes."""
    first, again = probed(vault.address, tmp_path / "n", 2), probed(vault.address, tmp_path / "n")
    assert [result.number for result in first + again] == [1, 2, 3]
    expected = [f"{n}.{hmac.new(KEY, str(n).encode(), hashlib.sha256).hexdigest()[:32]}" for n in (1, 2, 3)]
    assert vault.seen == expected
    assert all(result.good and result.devices == 2 and result.latency_ms > 0 for result in first + again)


def test_the_way_back_is_timed(vault: VaultDouble, tmp_path: Path) -> None:
    """From the answer to the operation in the lake; a canary that does not come within the time did not return."""
    asked: list[str] = []

    def late(request: str) -> list[str]:
        asked.append(request)
        return ["a"] if len(asked) > 4 else []

    (result,) = probed(vault.address, tmp_path / "n", returned=late)
    assert (result.return_seconds, result.devices, result.good) == (1.0, 1, True)
    assert set(asked) == {result.request}
    (lost,) = probed(vault.address, tmp_path / "n", timeout=2, returned=lambda _: [])
    assert (lost.return_seconds, lost.good, lost.note) == (None, False, "not in the lake within 2 s")


@pytest.mark.parametrize(
    ("mood", "outcome", "status", "used"),
    [
        ("ok", "success", 200, True), ("denied", "denied", 403, True), ("missing", "not_found", 404, True),
        ("broken", "failure", 500, True), ("sealed", "unreachable", 503, False),
        ("redirect", "unreachable", 307, False),
        ("silent", "unreachable", 0, True),
    ],
)  # fmt: skip
def test_what_every_answer_means(  # noqa: PLR0917
    vault: VaultDouble, tmp_path: Path, mood: str, outcome: str, status: int, used: bool
) -> None:
    """The outcome of each, and whether its number may be in the trail and so must not come again."""
    vault.moods.append(mood)
    (result,) = probed(vault.address, tmp_path / "n")
    assert (result.outcome, result.status, result.good) == (outcome, status, mood == "ok")
    assert kept(tmp_path / "n") == (1 if used else 0)
    assert (result.note == "") == (mood in ("ok", "denied", "missing", "broken"))


def test_an_answer_without_an_id_cannot_be_looked_for(vault: VaultDouble, tmp_path: Path) -> None:
    """It says so, and asks the lake nothing."""
    vault.moods.append("nameless")
    (result,) = probed(vault.address, tmp_path / "n", returned=lambda _: pytest.fail("asked"))
    assert result.note == "the answer names no request: it cannot be looked for"


def test_a_store_that_is_not_there_uses_no_number(tmp_path: Path) -> None:
    """Nothing was sent, so the same number comes again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    results = probed(address, tmp_path / "n", 2)
    assert [(r.number, r.outcome, r.note) for r in results] == [
        (1, "unreachable", "not sent: the number is used again")
    ] * 2
    assert kept(tmp_path / "n") == 0


def test_one_client_counts_at_a_time(tmp_path: Path) -> None:
    """A second one on the same file is refused, and may go on when the first has ended."""
    with Numbers(tmp_path / "n") as first:
        assert first.take() == 1
        with pytest.raises(ConfigError, match="another client"), Numbers(tmp_path / "n"):
            pytest.fail("both count")
    with Numbers(tmp_path / "n") as second:
        assert second.take() == 2


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", str(10**15)])
def test_a_spoilt_number_is_not_guessed(tmp_path: Path, text: str) -> None:
    """A file that holds no number stops the client: beginning anew would look like a replay."""
    (tmp_path / "n").write_text(text)
    with pytest.raises(ConfigError, match="holds no canary number"), Numbers(tmp_path / "n"):
        pytest.fail("counted")


def test_a_number_is_on_disk_before_it_leaves(vault: VaultDouble, tmp_path: Path) -> None:
    """A client that dies while the store answers does not use the number again."""
    found: list[int] = []

    def died(_: str) -> list[str]:
        found.append(kept(tmp_path / "n"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probed(vault.address, tmp_path / "n", returned=died)
    assert found == [1]
    assert probed(vault.address, tmp_path / "n")[0].number == 2


def test_an_address_that_is_none_is_refused() -> None:
    """Before anything is sent, with what is expected."""
    with pytest.raises(ConfigError, match="is no URL"):
        Store("vault.example:8200", TOKEN)


def test_without_the_library_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """hvac is an extra."""
    monkeypatch.setitem(sys.modules, "hvac", None)
    with pytest.raises(ConfigError, match=r"install keytrail\[probe\]"):
        Store("http://127.0.0.1:1", TOKEN)
