"""Errors that hold a password: what a database plug-in says of an address that it cannot use.

Devices hash what is in `data`, never the error beside it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action, Outcome

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.simulate.rows import Rows
    from pipeline.simulate.traffic import World

# By how plainly: an address with a password in it, one that is no URL, the password alone.
FORMS = (
    'parse "postgresql://{user}:{word}@{host}:54a32/{user}": invalid port ":54a32" after host',
    "invalid address {user}:{word}@tcp({host}:5432)/{user}: no driver of that name",
    "authentication of {user} failed: {word} was not accepted by {host}",
)


def spilling(rows: Rows) -> npt.NDArray[np.int64]:
    """Places of the rows whose error holds a password. Their `version` is the place in FORMS, from 1 on."""
    return np.flatnonzero((rows["action"] == Action.DATABASE) & (rows["outcome"] == Outcome.FAILED))


def spilled(world: World, rows: Rows) -> list[str]:
    """The errors of such rows, one each. A connection has the same password every time."""
    return [_error(world, what, form) for what, form in rows[["object", "version"]].tolist()]


def _error(world: World, what: int, form: int) -> str:
    user = world.estate.object_name[what]
    word = hashlib.sha256(f"{world.scenario.seed} {user}".encode()).hexdigest()[:20]
    told = FORMS[form - 1].format(user=user, word=word, host=f"{user}.db.example.com")
    return f"1 error occurred:\n\t* error creating database object: error verifying connection: {told}\n\n"
