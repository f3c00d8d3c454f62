"""What a user may set about baselines."""

from __future__ import annotations

from typing import Annotated

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[baselines]

    `half_life_days`: after this long, what was seen counts half. `max_keys`: profiles kept per scope (about 130 bytes
    each and the names once); past it those unseen for longest go. `prior_operations` over `prior_hours` is what a key
    nobody has seen is held to do. The shrinks say how many operations, days and weeks of a key it takes until its own
    pattern of hours and weekdays counts as much as a flat one. `view_hours`: how many keys, the busiest first, show
    their hours of the week in the view.
    """

    half_life_days: Annotated[float, msgspec.Meta(gt=0, le=36_500)] = 30.0
    max_keys: Annotated[int, msgspec.Meta(ge=1)] = 2_000_000
    prior_operations: Positive = 0.5
    prior_hours: Positive = 1.0
    shrink_operations: Positive = 24.0
    shrink_days: Positive = 3.0
    shrink_weeks: Positive = 2.0
    view_hours: Annotated[int, msgspec.Meta(ge=0)] = 20_000
