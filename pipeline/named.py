"""What the config names, looked up and built: detectors, sinks, and every table as its room understands it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline import config as conf
from pipeline.baselines import Config as BaselinesConfig
from pipeline.core import plugins
from pipeline.core.errors import ConfigError
from pipeline.enrich import Config as EnrichConfig
from pipeline.probe import Config as ProbeConfig
from pipeline.routing import Config as RoutingConfig
from pipeline.routing import OutboxConfig
from pipeline.sli import Config as SliConfig
from pipeline.store import StoreConfig

if TYPE_CHECKING:
    from pipeline.core.ports import Detector, Sink

TABLES = (
    "line", "detection", "detectors", "sources", "decoders", "enrich", "baselines", "slis", "alerts", "outbox", "sinks",
    "store", "canary", "ledger", "integrity", "probe",
)  # fmt: skip


def detectors(settings: conf.Settings) -> list[Detector]:
    """Every detector folder that the config does not switch off, with its own table."""
    off = settings.table(conf.Detection, "detection").disabled
    known = plugins.kinds("detectors")
    for name in (*off, *settings.names("detectors")):
        if name not in known:
            raise ConfigError(f"{settings.path}: there is no detector {name!r}; there are: {', '.join(known)}")
    built = []
    for name in known:
        if name in off:
            continue
        module = plugins.load("detectors", name)
        built.append(module.create(settings.table(module.Config, "detectors", name)))
    return built


def build_sinks(settings: conf.Settings) -> dict[str, Sink]:
    """Every `[sinks.NAME]`, by name."""
    tables = {name: _sink(settings, name) for name in settings.names("sinks")}
    return {name: module.create(config) for name, (module, config) in tables.items()}


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


def config_tables(settings: conf.Settings) -> list[tuple[str, Any]]:
    """Every table of the config as its room understands it; a bad one raises ConfigError."""
    fixed: list[tuple[str, Any]] = [
        ("line", conf.Line), ("detection", conf.Detection), ("enrich", EnrichConfig), ("baselines", BaselinesConfig),
        ("slis", SliConfig), ("alerts", RoutingConfig), ("store", StoreConfig), ("canary", conf.Canary),
        ("integrity", conf.Integrity), ("ledger", conf.LedgerConfig), ("outbox", OutboxConfig),
        ("probe", ProbeConfig),
    ]  # fmt: skip
    found = [(name, settings.table(kind, name)) for name, kind in fixed]
    for room, prefix in (
        ("pipeline.sources", "sources"),
        ("pipeline.decoders", "decoders"),
        ("detectors", "detectors"),
    ):
        known = plugins.kinds(room)
        for name in settings.names(prefix):
            if name not in known:
                raise ConfigError(f"{settings.path}: there is no [{prefix}.{name}]; there are: {', '.join(known)}")
        found += [(f"{prefix}.{kind}", settings.table(plugins.load(room, kind).Config, prefix, kind)) for kind in known]
    return found + [(f"sinks.{name}", _sink(settings, name)[1]) for name in settings.names("sinks")]
