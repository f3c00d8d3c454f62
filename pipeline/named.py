"""What the config names, looked up and built: detectors, sinks, and every table as its room understands it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline import config as conf
from pipeline.baselines import Config as BaselinesConfig
from pipeline.core import plugins
from pipeline.core.errors import ConfigError, MissingSecretError
from pipeline.enrich import Config as EnrichConfig
from pipeline.ledger.statements import Configuration
from pipeline.probe import Config as ProbeConfig
from pipeline.routing import PER_DAY_MAX, OutboxConfig, unusable
from pipeline.routing import Config as RoutingConfig
from pipeline.scan import Config as ScanConfig
from pipeline.sli import Config as SliConfig
from pipeline.store import StoreConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.ports import Detector, Sink

TABLES = (
    "line", "detection", "detectors", "sources", "decoders", "enrich", "baselines", "slis", "alerts", "outbox", "sinks",
    "store", "canary", "ledger", "integrity", "probe", "scan",
)  # fmt: skip


DETECTORS_MOST = 100_000_000  # of whatever a detector counts: more would not fit into memory, or into its hours
CANDIDATES = 10.0  # findings a day that each detector may offer, for one alert a day that is wanted


def detectors(settings: conf.Settings) -> list[Detector]:
    """Every detector folder that the config does not switch off, with its own table."""
    return [plugins.load("detectors", name).create(config) for name, config in configured(settings).items()]


def configured(settings: conf.Settings) -> dict[str, Any]:
    """The table of each detector that runs, by name. Raises ConfigError."""
    off, known = _off(settings), plugins.kinds("detectors")
    _there_are(settings, settings.names("detectors"))
    return {name: _detector(settings, name) for name in known if name not in off}


def _off(settings: conf.Settings) -> tuple[str, ...]:
    """The detectors that the config switches off. Raises ConfigError."""
    off = settings.table(conf.Detection, "detection").disabled
    _there_are(settings, off)
    return off


def _there_are(settings: conf.Settings, names: Sequence[str]) -> None:
    known = plugins.kinds("detectors")
    for name in names:
        if name not in known:
            raise ConfigError(f"{settings.path}: there is no detector {name!r}; there are: {', '.join(known)}")


def _detector(settings: conf.Settings, name: str) -> Any:
    """A detector's own table. How many candidates it offers a day follows from how many alerts are wanted."""
    config = settings.table(plugins.load("detectors", name).Config, "detectors", name, most=DETECTORS_MOST)
    given = settings.tree.get("detectors", {}).get(name, {})
    if not hasattr(config, "per_day"):
        return config
    if "per_day" in given:
        most = CANDIDATES * PER_DAY_MAX
        if not 0 < config.per_day <= most:
            raise ConfigError(f"{settings.path}: [detectors.{name}] per_day: above 0, at most {most:,.0f}")
        return config
    wanted = settings.table(RoutingConfig, "alerts").per_day
    return msgspec.structs.replace(config, per_day=CANDIDATES * wanted)


def _own(settings: conf.Settings, room: str, prefix: str, kind: str) -> Any:
    if room == "detectors":
        return _detector(settings, kind)
    return settings.table(plugins.load(room, kind).Config, prefix, kind)


def unusable_rules(settings: conf.Settings) -> list[str]:
    """In words, which suppressions, and what in the rule files of detectors, cannot be used. Raises ConfigError."""
    found = unusable(settings.table(RoutingConfig, "alerts").suppressions)
    for name in plugins.kinds("detectors"):
        module = plugins.load("detectors", name)
        if hasattr(module, "check"):
            found += module.check(settings.table(module.Config, "detectors", name))
    return found


def build_sinks(settings: conf.Settings) -> dict[str, Sink]:
    """Every `[sinks.NAME]`, by name. Raises ConfigError, MissingSecretError."""
    tables = {name: _sink(settings, name) for name in settings.names("sinks")}
    return {name: _made(settings, name, *table) for name, table in tables.items()}


def unusable_sinks(settings: conf.Settings) -> list[str]:
    """In words, which sinks' secrets are not here, as they may be where it runs. Raises ConfigError for a sink that
    could be made nowhere.
    """
    missing: list[str] = []
    for name in settings.names("sinks"):
        try:
            _made(settings, name, *_sink(settings, name)).close()
        except MissingSecretError as error:
            missing.append(str(error))
    return missing


def _made(settings: conf.Settings, name: str, module: Any, config: Any) -> Sink:
    try:
        sink: Sink = module.create(config)
    except ConfigError as error:
        raise type(error)(f"{settings.path}: [sinks.{name}] {error}") from None
    return sink


def _sink(settings: conf.Settings, name: str) -> tuple[Any, Any]:
    """The sink's module and its config. Raises ConfigError."""
    table = settings.tree["sinks"][name]
    kind = table.get("kind") if isinstance(table, dict) else None
    known = plugins.kinds("pipeline.sinks")
    if kind not in known:
        said = "needs a kind" if kind is None else f"kind {kind!r} is unknown"
        raise ConfigError(f"{settings.path}: [sinks.{name}] {said}; there are: {', '.join(known)}")
    module = plugins.load("pipeline.sinks", kind)
    own = {"sinks": {name: {key: item for key, item in table.items() if key != "kind"}}}
    return module, conf.Settings(settings.path, own).table(module.Config, "sinks", name)


def configuration(settings: conf.Settings, running: Sequence[Detector], version: str) -> Configuration:
    """What a run goes by, for the ledger: the tables with their defaults, what the file says, the detectors."""
    own = configured(settings)
    detectors = [[d.info.name, d.info.version, own[d.info.name]] for d in running]
    return Configuration.of([_fixed(settings), settings.tree], detectors, version)


def _fixed(settings: conf.Settings) -> list[tuple[str, Any]]:
    fixed: list[tuple[str, Any]] = [
        ("line", conf.Line), ("detection", conf.Detection), ("enrich", EnrichConfig), ("baselines", BaselinesConfig),
        ("slis", SliConfig), ("alerts", RoutingConfig), ("store", StoreConfig), ("canary", conf.Canary),
        ("integrity", conf.Integrity), ("ledger", conf.LedgerConfig), ("outbox", OutboxConfig),
        ("probe", ProbeConfig), ("scan", ScanConfig),
    ]  # fmt: skip
    return [(name, settings.table(kind, name)) for name, kind in fixed]


def config_tables(settings: conf.Settings) -> list[tuple[str, Any]]:
    """Every table of the config as its room understands it; a bad one raises ConfigError."""
    found = _fixed(settings)
    _off(settings)
    for room, prefix in (
        ("pipeline.sources", "sources"),
        ("pipeline.decoders", "decoders"),
        ("detectors", "detectors"),
    ):
        known = plugins.kinds(room)
        for name in settings.names(prefix):
            if name not in known:
                raise ConfigError(f"{settings.path}: there is no [{prefix}.{name}]; there are: {', '.join(known)}")
        found += [(f"{prefix}.{kind}", _own(settings, room, prefix, kind)) for kind in known]
    return found + [(f"sinks.{name}", _sink(settings, name)[1]) for name in settings.names("sinks")]
