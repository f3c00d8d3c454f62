"""The one exception tree. Bad input is never an exception: it is data (see `schema.REJECTED`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class KeytrailError(Exception):
    """Anything keytrail raises on purpose; the command line prints it plainly and exits with `exit_code`."""

    exit_code = 1


class ConfigError(KeytrailError):
    """The configuration or a command's arguments cannot be used."""

    exit_code = 2


class MissingSecretError(ConfigError):
    """A secret is not where the configuration says, or cannot be read there."""


class MissingExtraError(ConfigError):
    """What is asked for needs an extra that is not installed."""


class NoInputError(KeytrailError):
    """There is nothing to read: no such path, or a folder without a readable log."""

    exit_code = 3


class IntegrityBrokenError(KeytrailError):
    """A verification refused what it was given."""

    exit_code = 10


class StoreError(KeytrailError):
    """The lake could not be read or written; nothing was committed."""


class DamagedError(StoreError):
    """What says what the lake is cannot be what was written there."""

    exit_code = 10


class FencedError(StoreError):
    """Another writer has taken this lake over; what this one holds must be dropped."""


class ReplacedError(StoreError):
    """A file that was to be replaced is no longer part of the lake: another worker was faster. The exchange was taken
    back, and a commit that was to make it with it.
    """


class SourceError(KeytrailError):
    """A source cannot go on; what it delivered so far is safe."""


class DeliveryError(KeytrailError):
    """A sink did not take a message; it stays in the outbox.

    `retry_after` is the receiver's own wish in seconds, `permanent` says that no retry can help, `answered` that the
    receiver was there and said no, other than for being busy.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, permanent: bool = False, answered: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.permanent = permanent
        self.answered = answered

    def after(self, delivered: Sequence[str], refused: Mapping[str, str]) -> PartialDeliveryError:
        """The same for a batch of which these event ids were settled before."""
        return PartialDeliveryError(
            str(self), delivered=delivered, refused=refused, retry_after=self.retry_after, answered=self.answered
        )


class PartialDeliveryError(DeliveryError):
    """Some of a batch is safe with the receiver or refused for good; the rest stays in the outbox.

    `delivered` and the keys of `refused` are event ids.
    """

    def __init__(
        self,
        message: str,
        *,
        delivered: Sequence[str],
        refused: Mapping[str, str],
        retry_after: float | None = None,
        answered: bool = False,
    ) -> None:
        super().__init__(message, retry_after=retry_after, answered=answered)
        self.delivered = tuple(delivered)
        self.refused = dict(refused)
