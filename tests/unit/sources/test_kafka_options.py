"""The `[sources.kafka]` table: the client's options by their own names, seconds spelled out, secrets by reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import config as conf
from pipeline.core.errors import ConfigError
from pipeline.sources.kafka import Config, within
from pipeline.sources.kafka.client import KafkaAdminClient, KafkaConsumer
from pipeline.sources.kafka.options import admin_options, client_options


def table(**keys: object) -> Config:
    return conf.Settings(Path("k.toml"), {"sources": {"kafka": keys}}).table(Config, "sources", "kafka")


def test_times_are_seconds() -> None:
    """A time goes to the client in its milliseconds; what is not given keeps the default."""
    made = client_options(table(session_timeout_seconds=2.5, group_instance_id="a"))
    assert made["session_timeout_ms"] == 2500
    assert made["group_instance_id"] == "a"
    assert made["heartbeat_interval_ms"] == KafkaConsumer.DEFAULT_CONFIG["heartbeat_interval_ms"]


def test_what_the_promises_rest_on() -> None:
    """The lake's positions, committed records, checked sums and cooperative moves cannot be configured away."""
    made = client_options(table())
    assert made["enable_auto_commit"] is False
    assert made["auto_offset_reset"] == "none"
    assert made["isolation_level"] == "read_committed"
    assert made["check_crcs"] is True
    assert made["allow_auto_create_topics"] is False
    assert set(made) <= set(KafkaConsumer.DEFAULT_CONFIG)
    for name in ("enable_auto_commit", "isolation_level", "group_id", "session_timeout_ms"):
        with pytest.raises(ConfigError, match=rf"k\.toml: \[sources\.kafka\] unknown key '{name}'.*allowed: "):
            table(**{name: 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [("security_protocol", "TLS"), ("sasl_mechanism", "MAGIC"), ("session_timeout_seconds", "soon"),
     ("quiet_seconds", -1), ("sasl_plain_password", "in clear"),
     ("proxy_url", "socks5://me:in clear@host:1"), ("check_records", -1)],
)  # fmt: skip
def test_values_that_cannot_be_used(key: str, value: object) -> None:
    """A wrong value is refused with file, table and key, and a secret in clear is not repeated."""
    with pytest.raises(ConfigError, match=rf"\[sources\.kafka\] {key}") as caught:
        table(**{key: value})
    assert "in clear" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "memory_mib", "buffer_mib", "batch_mib"),
    [({}, 256, 8, 5), ({}, 8_192, 64, 40), ({"buffer_bytes": 2 << 20, "batch_bytes": 1 << 20}, 256, 2, 1)],
)
def test_less_memory_holds_less(keys: dict[str, int], memory_mib: int, buffer_mib: int, batch_mib: int) -> None:
    """A bound on memory lessens what is read ahead and taken at once, and never adds to what the table says."""
    made = within(table(**keys), memory_mib << 20)
    assert (made.buffer_bytes >> 20, made.batch_bytes >> 20) == (buffer_mib, batch_mib)


def test_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords and tokens come from a file or the environment, are read when needed, and show in no repr."""
    place = tmp_path / "token"
    place.write_text("alpha\n", "utf-8")
    monkeypatch.setenv("KAFKA_WORD", "hush")
    monkeypatch.setenv("KAFKA_PROXY", "socks5://me:hush@127.0.0.1:1")
    config = table(
        security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", sasl_oauth_token={"file": str(place)},
        sasl_plain_password={"env": "KAFKA_WORD"}, proxy_url={"env": "KAFKA_PROXY"},
    )  # fmt: skip
    made = client_options(config)
    assert (made["sasl_plain_password"], made["proxy_url"]) == ("hush", "socks5://me:hush@127.0.0.1:1")
    provider = made["sasl_oauth_token_provider"]
    assert provider.token() == "alpha"
    place.write_text("omega\n", "utf-8")
    assert provider.token() == "omega"
    assert "hush" not in repr(config)
    assert "omega" not in repr(config) + repr(provider)
    assert set(admin_options(made)) <= set(KafkaAdminClient.DEFAULT_CONFIG)
    with pytest.raises(ConfigError, match="OAUTHBEARER needs sasl_oauth_token"):
        client_options(table(sasl_mechanism="OAUTHBEARER"))
