"""Whom a name means: exactly one secret or principal, or close names to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.core.errors import ConfigError, NoInputError
from pipeline.core.text import plain, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.store import Ask

KINDS: Final = ("secret", "principal")
_CLOSE: Final = 5  # names that are suggested
_LIKE: Final = 0.85  # Jaro-Winkler: a letter or two are wrong

_SECRETS: Final = """
SELECT DISTINCT store, namespace, secret AS name FROM operations
WHERE secret <> '' AND (secret = $name OR namespace || '/' || secret = $name) ORDER BY ALL
"""
_PRINCIPALS: Final = """
SELECT 1 FROM operations WHERE principal = $name OR login_principal = $name LIMIT 1
"""
_CLOSEST: Final = """
WITH names AS (
  SELECT DISTINCT 'secret' AS kind, secret AS name FROM operations WHERE secret <> ''
  UNION SELECT DISTINCT 'principal', unnest([principal, login_principal]) FROM operations),
held AS (
  SELECT kind, name, ends_with(lower(name), lower($name)) AS suffix, contains(lower(name), lower($name)) AS within,
    jaro_winkler_similarity(lower(name), lower($name)) AS likeness
  FROM names WHERE name <> '' AND kind IN (SELECT unnest($kinds)))
SELECT kind, name, suffix, within FROM held WHERE within OR likeness >= $like
ORDER BY suffix DESC, within DESC, likeness DESC, kind, name
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who or what is asked about; store and namespace tell secrets of one name apart."""

    kind: str
    name: str
    store: str = ""
    namespace: str = ""


def subject(ask: Ask, name: str, kind: str | None, store: str | None, namespace: str | None) -> Subject:
    """The one secret or principal of that name. Raises NoInputError, with close names, when there is none, and
    ConfigError when several fit.
    """
    kinds = (kind,) if kind else KINDS
    found: list[Subject] = []
    if "secret" in kinds:
        rows = ask(_SECRETS, name=_given(name))
        if store is not None:
            rows = [row for row in rows if row["store"] == store]
        if namespace is not None:
            rows = [row for row in rows if (row["namespace"] or "") == namespace.strip("/")]
        found += [Subject("secret", row["name"], row["store"], row["namespace"] or "") for row in rows]
    if "principal" in kinds and ask(_PRINCIPALS, name=_given(name)):
        found.append(Subject("principal", name))
    if len(found) > 1:
        raise ConfigError(_ambiguous(name, found))
    return found[0] if found else _unknown(ask, name, kinds)


def _given(name: str) -> str:
    if not name or plain(name, len(name)) != name:
        raise ConfigError("give the name of a secret or a principal, in UTF-8")
    return name


def _ambiguous(name: str, found: Sequence[Subject]) -> str:
    if len({one.kind for one in found}) > 1:
        return f"{name!r} is a secret and a principal; say which: --as secret or --as principal"
    places = (f"--store {one.store} --namespace {one.namespace or repr('')}" for one in found)
    return f"{name!r} is {len(found)} secrets; say which: {', '.join(map(visible, places))}"


def _unknown(ask: Ask, name: str, kinds: Sequence[str]) -> Subject:
    """Raises NoInputError, or ConfigError when the name is a part of several."""
    rows = ask(_CLOSEST, name=name, kinds=list(kinds), like=_LIKE)
    what = " or ".join(kinds)
    if not rows:
        raise NoInputError(f"the lake knows no {what} {name!r}")
    parts = [row for row in rows if row["within"]]
    told = _told(f"{row['kind']} {row['name']}" for row in (parts or rows)[:_CLOSE])
    more = f" and {len(parts) - _CLOSE:,} more" if len(parts) > _CLOSE else ""
    if len(parts) > 1:
        raise ConfigError(f"no {what} is called {name!r}, and several fit:{told}{more}")
    raise NoInputError(f"the lake knows no {what} {name!r}; is it one of these?{told}")


def _told(names: Iterable[str]) -> str:
    return "".join(f"\n  {visible(name)}" for name in names)
