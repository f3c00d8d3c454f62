"""The table of a `kafka` sink: secrets by reference alone, and in their places for the client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.core.errors import ConfigError
from pipeline.sinks.kafka import Config, create
from pipeline.sinks.kafka import producer as room


def table(**given: Any) -> Config:
    return msgspec.convert({"servers": "127.0.0.1:1", "topic": "alerts", **given}, Config)


@pytest.mark.parametrize("name", ["sasl_plain_password", "ssl_password", "proxy_url", "sasl_oauth_token_provider"])
def test_a_secret_in_clear_is_refused(name: str) -> None:
    """No option of the client takes a secret in clear; it is named and not repeated, also as a key of its own."""
    with pytest.raises(msgspec.ValidationError, match=f"options cannot set {name}") as caught:
        table(options={name: "hush"})
    assert "hush" not in str(caught.value)
    for key in ("password", "ssl_password", "proxy_url", "sasl_oauth_token"):
        with pytest.raises(msgspec.ValidationError, match=key) as caught:
            table(**{key: "hush"})
        assert "hush" not in str(caught.value)


def test_a_token_is_needed() -> None:
    """OAUTHBEARER without a token is refused."""
    with pytest.raises(msgspec.ValidationError, match="OAUTHBEARER needs sasl_oauth_token"):
        table(options={"sasl_mechanism": "OAUTHBEARER"})


def test_secrets_reach_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords and tokens come from their places, a token anew each time, and show in no repr."""
    from kafka.net.sasl.oauth import SaslMechanismOAuth  # noqa: PLC0415  it warns when imported first

    place = tmp_path / "token"
    place.write_text("alpha\n", "utf-8")
    monkeypatch.setenv("KAFKA_WORD", "hush")
    monkeypatch.setenv("KAFKA_KEY", "whisper")
    monkeypatch.setenv("KAFKA_PROXY", "socks5://me:mumble@127.0.0.1:1")
    config = table(
        password={"env": "KAFKA_WORD"}, ssl_password={"env": "KAFKA_KEY"}, sasl_oauth_token={"file": str(place)},
        proxy_url={"env": "KAFKA_PROXY"},
        options={"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"},
    )  # fmt: skip
    seen: dict[str, Any] = {}

    class Client:
        DEFAULT_CONFIG = room.KafkaProducer.DEFAULT_CONFIG

        def __init__(self, **options: Any) -> None:
            seen.update(options)

        def close(self, timeout: float) -> None:
            """Nothing is held."""

    monkeypatch.setattr(room, "KafkaProducer", Client)
    sink = create(config)
    sink.send([])
    assert (seen["sasl_plain_password"], seen["ssl_password"]) == ("hush", "whisper")
    assert seen["proxy_url"] == "socks5://me:mumble@127.0.0.1:1"
    provider = seen["sasl_oauth_token_provider"]
    assert SaslMechanismOAuth(sasl_oauth_token_provider=provider).auth_bytes().endswith(b"auth=Bearer alpha\x01\x01")
    place.write_text("omega\n", "utf-8")
    assert provider.token() == "omega"
    assert not any(word in repr(config) + repr(provider) for word in ("hush", "whisper", "mumble", "omega"))
    with pytest.raises(ConfigError, match="KAFKA_GONE"):
        create(table(ssl_password={"env": "KAFKA_GONE"}))


@pytest.mark.parametrize(
    "url", ["http://me:mumble@host:1", "me:mumble@host:1", "socks5://me:mumble@host", "socks5://h:mumble"]
)
def test_a_proxy_that_is_none_is_not_quoted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client would quote it, password and all; its place is named instead."""
    monkeypatch.setenv("KAFKA_PROXY", url)
    with pytest.raises(ConfigError, match="the proxy_url in KAFKA_PROXY") as caught:
        create(table(proxy_url={"env": "KAFKA_PROXY"}))
    assert "mumble" not in str(caught.value)
