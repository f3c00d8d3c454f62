"""Passwords tried over many accounts from many places, and the one that fits. See README.md."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
import polars as pl

from detectors import _tails
from detectors._text import figure, several, show
from detectors._usual import Bools, Floats
from detectors._window import Found, seen_in, tell
from detectors.auth_pressure.doors import Doors, Logins, logins_of
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="auth_pressure",
    version="1",
    title="Log-ins tried over many accounts",
    family="auth",
    summary="refused log-ins to accounts from networks foreign to them, over all sources, and success after them",
    techniques=("T1110.003", "T1110.004"),
    measures=("M4",),
    early=("logins",),
)

_NAMELESS: Final = r"^(?:[^/]+/)*auth/(?:[^/]+/)*(?:login|callback|auth_url|poll)$"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`p` is the mid-p value below which a mount's foreign attempts are told, `accounts` the fewest worth telling.

    A log-in that succeeds from a source which has tried `others` further accounts lately, or into an account that was
    tried from `sources` places, is told as a hit when the account is not at home there. An account tried from
    `sources` places is told. `keys` bounds each of three memories, 24 bytes each.
    """

    p: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-6
    accounts: int = 8
    others: float = 2.5
    sources: float = 5.5
    keys: int = 500_000


class AuthPressure:
    """Remembers where accounts are at home, and leaky counts (half-life 12 h) of attempts from elsewhere."""

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._doors = Doors(config.keys)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        logins = logins_of(window)
        let_in, refused = Logins.of(logins, "success"), Logins.of(logins, "denied")
        if let_in is None and refused is None:
            return empty(FINDING)
        found: list[Found] = []
        foreign = fresh = None
        if refused is not None:
            foreign = refused.filter(~self._doors.at_home(refused))
            fresh = foreign.filter(self._doors.fresh(foreign, window.start_us))
            found, pressed = self._spray(foreign, fresh, window)
            found += self._guessed(fresh.filter(~fresh.frame["mount"].is_in(pressed).to_numpy()), window)
        if let_in is not None:
            nothing = let_in.filter(np.zeros(len(let_in.account), dtype=np.bool_))
            found += self._hits(let_in, fresh or nothing, foreign or nothing, window)
        if window.closed:
            self._doors.learn(let_in, fresh, window.start_us)
        return tell(self.info, window, found)

    def _spray(self, foreign: Logins, fresh: Logins, window: Window) -> tuple[list[Found], list[str]]:
        """Findings, and the mounts they are about."""
        mounts, first = np.unique(fresh.mount, return_index=True)
        count, mean, size = self._doors.tries_of(mounts, fresh, window.start_us)
        surprise = _tails.surprise(_tails.upper_where(count >= self._config.accounts, count, mean, size))
        odd = np.flatnonzero(surprise >= -math.log10(self._config.p)).tolist()
        names: list[str] = fresh.frame["mount"].gather(first).to_list()
        told = {names[i]: self._sprayed(names[i], foreign, (count[i], mean[i], surprise[i]), window) for i in odd}
        return [one for one in told.values() if one], [name for name, one in told.items() if one]

    def _sprayed(self, mount: str, foreign: Logins, judged: tuple[float, float, float], window: Window) -> Found | None:
        count, mean, surprise = judged
        tried = foreign.frame.filter(pl.col("mount") == mount)
        accounts, sources = tried["account"].n_unique(), tried["client_ip"].n_unique()
        if accounts < 2:  # one account's trouble is told of that account
            return None
        rows = _refused(window).filter(
            (pl.col("mount") == mount) & pl.col("client_ip").is_in(tried["client_ip"].unique().to_list())
        )
        return Found(
            key=f"mount:{mount}",
            cause="login_spray",
            severity="high" if count >= 10 * self._config.accounts else "medium",
            confidence=0.85,
            score=_tails.score(float(surprise)),
            message=f"Log-ins at {show(mount)} were refused for {accounts} accounts from {sources} addresses they never"
            f" came from: {several(tried['account'].unique().sort().to_list())}.",
            observed=f"{figure(count)} pairs of account and address of late (halved every 12 h)",
            expected=f"{figure(mean)} at this mount in that time",
            next_step="See which of these accounts exist and whether one was let in (view operations, operation auth)."
            " Block the addresses, require a second factor at this mount, and enable the lock-out of users.",
            **seen_in(rows),
        )

    def _guessed(self, fresh: Logins, window: Window) -> list[Found]:
        """Findings about accounts: a path that names nobody (`auth/oidc/oidc/callback`) is none."""
        fresh = fresh.filter((~fresh.frame["account"].str.contains(_NAMELESS)).to_numpy())
        if not len(fresh.account):
            return []
        accounts, first = np.unique(fresh.account, return_index=True)
        count = self._doors.sources_of(accounts, fresh, window.start_us)
        found = []
        for i in np.flatnonzero(count >= self._config.sources).tolist():
            account = fresh.frame["account"][int(first[i])]
            rows = _refused(window).filter((pl.col("principal") == account) | (pl.col("path") == account))
            found.append(
                Found(
                    key=f"account:{account}",
                    cause="account_guessed",
                    title="One account tried from many places",
                    severity="medium",
                    confidence=0.75,
                    score=_tails.score(float(count[i])),
                    message=f"Log-ins as {show(account)} were refused from {figure(round(count[i]))} addresses it never"
                    " came from.",
                    observed=f"{figure(count[i])} foreign addresses of late (halved every 12 h)",
                    expected=f"fewer than {figure(self._config.sources)}",
                    next_step="Ask the owner; change the password; lock the account while it goes on.",
                    principal=account,
                    **seen_in(rows),
                )
            )
        return found

    def _hits(self, let_in: Logins, fresh: Logins, foreign: Logins, window: Window) -> list[Found]:
        """Accounts let in from where they are not at home, by a source that tried others, or after many tried them."""
        strange = let_in.filter(~self._doors.at_home(let_in))
        if not len(strange.account):
            return []
        before = _before(strange, foreign)
        others = self._doors.accounts_of(strange.source, fresh, window.start_us) - before
        places = self._doors.sources_of(strange.account, fresh, window.start_us)
        hit: Bools = (others >= self._config.others) | (places >= self._config.sources)
        return [
            self._hit(strange.frame.row(i, named=True), float(others[i]), float(places[i]), window)
            for i in np.flatnonzero(hit).tolist()
        ]

    def _hit(self, one: dict[str, object], others: float, places: float, window: Window) -> Found:
        account, address = str(one["account"]), str(one["client_ip"])
        login = (pl.col("operation") == "auth") & (pl.col("client_ip") == address)
        rows = window.operations.filter(login & (pl.col("principal") == account) & (pl.col("outcome") == "success"))
        why = (
            f"which was refused for {figure(round(others))} other accounts"
            if others >= self._config.others
            else f"after attempts from {figure(round(places))} addresses"
        )
        return Found(
            key=f"hit:{account}:{address}",
            cause="login_hit",
            title="Log-in succeeds after many were refused",
            severity="high",
            confidence=0.85,
            score=_tails.score(6 + others + places),
            message=f"{show(account)} was let in from {show(address)}, {why}.",
            observed=f"success from an address new to the account; {figure(others)} other accounts tried from it",
            expected="log-ins from networks the account came from before",
            next_step="Take the account as taken over: revoke its tokens, reset the password, rotate what it read since"
            " (view operations, by principal), and block the address.",
            principal=account,
            **seen_in(rows),
        )

    def snapshot(self) -> Frames:
        """See Doors."""
        return self._doors.snapshot()

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._doors.restore(frames)


def _refused(window: Window) -> pl.DataFrame:
    return window.operations.filter((pl.col("operation") == "auth") & (pl.col("outcome") == "denied"))


def _before(strange: Logins, foreign: Logins) -> Floats:
    """1 where the account itself was refused from the same source: a mistyped password tries no other account."""
    own = foreign.frame.select("account", "client_ip").unique().with_columns(own=1.0)
    told = strange.frame.select("account", "client_ip").join(
        own, on=["account", "client_ip"], how="left", maintain_order="left"
    )
    return told["own"].fill_null(0.0).to_numpy()


def create(config: Config) -> AuthPressure:
    """The detector, with nothing remembered."""
    return AuthPressure(config)
