"""What is read from a record of Azure Monitor; what an AKS record holds is read by the format `kubernetes`."""

from __future__ import annotations

from typing import Final

from pipeline.decoders._fields import Field

EXACT: Final = "keytrail.exact"  # put beside a record's own fields by the exact parser
_TOP: Final = (
    "time", "category", "operationName", "resourceId", "resultType", "resultSignature", "resultDescription",
    "durationMs", "callerIpAddress", "correlationId", "clientInfo", "httpStatusCode", "requestUri",
)  # fmt: skip
_SOAP: Final = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
# The short names that a token's claims go by, the long ones that stand for some of them, and what becomes of the long
# ones where a name must not hold dots.
CLAIMS: Final[dict[str, tuple[str, ...]]] = {
    **{name: (name,) for name in ("upn", "unique_name", "oid", "appid", "idtyp", "uti", "xms_mirid")},
    "upn_uri": (f"{_SOAP}upn",),
    "name_uri": (f"{_SOAP}name",),
    "oid_uri": ("http://schemas.microsoft.com/identity/claims/objectidentifier",),
    "upn_parts": ("http_schemas_xmlsoap_org_ws_2005_05_identity", "claims", "upn"),
    "oid_parts": ("http_schemas_microsoft_com_identity", "claims", "objectidentifier"),
}
HOLDERS: Final = ("claim", "claims")  # Key Vault and the Activity Log call them so
_PROPERTIES: Final = ("id", "clientInfo", "httpStatusCode", "requestUri", "log", "statusCode")
_NOTICE: Final = ("properties", "eventGridEventProperties")

FIELDS: Final[dict[str, Field]] = {
    **{name: Field((name,), "text") for name in _TOP},
    **{
        f"{holder}_{name}": Field(("identity", holder, *written), "text")
        for holder in HOLDERS
        for name, written in CLAIMS.items()
    },
    **{f"properties_{name}": Field(("properties", name), "text") for name in _PROPERTIES},
    "policy_match": Field(("properties", "isAccessPolicyMatch"), "bool"),
    "rbac_authorized": Field(("properties", "isRbacAuthorized"), "bool"),
    "exact": Field((EXACT,), "bool"),
    "notice_id": Field((*_NOTICE, "id"), "text"),
    "notice_name": Field((*_NOTICE, "data", "ObjectName"), "text"),
    "notice_vault": Field((*_NOTICE, "data", "VaultName"), "text"),
}
