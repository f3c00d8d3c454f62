"""What is read from a Kubernetes audit event.

Some are read for their names alone: a name that is read elsewhere has to be accounted for wherever it may stand.
"""

from __future__ import annotations

from typing import Final

from pipeline.decoders._fields import Field


def _texts(prefix: str, path: tuple[str, ...], **names: str) -> dict[str, Field]:
    return {f"{prefix}_{name}": Field((*path, written), "text") for name, written in names.items()}


FIELDS: Final[dict[str, Field]] = {
    "kind": Field(("kind",), "text"),
    "api_version": Field(("apiVersion",), "text"),
    "audit_id": Field(("auditID",), "text"),
    "stage": Field(("stage",), "text"),
    "verb": Field(("verb",), "text"),
    "uri": Field(("requestURI",), "text"),
    "agent": Field(("userAgent",), "text"),
    "addresses": Field(("sourceIPs",), "texts"),
    "staged": Field(("stageTimestamp",), "text"),
    "received": Field(("requestReceivedTimestamp",), "text"),
    "stamped": Field(("timestamp",), "text"),
    **_texts("user", ("user",), name="username", uid="uid"),
    "user_groups": Field(("user", "groups"), "texts"),
    "user_credential": Field(("user", "extra", "authentication.kubernetes.io/credential-id"), "texts"),
    "user_access_key": Field(("user", "extra", "accessKeyId"), "texts"),
    **_texts("mask", ("impersonatedUser",), name="username", uid="uid"),
    "mask_groups": Field(("impersonatedUser", "groups"), "texts"),
    "mask_extra": Field(("impersonatedUser", "extra"), "json"),
    **_texts(
        "ref", ("objectRef",), resource="resource", namespace="namespace", name="name", uid="uid", group="apiGroup",
        version="apiVersion", part="subresource",
    ),
    **_texts("status", ("responseStatus",), word="status", message="message", reason="reason"),
    "status_code": Field(("responseStatus", "code"), "int"),
    "status_details": Field(("responseStatus", "details"), "json"),
    "asked": Field(("requestObject",), "json"),
    "answered": Field(("responseObject",), "json"),
    **_texts(
        "note", ("annotations",), decision="authorization.k8s.io/decision", why="authorization.k8s.io/reason",
        issued="authentication.kubernetes.io/issued-credential-id",
    ),
}  # fmt: skip
