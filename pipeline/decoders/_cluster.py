"""What is asked of a Kubernetes API server, whichever log tells of it, in the one vocabulary (SOURCES section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from pipeline.decoders._expressions import first

# Helm's name for what it keeps of a release, and of which revision; a binding to the role that may do everything.
RELEASE: Final = r"^(sh\.helm\.release\.v1\..+)\.v(\d{1,9})$"
ADMIN: Final = r'"roleRef"[ \t\r\n]*:[ \t\r\n]*\{[^{}]*"name"[ \t\r\n]*:[ \t\r\n]*"cluster-admin"'

_SEVERAL: Final = ("list", "watch", "watchlist")
# Who may do what: rights, accounts, and what stands between a request and its being done.
_RIGHTS: Final = (
    "roles", "clusterroles", "rolebindings", "clusterrolebindings", "serviceaccounts", "podsecuritypolicies",
    "mutatingwebhookconfigurations", "validatingwebhookconfigurations", "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
    "apiservices",
)  # fmt: skip
# "May I, what may I, who am I": to browse, though it is done by creating something.
_REVIEWS: Final = (
    "subjectaccessreviews", "localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews",
    "selfsubjectreviews",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """Columns of a log: the verb in lower case, the resource (plural) and its part, never null.

    `secrets`: it is about secrets; `named`: about one by its name; `issued`: a token is made for a service account.
    """

    verb: pl.Expr
    resource: pl.Expr
    part: pl.Expr
    secrets: pl.Expr
    named: pl.Expr
    issued: pl.Expr

    def operation(self) -> pl.Expr:
        """schema.OPERATIONS_VOCABULARY. To list or watch one secret by its name (a field selector) is to read it."""
        several = first((self.named, "read"), otherwise="list")
        alone = self._by_verb(read="read", several=several, write="write", delete="delete")
        return first(
            (self.secrets, first((self.part == "", alone), otherwise="other")),
            (self.issued | ((self.resource == "tokenreviews") & (self.verb == "create")), "auth"),
            (self.resource == "certificatesigningrequests", self._by_verb(write="auth", delete="delete")),
            (self.resource == "auditsinks", self._by_verb(write="audit_control", delete="audit_control")),
            (self.resource.is_in(_RIGHTS), self._by_verb(write="policy", delete="policy")),
            (self.resource.is_in(_REVIEWS), "list"),
            otherwise="other",
        )

    def _by_verb(self, *, write: str, delete: str, read: str = "list", several: pl.Expr | str = "list") -> pl.Expr:
        return first(
            (self.verb == "get", read),
            (self.verb.is_in(_SEVERAL), several),
            (self.verb.is_in(["create", "update", "patch"]), write),
            (self.verb.is_in(["delete", "deletecollection"]), delete),
            otherwise="other",
        )
