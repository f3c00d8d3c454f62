"""RFC 3161 time stamps: what is asked of an authority, what its answer says, and whether to believe it.

The only place that knows rfc3161-client, which is an extra: the messages and the CMS signature are its.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import http.client
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from pipeline.core.errors import ConfigError, KeytrailError
from pipeline.ledger import asking
from pipeline.ledger.errors import LedgerError

Roots = Sequence[x509.Certificate]

_HASHES = {
    "2.16.840.1.101.3.4.2.1": hashlib.sha256,
    "2.16.840.1.101.3.4.2.2": hashlib.sha384,
    "2.16.840.1.101.3.4.2.3": hashlib.sha512,
}
_KIND = "application/timestamp-query"
_GRANTED = 0
_STATUS = ("granted", "granted with modifications", "rejected", "waiting", "revocation warning", "revocation notice")


class AuthorityError(KeytrailError):
    """The time-stamping authority could not be reached, or refused."""


class TokenError(LedgerError):
    """A token does not hold. `cause` is anchor_token (it cannot be read, or is no grant), anchor_imprint, anchor_nonce,
    anchor_root (the chain leads to no given root) or anchor_signature."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a token states: these bytes existed at this time (UTC). `trusted`: a given root vouches for it."""

    at: dt.datetime
    trusted: bool


def available() -> bool:
    """Whether the extra is installed."""
    try:
        _library()
    except ConfigError:
        return False
    return True


def load_roots(path: Path) -> Roots:
    """The certificates (PEM) of a file, each of them trusted. Raises ConfigError."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"time-stamping roots {path}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"time-stamping roots {path}: holds no PEM certificates") from None


def ask(url: str, data: bytes, roots: Roots, seconds: float) -> bytes:
    """An authority's answer over SHA-256 of `data` that says what was asked, under `roots` if there are any.

    Raises AuthorityError when it cannot be reached or refuses, TokenError when its answer does not hold, ConfigError
    for an address that cannot be used, or without the extra.
    """
    asking.usable(url, "time-stamping authority")
    library = _library()
    builder = library.TimestampRequestBuilder().data(data).hash_algorithm(library.HashAlgorithm.SHA256)
    request = builder.build()
    token = _answer(url, request.as_bytes(), seconds)
    check(token, data, roots, nonce=request.nonce)
    return token


def check(token: bytes, data: bytes, roots: Roots, *, nonce: int | None = None) -> Stamp:
    """What a token says of `data`. Without roots nobody vouches for its signature. Raises TokenError, ConfigError."""
    answer = _granted(_read(token))
    info = answer.tst_info
    imprint = info.message_imprint
    algorithm = _HASHES.get(imprint.hash_algorithm.dotted_string)
    if algorithm is None:
        raise TokenError("anchor_imprint", f"a time stamp over a hash of kind {imprint.hash_algorithm.dotted_string}")
    if algorithm(data).digest() != imprint.message:
        raise TokenError("anchor_imprint", "the time stamp is over other bytes")
    if nonce is not None and info.nonce != nonce:
        raise TokenError("anchor_nonce", "the time stamp answers another request: its nonce is not the one sent")
    if roots:
        _vouched(answer, imprint.message, roots)
    return Stamp(info.gen_time.astimezone(dt.UTC), bool(roots))


def _answer(url: str, request: bytes, seconds: float) -> bytes:
    host = urlsplit(url).netloc
    try:
        answer = asking.post(url, request, _KIND, seconds)
    except (OSError, http.client.HTTPException) as error:
        why = str(error) or type(error).__name__
        raise AuthorityError(f"the time-stamping authority {host} could not be asked: {why}") from None
    if answer.status != http.client.OK:
        raise AuthorityError(f"the time-stamping authority {host} answered with status {answer.status}")
    try:
        read = _read(answer.body)
    except TokenError as error:
        raise AuthorityError(f"the time-stamping authority {host} sent no time stamp: {error}") from None
    if read.status != _GRANTED:
        raise AuthorityError(f"the time-stamping authority {host} refused: {_refusal(read)}")
    return answer.body


def _read(token: bytes) -> Any:
    """A TimeStampResp whose token, if it has one, can be read."""
    library = _library()
    try:
        answer = library.decode_timestamp_response(token)
        if answer.status == _GRANTED:
            _ = answer.tst_info, answer.signed_data
    except (ValueError, TypeError) as error:
        raise TokenError("anchor_token", f"not an RFC 3161 time stamp ({_short(error)})") from None
    return answer


def _granted(answer: Any) -> Any:
    if answer.status != _GRANTED:
        raise TokenError("anchor_token", f"not a time stamp but a refusal: {_refusal(answer)}")
    return answer


def _refusal(answer: Any) -> str:
    status = _STATUS[answer.status] if answer.status < len(_STATUS) else f"status {answer.status}"
    told = "; ".join("".join(c if c.isprintable() else "?" for c in text)[:200] for text in answer.status_string)
    return f"{status} ({told})" if told else status


def _vouched(answer: Any, imprint: bytes, roots: Roots) -> None:
    """Raises TokenError unless the signature and its chain, as of the stamp's time, lead to one of the roots."""
    library = _library()
    verifier = library.VerifierBuilder(roots=list(roots)).build()
    try:
        verifier.verify(answer, imprint)
    except (library.VerificationError, x509.InvalidVersion, x509.DuplicateExtension, ValueError) as error:
        told = str(error)
        if "certificate verify error" in told or "signer certificate not found" in told:
            reason = told.partition("Verify error: ")[2].partition('"')[0] or "its signer's certificate is not there"
            raise TokenError("anchor_root", f"the time stamp's signer is under none of the roots: {reason}") from None
        raise TokenError("anchor_signature", f"the time stamp's signature does not hold: {_short(error)}") from None


def _short(error: Exception) -> str:
    """The beginning: the rest is a dump of another library's state."""
    return str(error).partition(": ErrorStack")[0].partition(" {")[0][:160] or type(error).__name__


def _library() -> Any:
    try:
        import rfc3161_client  # noqa: PLC0415  an extra: few have tokens to check
    except ImportError:
        raise ConfigError("time stamps need rfc3161-client: install keytrail[anchor]") from None
    return rfc3161_client
