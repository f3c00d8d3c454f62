"""Topics of Apache Kafka, as a member of a consumer group whose positions are the lake's. See README.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError
from pipeline.sources.kafka.client import fast_checksums
from pipeline.sources.kafka.facts import ask
from pipeline.sources.kafka.options import Config, admin_options, client_options, within
from pipeline.sources.kafka.pump import Pump
from pipeline.sources.kafka.source import Kafka

if TYPE_CHECKING:
    from pipeline.core.clock import Clock

__all__ = ["Config", "Kafka", "create", "within"]


def create(
    config: Config, servers: Sequence[str], topics: Sequence[str], group: str, *, follow: bool, clock: Clock
) -> Kafka:
    """A source over `topics`, joined to `group`. Its first Handover asks for the positions to go on from.

    Raises ConfigError for options that cannot be used, NoInputError for a topic that is not there, and SourceError
    when the cluster does not answer.
    """
    if not fast_checksums():
        raise ConfigError("the package crc32c is missing: checksums in pure Python are 28 times slower; install it")
    options = client_options(config)
    facts = ask(servers, topics, admin_options(options))
    pump = Pump(
        config, facts, topics, {**options, "bootstrap_servers": list(servers), "group_id": group}, follow=follow
    )
    pump.start()
    return Kafka(config, pump, clock, follow=follow)
