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


@pytest.mark.parametrize("given", [{}, {"env": "A", "file": "b"}, {"value": "hush"}])
def test_a_reference_is_one_place(given: dict[str, str]) -> None:
    """Neither, both, or a secret in clear is refused."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, SecretRef)
