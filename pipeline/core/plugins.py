"""A config `kind` is a folder name: this finds the folder, and nothing is registered anywhere."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType


@cache
def kinds(room: str) -> tuple[str, ...]:
    """The folders of `room` (a dotted package such as `pipeline.sinks`), in alphabetical order.

    Looked up once: a folder that is put there later is found by the next process.
    """
    package = importlib.import_module(room)
    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.ispkg))


def load(room: str, kind: str) -> ModuleType:
    """The package of one kind. It exports `Config` (a msgspec struct) and `create(config, ...)`.

    Raises ConfigError, naming what there is, when the folder does not exist.
    """
    known = kinds(room)
    if kind not in known:
        raise ConfigError(f"unknown {room.rsplit('.', 1)[-1][:-1]} kind {kind!r}; there are: {', '.join(known)}")
    return importlib.import_module(f"{room}.{kind}")


def config_type(room: str, kind: str) -> Any:
    """The config struct of one kind."""
    return load(room, kind).Config
