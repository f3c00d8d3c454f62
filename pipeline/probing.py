"""`keytrail probe`: canaries to a live store, looked for in the lake that a `run --follow` is filling."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from pipeline import config as conf
from pipeline import store
from pipeline.core.errors import ConfigError, NoInputError
from pipeline.core.secrets import SecretRef
from pipeline.probe import Config, Numbers, Prober, Result, Store

DAY = 86_400
SQL = "SELECT devices FROM operations WHERE correlation_uid = ?"


def probe(lake: Path, settings: conf.Settings, count: int, overrides: dict[str, Any]) -> Iterator[Result]:
    """Send `count` canaries, one an interval. `overrides` are keys of `[probe]` that the command line gave.

    Raises ConfigError for a store, token, key or number file that cannot be used.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    config = msgspec.structs.replace(settings.table(Config, "probe"), **given)
    if not all(0 <= seconds <= DAY for seconds in (config.interval_seconds, config.timeout_seconds)):
        raise ConfigError(f"interval and timeout of a probe are 0 to {DAY:,} seconds")
    canary = settings.table(conf.Canary, "canary")
    if canary.key is None:
        raise ConfigError("probe needs the canary's key: [canary] key = { file = … } or { env = … }")
    address = config.address or os.environ.get("BAO_ADDR") or os.environ.get("VAULT_ADDR") or ""
    client = Store(address, _token(config), namespace=config.namespace, ca=config.ca)
    key = canary.key.resolve().encode()
    try:
        with Numbers(_numbers(config, address)) as numbers:
            prober = Prober(
                client, numbers, key, canary.header, config.path, lambda request: _devices(lake, request),
                time.monotonic, time.sleep,
            )  # fmt: skip
            for sent in range(count):
                if sent:
                    time.sleep(config.interval_seconds)
                yield prober.once(config.timeout_seconds)
    finally:
        client.close()


def _token(config: Config) -> str:
    given = [SecretRef(env=name) for name in ("BAO_TOKEN", "VAULT_TOKEN") if os.environ.get(name)]
    places = given if config.token is None else [config.token]
    if not places:
        raise ConfigError("probe needs a token: [probe] token = { file = … }, or BAO_TOKEN in the environment")
    return places[0].for_header()


def _numbers(config: Config, address: str) -> Path:
    if config.numbers:
        return Path(config.numbers).expanduser()
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "keytrail" / f"canary-{hashlib.sha256(address.encode()).hexdigest()[:16]}"


def _devices(lake: Path, request: str) -> list[str]:
    """Which devices of the lake tell of a request; none for a lake that is still to be made."""
    try:
        found = store.query(lake, SQL, [request])
    except NoInputError:
        return []
    return [device for row in found.column("devices").to_pylist() for device in row]
