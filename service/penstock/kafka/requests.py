"""Which requests do we send that the client does not know, or only in too early a version?"""

from collections.abc import Mapping

from aiokafka.protocol.admin import DescribeGroupsRequest_v2, DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)


class _MetadataResponseV8(Response):  # type: ignore[misc] # untyped base
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(
                ("node_id", Int32),
                ("host", String("utf-8")),
                ("port", Int32),
                ("rack", String("utf-8")),
            ),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataRequestV8(RequestStruct):  # type: ignore[misc] # untyped base
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponseV8
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class Metadata(Request[MetadataRequest_v5 | _MetadataRequestV8]):  # type: ignore[misc] # untyped base
    """Of these topics, none of which it creates. Brokers tell our rights (KIP-430) since they know
    the eighth version of it (2.3).
    """

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, version: type[RequestStruct]) -> RequestStruct:
        rights = (False, True) if version is _MetadataRequestV8 else ()
        return version(self._topics, False, *rights)


class _DescribeGroupsRequestV3(RequestStruct):  # type: ignore[misc] # untyped base
    """The client's own reads the answer as one of the version before, which has no rights."""

    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3
    SCHEMA = Schema(("groups", Array(String("utf-8"))), ("include_authorized_operations", Boolean))


class DescribeGroups(Request[DescribeGroupsRequest_v2 | _DescribeGroupsRequestV3]):  # type: ignore[misc] # untyped base
    """Of one group, with our rights."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, version: type[RequestStruct]) -> RequestStruct:
        rights = (True,) if version is _DescribeGroupsRequestV3 else ()
        return version([self._group], *rights)


class _AlterConfigsResponse(Response):  # type: ignore[misc] # untyped base
    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "resources",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class _AlterConfigsRequest(RequestStruct):  # type: ignore[misc] # untyped base
    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = _AlterConfigsResponse
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(
                        ("name", String("utf-8")),
                        ("operation", Int8),
                        ("value", String("utf-8")),
                    ),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class AlterConfigs(Request[_AlterConfigsRequest]):  # type: ignore[misc] # untyped base
    """Sets these settings of these topics, and leaves their others alone (KIP-339, since 2.3). The
    client's own replaces all of them: what somebody sets meanwhile would be gone.
    """

    API_KEY = 44

    _TOPIC = 2
    _SET = 0

    def __init__(self, changes: Mapping[str, Mapping[str, str]], *, validate_only: bool) -> None:
        self._changes = changes
        self._validate_only = validate_only

    def build(self, version: type[RequestStruct]) -> RequestStruct:
        resources = [
            (self._TOPIC, topic, [(name, self._SET, value) for name, value in settings.items()])
            for topic, settings in self._changes.items()
        ]
        return version(resources, self._validate_only)


_REPLICAS = CompactArray(
    ("replica_id", Int32),
    ("log_end_offset", Int64),
    ("last_fetch_timestamp", Int64),
    ("last_caught_up_timestamp", Int64),
    ("tags", TaggedFields),
)


class _DescribeQuorumResponseV1(Response):  # type: ignore[misc] # untyped base
    API_KEY = 55
    API_VERSION = 1
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("voters", _REPLICAS),
                        ("observers", _REPLICAS),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeQuorumRequestV1(RequestStruct):  # type: ignore[misc] # untyped base
    API_KEY = 55
    API_VERSION = 1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _DescribeQuorumResponseV1
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(("partition", Int32), ("tags", TaggedFields)),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeQuorum(Request[_DescribeQuorumRequestV1]):  # type: ignore[misc] # untyped base
    """Of the controllers, with the times of their clocks (KIP-836)."""

    API_KEY = 55

    def build(self, version: type[RequestStruct]) -> RequestStruct:
        return version([("__cluster_metadata", [(0, {})], {})], {})
