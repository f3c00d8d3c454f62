"""The Kafka client, and the few of its inner parts that this source stands on."""

from __future__ import annotations

import warnings

from pipeline.core.secrets import Tokens

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the client's own, about how it reads its schemas
    import kafka.codec as codecs
    import kafka.record.util as record_util
    from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
    from kafka.admin import ConfigResource, ConfigResourceType
    from kafka.consumer.fetcher import Fetcher
    from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.errors import (
        CorruptRecordError,
        FencedInstanceIdError,
        KafkaConfigurationError,
        KafkaError,
        KafkaTimeoutError,
        LogTruncationError,
        NoOffsetForPartitionError,
        OffsetOutOfRangeError,
    )
    from kafka.net.sasl.oauth import AbstractTokenProvider
    from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
    from kafka.record.memory_records import MemoryRecords
    from kafka.structs import OffsetAndMetadata

PartitionRecords = Fetcher.PartitionRecords
AbstractTokenProvider.register(Tokens)  # the client asks for the class


def fast_checksums() -> bool:
    """Whether CRC-32C is computed by native code; the pure one is 28 times slower."""
    return record_util.crc32c_c is not None


__all__ = [
    "AsyncConsumerRebalanceListener",
    "ConfigResource",
    "ConfigResourceType",
    "CooperativeStickyAssignor",
    "CorruptRecordError",
    "DefaultRecordBatch",
    "DefaultRecordBatchBuilder",
    "FencedInstanceIdError",
    "Fetcher",
    "KafkaAdminClient",
    "KafkaConfigurationError",
    "KafkaConsumer",
    "KafkaError",
    "KafkaTimeoutError",
    "LogTruncationError",
    "MemoryRecords",
    "NoOffsetForPartitionError",
    "OffsetAndMetadata",
    "OffsetOutOfRangeError",
    "PartitionRecords",
    "Tokens",
    "TopicPartition",
    "codecs",
    "fast_checksums",
]
