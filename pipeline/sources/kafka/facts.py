"""What the cluster says of itself and of topics: ids, partitions, clean-up policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.core.errors import NoInputError, SourceError
from pipeline.sources.kafka.client import ConfigResource, ConfigResourceType, KafkaAdminClient, KafkaError
from pipeline.sources.kafka.partition import COMPACTED, PROVEN, UNKNOWN


@dataclass(frozen=True, slots=True)
class Facts:
    """`topic_ids` and `policies` by topic; a policy is UNKNOWN where the broker does not let us ask."""

    cluster: str
    topic_ids: Mapping[str, str]
    partitions: Mapping[str, tuple[int, ...]]
    policies: Mapping[str, str]

    def renewed(self, topic: str, now: str) -> Facts:
        """The same with another id for a topic."""
        return replace(self, topic_ids={**self.topic_ids, topic: now})


def ask(servers: Sequence[str], topics: Sequence[str], options: Mapping[str, Any]) -> Facts:
    """Ask the cluster. Raises NoInputError for a topic that is not there, SourceError when it does not answer."""
    try:
        admin = KafkaAdminClient(bootstrap_servers=list(servers), **options)
        try:
            return _asked(admin, topics)
        finally:
            admin.close()
    except KafkaError as error:
        raise SourceError(
            f"Kafka at {', '.join(servers)} does not answer: {type(error).__name__}{_doubt(options)}"
        ) from None


def _doubt(options: Mapping[str, Any]) -> str:
    """What else it may be: the client (3.0.12) tries again after a refused log-in, and tells only of the time."""
    refused = {"SASL_PLAINTEXT": "log-in", "SASL_SSL": "log-in or certificate", "SSL": "certificate"}
    what = refused.get(options.get("security_protocol", ""))
    return f", or it has refused the {what}" if what else ""


def _asked(admin: Any, topics: Sequence[str]) -> Facts:
    cluster = str(admin.describe_cluster().get("cluster_id") or "")
    described = {topic["name"]: topic for topic in admin.describe_topics(list(topics))}
    absent = [name for name in topics if described.get(name, {"error_code": 3}).get("error_code")]
    if absent:
        raise NoInputError(f"no such topic, or no right to read it: {', '.join(absent)}")
    ids = {name: topic_id(topic.get("topic_id")) for name, topic in described.items()}
    numbers = {
        name: tuple(sorted(part["partition_index"] for part in topic["partitions"]))
        for name, topic in described.items()
    }
    return Facts(cluster, ids, numbers, _policies(admin, topics))


def topic_id(told: Any) -> str:
    """A topic's id as text; "" from brokers before 2.8, which have none."""
    text = str(told or "")
    return "" if not text.strip("0-") else text


def _policies(admin: Any, topics: Sequence[str]) -> dict[str, str]:
    try:
        asked = [ConfigResource(ConfigResourceType.TOPIC, name, {"cleanup.policy": None}) for name in topics]
        found = admin.describe_configs(asked, config_filter="all")
    except KafkaError:
        return dict.fromkeys(topics, UNKNOWN)  # no right to ask: holes are then told as doubts
    told: Mapping[str, Any] = next(iter(found.values()), {})
    return {name: _policy(told.get(name, {}).get("cleanup.policy")) for name in topics}


def _policy(told: Any) -> str:
    value = told.get("value") if isinstance(told, Mapping) else None
    if not isinstance(value, str):
        return UNKNOWN
    return COMPACTED if "compact" in value else PROVEN
