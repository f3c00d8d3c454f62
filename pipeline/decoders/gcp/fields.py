"""What is read from a LogEntry whose `protoPayload` is an AuditLog.

Objects that may hold anything (request, response, policies) are read as their text: what stands in them is counted
there, and picked out later where a method makes it worth the time.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.decoders._fields import Field

AUDIT_LOG: Final = "google.cloud.audit.AuditLog"

_AUDIT: Final = ("protoPayload",)
_WHO: Final = (*_AUDIT, "authenticationInfo")
_ASKED: Final = (*_AUDIT, "requestMetadata")
_LABELS: Final = ("resource", "labels")

FIELDS: Final[dict[str, Field]] = {
    "insert_id": Field(("insertId",), "text"),
    "log_name": Field(("logName",), "text"),
    "timestamp": Field(("timestamp",), "text"),
    "received": Field(("receiveTimestamp",), "text"),
    "labels": Field(("labels",), "json"),
    "operation_id": Field(("operation", "id"), "text"),
    "operation_first": Field(("operation", "first"), "bool"),
    "operation_last": Field(("operation", "last"), "bool"),
    "label_project": Field((*_LABELS, "project_id"), "text"),
    "label_location": Field((*_LABELS, "location"), "text"),
    "label_cluster": Field((*_LABELS, "cluster_name"), "text"),
    "label_email": Field((*_LABELS, "email_id"), "text"),
    "label_service": Field((*_LABELS, "service"), "text"),
    "label_method": Field((*_LABELS, "method"), "text"),
    "audit_type": Field((*_AUDIT, "@type"), "text"),
    "service_name": Field((*_AUDIT, "serviceName"), "text"),
    "method_name": Field((*_AUDIT, "methodName"), "text"),
    "resource_name": Field((*_AUDIT, "resourceName"), "text"),
    "response_items": Field((*_AUDIT, "numResponseItems"), "int"),
    "status_code": Field((*_AUDIT, "status", "code"), "int"),
    "status_message": Field((*_AUDIT, "status", "message"), "text"),
    "status_details": Field((*_AUDIT, "status", "details"), "json"),
    "principal_email": Field((*_WHO, "principalEmail"), "text"),
    "principal_subject": Field((*_WHO, "principalSubject"), "text"),
    "authority_selector": Field((*_WHO, "authoritySelector"), "text"),
    "key_name": Field((*_WHO, "serviceAccountKeyName"), "text"),
    "delegation": Field((*_WHO, "serviceAccountDelegationInfo"), "json"),
    "third_party": Field((*_WHO, "thirdPartyPrincipal"), "json"),
    "service_delegation": Field((*_WHO, "serviceDelegationHistory"), "json"),
    "caller_ip": Field((*_ASKED, "callerIp"), "text"),
    "user_agent": Field((*_ASKED, "callerSuppliedUserAgent"), "text"),
    "requested": Field((*_ASKED, "requestAttributes", "time"), "text"),
    **{
        name: Field((*_AUDIT, path), "json")
        for name, path in {
            "authorization": "authorizationInfo", "request": "request", "response": "response",
            "metadata": "metadata", "service_data": "serviceData",
        }.items()
    },
}  # fmt: skip

# The first of these that is given is the entry's time.
TIMES: Final = ("timestamp", "requested", "received")

# An entry of the usual shape: says what it is, and which method of which service.
PLAIN: Final = (
    (pl.col("audit_type") == f"type.googleapis.com/{AUDIT_LOG}")
    & pl.col("service_name").is_not_null()
    & pl.col("method_name").is_not_null()
)
