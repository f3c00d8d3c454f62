"""Read-only SQL on a lake, also while it is written, with everything but its views out of reach."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import duckdb

from pipeline.core.errors import ConfigError, StoreError
from pipeline.store.catalogue import Catalogue
from pipeline.store.tables import VIEWS
from pipeline.store.views import statements, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from pipeline.store.catalogue import LiveFile

_NODES: Final = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TRIES: Final = 3
Answer = TypeVar("Answer")
_RUNS_TEXT: Final = frozenset({"query", "json_execute_serialized_sql"})


def query(
    lake_path: str | Path,
    sql: str,
    parameters: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    memory_limit: str = "2GB",
    threads: int | None = None,
) -> pa.Table:
    """What one SELECT-like statement finds in the newest commit, as an Arrow table; times in UTC.

    `parameters` fill `?` or `$name`. Raises ConfigError for SQL that is wrong, or is not one statement that only reads
    (DuckDB's own words where it has some), NoInputError when there is no lake, and StoreError when it cannot be read.
    """
    lake = Path(lake_path).resolve()
    tree = _only_reads(sql)
    asked = _Asked(sql, parameters, _views(tree), {"memory_limit": memory_limit, "temp_directory": ""})
    if threads is not None:
        asked.settings["threads"] = threads
    return _again(lake, lambda: _run(lake, asked))


class Ask:
    """Questions of our own, all to one commit of a lake; `operations` has every stored column there."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def __call__(self, sql: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """The rows that one SELECT finds, by column; `parameters` fill `$name`."""
        table: Any = self._connection.sql(sql, params=parameters or None).to_arrow_table()
        found: list[dict[str, Any]] = table.to_pylist()
        return found

    def keep(self, name: str, sql: str, /, **parameters: Any) -> None:
        """Remembers what a SELECT finds under a name that later ones may use."""
        self._connection.execute(f"CREATE TEMP TABLE {name} AS {sql}", parameters)


def at_one_commit(lake_path: str | Path, views: Sequence[str], work: Callable[[Ask], Answer]) -> Answer:
    """What `work` makes of what it asks some views, all of it of the lake's newest commit.

    It may be called again from the start. Raises NoInputError when there is no lake, StoreError when it cannot be read.
    """
    lake = Path(lake_path).resolve()

    def run() -> Answer:
        files = _files(lake)
        try:
            with duckdb.connect(config={"memory_limit": "2GB", "temp_directory": ""}) as connection:
                _prepare(connection, files, lake, statements(files, lake, views, whole={"operations"}))
                return work(Ask(connection))
        except duckdb.Error as error:
            raise _gone(lake, files, error) or StoreError(f"reading {lake}: {error}") from error

    return _again(lake, run)


def _gone(lake: Path, files: Sequence[LiveFile], error: duckdb.Error) -> duckdb.Error | None:
    """What DuckDB meant, where a file is missing: it is taken for a folder out of reach."""
    if isinstance(error, duckdb.IOException):
        return error
    missing = not all((lake / file.segment.path).exists() for file in files)
    return duckdb.IOException(str(error)) if missing else None


def _again(lake: Path, run: Callable[[], Answer]) -> Answer:
    for left in reversed(range(_TRIES)):
        try:
            return run()
        except duckdb.IOException as error:
            # a file of this commit was replaced, and its time came, meanwhile: the newest commit names others
            if not left:
                raise StoreError(f"reading {lake}: {error}") from error
    raise AssertionError  # the last try raises


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question and what it needs."""

    sql: str
    parameters: Sequence[Any] | Mapping[str, Any] | None
    views: frozenset[str]
    settings: dict[str, Any]


def _run(lake: Path, asked: _Asked) -> pa.Table:
    files = _files(lake)
    try:
        with duckdb.connect(config=asked.settings) as connection:
            _prepare(connection, files, lake, statements(files, lake, asked.views))
            return connection.sql(asked.sql, params=asked.parameters).to_arrow_table()
    except duckdb.Error as error:
        raise _gone(lake, files, error) or ConfigError(str(error)) from error


def _files(lake: Path) -> list[LiveFile]:
    catalogue = Catalogue(lake, writer=False)
    try:
        return catalogue.files()
    finally:
        catalogue.close()


def _prepare(connection: duckdb.DuckDBPyConnection, files: list[LiveFile], lake: Path, made: Sequence[str]) -> None:
    connection.execute("SET enable_progress_bar = false")  # it is drawn on stdout, where the answer goes
    for statement in made:
        connection.execute(statement)
    _lock(connection, files, lake)


def _lock(connection: duckdb.DuckDBPyConnection, files: list[LiveFile], lake: Path) -> None:
    """Nothing but the files of this commit can be opened, and nobody can change that."""
    allowed = ", ".join(text(str(lake / file.segment.path)) for file in files)
    for setting in (
        "TimeZone = 'UTC'",
        "python_enable_replacements = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        f"allowed_paths = [{allowed}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")


def _only_reads(sql: str) -> Any:
    """The parsed statement, if it is one SELECT. Its type tells too little: a CTE may hold a COPY over a data file."""
    try:
        found = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise ConfigError(str(error)) from error
    except TypeError:
        raise ConfigError("the SQL is not UTF-8") from None
    if len(found) != 1:
        raise ConfigError(f"one SQL statement at a time; there are {len(found)}")
    kind = found[0].type
    if kind == duckdb.StatementType.MULTI:
        raise ConfigError("PIVOT needs its values spelled out here: PIVOT … ON column IN (…)")
    if kind != duckdb.StatementType.SELECT:
        raise ConfigError(
            f"{kind.name} is refused: only statements that read (SELECT, FROM, WITH, DESCRIBE, SUMMARIZE)"
        )
    tree = _tree(sql)
    for part in _parts(tree):
        name = str(part.get("type", ""))
        if name.endswith("_NODE") and name not in _NODES:
            raise ConfigError(f"{name.split('_', 1)[0]} is refused: only statements that read")
        if str(part.get("function_name", "")).lower() in _RUNS_TEXT:
            raise ConfigError(f"the function {part['function_name']} is refused: it runs a text as SQL")
    return tree


def _views(tree: Any) -> frozenset[str]:
    """The views a statement names: binding the others would open files for nothing. All, when it may list them."""
    names = set()
    for part in _parts(tree):
        kind = part.get("type")
        if kind == "BASE_TABLE":
            names.add(str(part["table_name"]).lower())
        elif kind in ("SHOW_REF", "TABLE_FUNCTION"):
            return frozenset(VIEWS)
    return frozenset(names) if names <= set(VIEWS) else frozenset(VIEWS)


def _tree(sql: str) -> Any:
    with duckdb.connect() as connection:  # enable_progress_bar does not matter here: nothing is read
        found = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    tree = json.loads(found[0]) if found else {"error": True}
    if tree["error"]:
        raise ConfigError(str(tree.get("error_message", "not a statement that only reads")))
    return tree


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
