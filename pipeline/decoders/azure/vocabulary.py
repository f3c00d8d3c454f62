"""From the store's own words to the one vocabulary of operations (SOURCES section 3), per distinct word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

# Of Key Vault and Managed HSM, lower-cased; the first that matches.
_VAULT: Final = {
    r"authentication": "auth",
    r".*accesspolicychanged.*": "policy",
    r".*eventgridnotification": "other",
    r"certificate(?:renew|enroll)|keyrotate(?:ifdue)?|.*regenerate(?:key)?": "rotate",
    r"(?:vault|managedhsm|hsm)(?:put|patch|create|update)": "policy",
    r".*policy(?:set|update|put)|certificate(?:issuer|contacts)(?:set|update)": "policy",
    r"role(?:assignment|definition)s?(?:create|set|put|update|delete)|.*settings?(?:set|update)": "policy",
    r".*(?:delete|purge)": "delete",
    r"secretget|key(?:decrypt|unwrap|sign|release|export)|sasdefinitionget": "read",
    r"(?:secret|key|certificate|storage(?:account)?)backup|(?:full)?backup(?:create|start)?": "read",
    r".*(?:get|list|getdeleted|listdeleted|listversions|status|pending)": "list",
    r"securitydomain.*|hsmactivate.*": "seal",
    r".*(?:set|update|create|import|restore|recover|merge|start)": "write",
}
# Of the Activity Log, lower-cased; the first that matches.
_ACTIVITY: Final = {
    r"microsoft\.insights/(?:diagnosticsettings|logprofiles)/(?!read$).*": "audit_control",
    r"microsoft\.insights/.*/read": "list",
    r"microsoft\.authorization/(?:role|deny|policy|elevate|lock)[^/]*/(?!read$).*": "policy",
    r"microsoft\.authorization/.*/read": "list",
    r"microsoft\.keyvault/.*/(?:delete|purge/action)": "delete",
    r"microsoft\.keyvault/.*/(?:getsecret|backup|decrypt|unwrap|sign|release)/action": "read",
    r"microsoft\.keyvault/.*/rotate/action": "rotate",
    r"microsoft\.keyvault/(?:vaults|managedhsms|hsms)(?:/(?:accesspolicies|networkrules|[^/]*connections?))*/write": (
        "policy"
    ),
    r"microsoft\.keyvault/.*/(?:write|setsecret/action|recover/action|restore/action|import/action)": "write",
    r"microsoft\.keyvault/.*/(?:read|list/action)": "list",
    r".*/list[^/]*(?:keys?|secrets?|credentials?|connectionstrings?|sas)/action": "read",
    r".*/regenerate[^/]*/action": "rotate",
}
# What an answer to holds a value in clear. A backup leaves in a form that only a vault can open.
_VALUES: Final = (
    r"secretget|keydecrypt|keyunwrap|sasdefinitionget|microsoft\.keyvault/.*/(?:getsecret|decrypt|unwrap)/action"
    r"|(?!microsoft\.keyvault/).*/list[^/]*(?:keys?|secrets?|credentials?|connectionstrings?|sas)/action"
)
_TYPE: Final = re.compile(r"[^/]+/(?:.*/)?([^/]+)/(?:write|delete|read|[^/]+/action)")
_COLLECTIONS: Final = {
    "secret": "secrets", "key": "keys", "certificate": "certificates", "storage": "storage", "sas": "storage",
    "vault": "vaults", "roleassignment": "roleassignments", "roledefinition": "roledefinitions",
}  # fmt: skip
_FIRST: Final = re.compile("|".join(_COLLECTIONS))


def operation_of(name: str) -> str:
    """The operation that an `operationName` stands for."""
    lower = name.lower()
    table = _ACTIVITY if "/" in lower else _VAULT
    return next((value for how, value in table.items() if re.fullmatch(how, lower)), "other")


def gives_value(name: str) -> bool:
    """Whether an answer to this call, if it succeeds, holds a value in clear."""
    return re.fullmatch(_VALUES, name.lower()) is not None


def collection_of(name: str) -> str:
    """What the call is about: `secrets`, `vaults`, `diagnosticsettings` …; "" where its name does not tell."""
    lower = name.lower()
    if "/" in lower:
        found = _TYPE.fullmatch(lower)
        return "vaults" if found and found[1] == "deletedvaults" else found[1] if found else ""
    found = _FIRST.match(lower)
    return _COLLECTIONS[found[0]] if found else ""


def described(keys: pl.DataFrame) -> pl.DataFrame:
    """Of each `operationName`: operation, gives_value, collection."""
    names: Iterable[str] = keys["operationName"].fill_null("").to_list()
    rows = [(operation_of(name), gives_value(name), collection_of(name)) for name in names]
    schema = {"operation": pl.String, "gives_value": pl.Boolean, "collection": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")
