"""What the entries of one request must share, between its halves and between the devices that tell of it (V14).

Every pair of the recordings agrees in path, operation, address and namespace. Two devices that hold the same half agree
in everything that is not hashed: who asked and what came of it. Which of them was changed cannot be told, so the place
is `altered` on each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from pipeline.integrity.pairing import Paired

HALVES: Final = ("path", "api_operation", "client_ip", "namespace")
DEVICES: Final = (
    "operation", "outcome", "principal", "entity", "token_type", "mount", "secret", "secret_version", "user_agent",
    "error", "policies", "login_principal", "login_policies", "token_ttl", "wrap_ttl", "mount_type", "discloses_value",
)  # fmt: skip
PATH: Final = pl.col("path").str.strip_suffix("/")  # of a mount itself, the server adds the slash between the halves
WORDS: Final = {"api_operation": "operation", "client_ip": "address", "principal": "caller"}


def disagreeing(paired: Paired) -> pl.DataFrame:
    """The ENTRY rows of requests whose entries disagree, with `cause` and `evidence`."""
    own = pl.lit(value=True)
    if paired.entries["forwarded"].any():
        own = ~pl.col("forwarded").fill_null(value=False)  # a standby carries the same request on (V8)
    columns = ("operation_uid", "phase", "source", *HALVES, *DEVICES, "flags", "clear")
    entries = paired.entries.lazy().filter(own).select(columns).with_columns(PATH).collect()
    suspects = [_differing(entries, ("operation_uid",), HALVES)]
    if entries["source"].n_unique() > 1:
        suspects += [_differing(entries, ("operation_uid", "phase"), DEVICES), _optioned(entries)]
    odd = pl.concat(suspects).unique().to_frame()
    told = (
        paired.entries.filter(own).join(odd, on="operation_uid", how="semi", maintain_order="left")
        if len(odd)
        else (paired.entries.clear())
    )
    return pl.concat([_explained(told), _unlike_stored(paired)])


def _differing(entries: pl.DataFrame, key: tuple[str, ...], names: tuple[str, ...]) -> pl.Series:
    """Operations in which entries with the same key differ in one of these columns."""
    seen = entries.select(*key, seen=pl.struct(names).hash())
    differs = seen.select(pl.col("seen") != pl.col("seen").first().over(key)).to_series()
    return seen.filter(differs)["operation_uid"]


def _optioned(entries: pl.DataFrame) -> pl.Series:
    """Operations of which some entry names options: few, and they are looked at one by one."""
    return entries.filter(pl.col("flags").list.len() > 0)["operation_uid"].unique()


def _explained(told: pl.DataFrame) -> pl.DataFrame:
    """The entries with what they disagree in; those that only seemed to are left out."""
    if told.is_empty():
        return told.with_columns(pl.lit(None, pl.String).alias(name) for name in ("cause", "evidence"))
    halves = [(PATH if name == "path" else pl.col(name)).n_unique().gt(1).alias(name) for name in HALVES]
    devices = [_apart(name).alias(f"device {name}") for name in (*DEVICES, "flags")]
    over_all = told.group_by("operation_uid").agg(halves)
    within = told.group_by("operation_uid", "source").agg(halves).group_by("operation_uid").agg(
        within=pl.any_horizontal(pl.col(name).any() for name in HALVES)
    )  # fmt: skip
    apart = told.group_by("operation_uid", "phase").agg(devices).group_by("operation_uid").agg(
        pl.col(f"device {name}").any() for name in (*DEVICES, "flags")
    )  # fmt: skip
    found = over_all.join(apart, on="operation_uid").join(within, on="operation_uid")
    words = [pl.when(name).then(pl.lit(WORDS.get(name, name))) for name in HALVES]
    words += [pl.when(f"device {name}").then(pl.lit(WORDS.get(name, name.replace("_", " "))))
              for name in (*DEVICES, "flags")]  # fmt: skip
    named = found.select(
        "operation_uid",
        words=pl.concat_list(words).list.drop_nulls().list.unique(maintain_order=True).list.join(", "),
        cause=pl.when("within").then(pl.lit("halves_differ")).otherwise(pl.lit("devices_differ")),
    ).filter(pl.col("words") != "")
    evidence = pl.format("entries of one request disagree in {}", "words").alias("evidence")
    return told.join(named, on="operation_uid", how="inner", maintain_order="left").with_columns(evidence).drop("words")


def _apart(name: str) -> pl.Expr:
    """Whether devices differ in a column; an error that one of them hashed says nothing.

    A device that logs in clear shows options that the others hash, so those of its entries say nothing either.
    """
    if name == "flags":
        return pl.col("flags").filter(~pl.col("clear").fill_null(value=False)).n_unique() > 1
    differ = pl.col(name).n_unique() > 1
    return (
        differ if name != "error" else differ & ~pl.col("error").str.starts_with("hmac-").fill_null(value=False).any()
    )


def _unlike_stored(paired: Paired) -> pl.DataFrame:
    """Copies of an operation that was handed on before, by another device, and that they do not fit."""
    if paired.corrections.is_empty():
        return _explained(paired.entries.clear())
    names = (*HALVES, *DEVICES)
    stored = paired.corrections.select(
        operation_uid="uid", answer_told="response_uid", question_told="request_uid",
        **{f"{name}_told": name for name in names},
    )  # fmt: skip
    stored = stored.with_columns(path_told=pl.col("path_told").str.strip_suffix("/"))
    copies = paired.entries.filter("copy", ~pl.col("forwarded").fill_null(value=False))
    copies = copies.join(stored, on="operation_uid", how="inner", maintain_order="left")
    differs = pl.any_horizontal(
        (PATH if name == "path" else pl.col(name)).ne_missing(pl.col(f"{name}_told")) for name in HALVES
    )
    odd = copies.filter(differs | _answers_unlike()).select(paired.entries.columns)
    text = "these entries disagree with what another device told of the request before"
    return odd.with_columns(cause=pl.lit("devices_differ"), evidence=pl.lit(text))


def _answers_unlike() -> pl.Expr:
    """Whether a copy of a response differs from the stored operation, which was read from another device's response.

    What the operation lacks it may have been made without, and of a log-in its request tells another token. The caller
    and a refusal may be those of the request: the copy's request tells of these.
    """
    asked, refused = pl.col("phase") == "request", pl.col("outcome") == "denied"
    apart = {name: pl.col(name).ne_missing(pl.col(f"{name}_told")) for name in DEVICES if name != "principal"}
    before = (asked & refused).any().over("operation_uid", "source") & (pl.col("outcome") == "success")
    apart["outcome"] = pl.when(before).then(pl.lit("denied")).otherwise("outcome") != pl.col("outcome_told")
    hashed = [pl.col(name).str.starts_with("hmac-").fill_null(value=False) for name in ("error", "error_told")]
    apart["error"] &= ~pl.any_horizontal(hashed) & pl.col("error").is_not_null()
    apart["discloses_value"] &= pl.col("discloses_value").is_not_null()
    for name in ("token_type", "token_ttl"):
        apart[name] &= pl.col("login_principal_told").is_null()
    known = [differs & pl.col(f"{name}_told").is_not_null() for name, differs in apart.items()]
    answered = pl.col("answer_told").is_not_null() & ~pl.col("answer_told").is_in(pl.col("uid").implode())
    caller = pl.col("question_told").is_not_null() & (pl.col("principal") != pl.col("principal_told"))
    return (~asked & answered & pl.any_horizontal(known)) | (asked & (pl.col("operation") != "auth") & caller)
