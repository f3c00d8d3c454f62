"""Kubernetes' own audit inside a LogEntry: `io.k8s.core.v1.secrets.list` of `core/v1/namespaces/shop/secrets`."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.decoders._cluster import RELEASE, Asked
from pipeline.decoders._expressions import first
from pipeline.decoders.gcp.places import METHOD, RESOURCE, SERVICE, WORD

IS_CLUSTER: Final = SERVICE == "k8s.io"

_API: Final = r"^([^/]+)/(v\d[^/]*)/(.+)$"  # group, version, what is asked for
# A namespace's own subresources: what else follows its name is in it.
_IN_NAMESPACE: Final = r"^namespaces/([^/]+)/([^/]+)"
_OF_NAMESPACE: Final = ["status", "finalize"]

_KIND: Final = pl.col("kind")
_SUB: Final = pl.col("sub")
_OBJECT: Final = pl.col("object")
_SECRETS: Final = (_KIND == "secrets") & (pl.col("group") == "core")


def in_cluster(known: pl.DataFrame) -> pl.DataFrame:
    """The columns of vocabulary.describe; what they say of rows of other services means nothing."""
    return _split(known).select(
        store=pl.lit("kubernetes"),
        namespace="space",
        cluster="label_cluster",
        mount=first((_KIND == "", ""), otherwise=_KIND + "/"),
        secret=first((_SECRETS & (_OBJECT != ""), "secrets/" + _OBJECT.str.replace(RELEASE, "$1")), otherwise=""),
        version=pl.when(_SECRETS).then(_OBJECT.str.extract(RELEASE, 2)),
        path="uri",
        operation=_operation(),
        api_operation=first((WORD == "", pl.lit(None, pl.String)), otherwise=WORD),
        gives=_SECRETS & _operation().is_in(["read", "list"]),
        external=pl.lit(value=False),
        login=pl.when(_issues()).then(pl.concat_str(pl.lit("system:serviceaccount:"), "space", pl.lit(":"), "object")),
        login_key=pl.lit(None, pl.String),
    )


def _split(known: pl.DataFrame) -> pl.DataFrame:
    """`known` with uri, space (the namespace), kind (the resource, plural), object (its name) and sub."""
    resource = RESOURCE.str.strip_chars("/")
    group, version, rest = (resource.str.extract(_API, part) for part in (1, 2, 3))
    base = first((group.is_in(["core", "api"]), "/api/" + version), otherwise="/apis/" + group + "/" + version)
    below = rest.str.extract(_IN_NAMESPACE, 2)
    inside = below.is_not_null() & ~below.is_in(_OF_NAMESPACE)
    own = first((inside, rest.str.replace(r"^namespaces/[^/]+/", "")), otherwise=rest)
    parts = own.str.splitn("/", 3).struct
    method = METHOD.str.extract(r"^io\.k8s\.(?:[\w-]+\.)*?v\d\w*\.([a-z]+)\.")
    return known.with_columns(
        group=group.replace("api", "core").fill_null("core"),
        uri=pl.coalesce(base + "/" + rest, pl.when(resource != "").then("/" + resource), "k8s.io/" + METHOD),
        space=pl.coalesce(rest.str.extract(r"^namespaces/([^/]+)"), pl.lit("")),
        kind=pl.coalesce(parts.field("field_0"), pl.when(resource == "").then(method), pl.lit("")),
        object=parts.field("field_1").fill_null(""),
        sub=parts.field("field_2").fill_null(""),
    )


def _issues() -> pl.Expr:
    """A token is made for a service account."""
    return (_KIND == "serviceaccounts") & (_SUB == "token") & (WORD == "create")


def _operation() -> pl.Expr:
    return Asked(
        verb=WORD, resource=_KIND, part=_SUB, secrets=_SECRETS, named=_OBJECT != "", issued=_issues()
    ).operation()
