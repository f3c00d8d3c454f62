"""What is read from a CloudTrail record.

Names such as `arn`, `type` and `userName` stand in many parts of a record. The parts that may hold anything are read
whole, so that each of those names is accounted for wherever it stands.
"""

from __future__ import annotations

from typing import Final

from pipeline.decoders._fields import Field

_TEXTS: Final = {
    "event_version": "eventVersion",
    "event_time": "eventTime",
    "event_source": "eventSource",
    "event_name": "eventName",
    "event_type": "eventType",
    "event_id": "eventID",
    "region": "awsRegion",
    "source_ip": "sourceIPAddress",
    "user_agent": "userAgent",
    "error_code": "errorCode",
    "error_message": "errorMessage",
    "recipient": "recipientAccountId",
}
_WHOLE: Final = {
    "request": "requestParameters",
    "response": "responseElements",
    "additional": "additionalEventData",
    "resources": "resources",
    "service_event": "serviceEventDetails",
    "event_context": "eventContext",
    "insight": "insightDetails",
    "edge_device": "edgeDeviceDetails",
}
_CALLER: Final = {
    "user_type": "type",
    "user_principal": "principalId",
    "user_arn": "arn",
    "user_account": "accountId",
    "user_key": "accessKeyId",
    "user_name": "userName",
    "user_invoked_by": "invokedBy",
    "user_provider": "identityProvider",
}
_ISSUER: Final = {
    "issuer_type": "type",
    "issuer_principal": "principalId",
    "issuer_arn": "arn",
    "issuer_account": "accountId",
    "issuer_name": "userName",
}
_WHO: Final = "userIdentity"

FIELDS: Final[dict[str, Field]] = {
    **{name: Field((key,), "text") for name, key in _TEXTS.items()},
    **{name: Field((key,), "json") for name, key in _WHOLE.items()},
    "read_only": Field(("readOnly",), "bool"),
    **{name: Field((_WHO, key), "text") for name, key in _CALLER.items()},
    **{name: Field((_WHO, "sessionContext", "sessionIssuer", key), "text") for name, key in _ISSUER.items()},
    "user_behalf": Field((_WHO, "onBehalfOf", "userId"), "text"),
}

NULLABLE: Final = ("request", "response", "additional", "resources")
