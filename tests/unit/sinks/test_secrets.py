"""Secrets by reference."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.secrets import SecretRef


def test_from_the_environment_and_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference resolves to what is there, without the line end of a file; its repr shows only the place."""
    monkeypatch.setenv("KEYTRAIL_TEST_SECRET", "hush")
    (tmp_path / "s").write_text("hush\n")
    for reference in (SecretRef(env="KEYTRAIL_TEST_SECRET"), SecretRef(file=str(tmp_path / "s"))):
        assert reference.resolve() == "hush"
        assert "hush" not in repr(reference)


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing variable, a missing file and an empty one are config errors that name the place."""
    monkeypatch.delenv("KEYTRAIL_TEST_SECRET", raising=False)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for reference, place in (
        (SecretRef(env="KEYTRAIL_TEST_SECRET"), "KEYTRAIL_TEST_SECRET"),
        (SecretRef(file=str(tmp_path / "none")), "none"),
        (SecretRef(file=str(tmp_path / "empty")), "empty"),
        (SecretRef(file=str(tmp_path / "binary")), "binary"),
    ):
        with pytest.raises(ConfigError, match=place):
            reference.resolve()


def test_what_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes in the environment that are no UTF-8 could be encoded by nobody."""
    monkeypatch.setenv("KEYTRAIL_TEST_SECRET", "hu\udce9sh")
    with pytest.raises(ConfigError, match="KEYTRAIL_TEST_SECRET is not UTF-8"):
        SecretRef(env="KEYTRAIL_TEST_SECRET").resolve()


@pytest.mark.parametrize("text", ["hu\nsh", "hu\rsh", "hüsh", "hu\x7fsh"])
def test_what_no_header_can_carry_is_refused_by_its_place(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fail at every delivery. The message does not quote it; a line end after it is no part of it."""
    monkeypatch.setenv("KEYTRAIL_TEST_SECRET", text)
    with pytest.raises(ConfigError, match="KEYTRAIL_TEST_SECRET") as refused:
        SecretRef(env="KEYTRAIL_TEST_SECRET").for_header()
    assert "sh" not in str(refused.value)
    monkeypatch.setenv("KEYTRAIL_TEST_SECRET", "a b~\r\n")
    assert SecretRef(env="KEYTRAIL_TEST_SECRET").for_header() == "a b~"


@pytest.mark.parametrize("given", [{}, {"env": "A", "file": "b"}, {"value": "hush"}])
def test_a_reference_is_one_place(given: dict[str, str]) -> None:
    """Neither, both, or a secret in clear is refused."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, SecretRef)
