"""From a resource's name to project, service, and the one name of each secret; worked out per distinct row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.decoders._expressions import first

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Below `projects/<project>/`: what a secret's name is made of, and its version.
_NAMED: Final = {
    "secretmanager": (r"(?:locations/(?:global|([^/]+))/)?secrets/([^/]+)", r"/versions/(\d{1,18})$"),
    "parametermanager": (r"locations/(?:global|([^/]+))/parameters/([^/]+)", r"/versions/(\d{1,18})$"),
    "cloudkms": (
        r"locations/([^/]+)/keyRings/([^/]+)/cryptoKeys/([^/]+)", r"/cryptoKeyVersions/(\d{1,18})$"
    ),
    "apikeys": (r"locations/(?:global|([^/]+))/keys/([^/]+)", r"/versions/(\d{1,18})$"),  # they have none
}  # fmt: skip
_ACCOUNT: Final = r"(?:^|/)serviceAccounts/([^/:]+)"
_PROJECT: Final = r"^projects/([^/]+)"
_OWNER: Final = r"^((?:projects|organizations|folders|billingAccounts)/[^/]+)"
_IS_ID: Final = r"^[a-z]"  # a number is the same project by another name
# Where a service goes by another word in the names of its methods.
_OTHERWISE: Final = {"kms": "cloudkms", "secrets": "secretmanager"}
# What a request to make something is about: the name it asks for, below the resource that will hold it.
_MADE: Final = {"createsecret": "/secrets/", "createcryptokey": "/cryptoKeys/", "createparameter": "/parameters/"}

METHOD: Final = pl.col("method")
WORD: Final = pl.col("word")
SERVICE: Final = pl.col("service")
RESOURCE: Final = pl.col("resource")


def given(name: str) -> pl.Expr:
    """A text column, null where it is empty."""
    return pl.col(name).replace("", None)


def holds(text: pl.Expr, pattern: str) -> pl.Expr:
    """Whether the text matches; where nothing stands, nothing matches."""
    return text.str.contains(pattern).fill_null(value=False)


def called(keys: pl.DataFrame) -> pl.DataFrame:
    """`keys` with method, word, service and resource: `…AccessSecretVersion`, `accesssecretversion`, `secretmanager`,
    `projects/…`."""
    kind = given("request_type").str.extract(r"([^/]+)$").str.strip_suffix("Request")
    told = given("service_name")
    return (
        keys.with_columns(method=pl.coalesce(given("method_name"), given("label_method"), kind))
        .with_columns(told=pl.coalesce(told, given("label_service")))
        .with_columns(
            word=METHOD.fill_null("").str.to_lowercase().str.extract(r"([^./]*)$"),
            service=pl.coalesce(pl.col("told").str.extract(r"^([^.]+)\..*googleapis\.com$"), "told", _guessed()),
            resource=pl.coalesce(given("resource_name"), given("asked_name"), pl.lit("")).str.replace(r"^//[^/]+/", ""),
        )
        .with_columns(service=SERVICE.fill_null(""))
    )


def _guessed() -> pl.Expr:
    """The service by the first word of the method that names one."""
    word = METHOD.str.replace(r"^(?:google\.(?:cloud\.)?|(?:v\d+|alpha|beta)\.)", "").str.extract(r"^([a-z]+)\.")
    return word.replace(_OTHERWISE)


def placed(keys: pl.DataFrame, projects: Mapping[str, str]) -> pl.DataFrame:
    """What `called` gives, with project, external, location, account, and name and version of the secret beside it.

    `name` is a secret's name below its mount; `account` the service account that the entry is about.
    """
    made = first(
        *((holds(WORD, f"^{word}$") & ~RESOURCE.str.contains(below), RESOURCE + below + pl.col("asked_id"))
          for word, below in _MADE.items()),
        otherwise=RESOURCE,
    )  # fmt: skip
    target = pl.col("target")
    return keys.with_columns(target=pl.coalesce(made, RESOURCE)).with_columns(
        project=_project(projects),
        external=_external(projects),
        location=pl.coalesce(given("label_location"), target.str.extract(r"/locations/([^/]+)")),
        account=pl.coalesce(
            given("label_email"),
            pl.col("asked_account").str.extract(_ACCOUNT),
            RESOURCE.str.extract(_ACCOUNT).replace("-", None),
        ),
        name=_by_service(lambda name, _: _joined(target, name)),
        version=pl.coalesce(
            _by_service(lambda _, version: target.str.extract(version)),
            _by_service(lambda _, version: pl.col("answered_name").str.extract(version)),
            pl.col("asked_version").str.extract(r"^(\d{1,18})$"),
        ),
    )


def _of_resource(projects: Mapping[str, str]) -> pl.Expr:
    """The project in the resource's name; `-` and `_` stand for any."""
    return RESOURCE.str.extract(_PROJECT).replace({"-": None, "_": None}).replace(dict(projects))


def of_log(projects: Mapping[str, str]) -> pl.Expr:
    """The project in whose log the entry stands."""
    named = pl.coalesce(given("label_project"), pl.col("log_name").str.extract(_PROJECT))
    return named.replace(dict(projects))


def _project(projects: Mapping[str, str]) -> pl.Expr:
    """Whose resource it is: by id where one is told, else by number; of what is above projects, what it is."""
    own, log = _of_resource(projects), of_log(projects)
    by_id = pl.when(own.str.contains(_IS_ID)).then(own)
    above = pl.coalesce(RESOURCE.str.extract(_OWNER), pl.col("log_name").str.extract(_OWNER))
    nobody = above.str.contains(r"^projects/[-_]$")
    return pl.coalesce(by_id, log, own, pl.when(~nobody).then(above), pl.lit(""))


def _external(projects: Mapping[str, str]) -> pl.Expr:
    """The resource is of another project than the log."""
    own, log = _of_resource(projects), of_log(projects)
    return (own.str.contains(_IS_ID) & log.str.contains(_IS_ID) & (own != log)).fill_null(value=False)


def _by_service(how: Callable[[str, str], pl.Expr]) -> pl.Expr:
    cases = ((pl.lit(service) == SERVICE, how(name, version)) for service, (name, version) in _NAMED.items())
    return first(*cases, otherwise=pl.lit(None, pl.String))


def _joined(target: pl.Expr, pattern: str) -> pl.Expr:
    """The groups of the pattern that are there, as one name; null where the last is not."""
    groups = range(1, pattern.count("([") + 1)
    parts = [target.str.extract(rf"^projects/[^/]+/{pattern}(?:/|$)", group) for group in groups]
    return pl.when(parts[-1].is_not_null()).then(pl.concat_str(parts, separator="/", ignore_nulls=True))
