"""Folds findings into alerts: one incident, one alert, that speaks when there is something new to say.

An alert speaks (a revision, a message) when it is created; when its severity or its route rises; when its count reaches
a power of two; when another family of detectors joins; when it opens after a suppression or again after quiet; when it
closes. Its row is exact at all times.
What one request sets off by several rules is one alert, named after the gravest; so are rules that one principal breaks
one after the other, each no graver than the first.
Findings are folded in the order they became known (ready, time, the gravest first, uid), and closing happens at its own
moment of event time between them, so how an ordered stream of findings is cut into pushes decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from pipeline.core.findings import uid_of
from pipeline.core.model import Frames, Message
from pipeline.core.schema import ALERT, FINDING, SEVERITIES, empty
from pipeline.routing.alert import RANKS, Live
from pipeline.routing.allowance import Allowance
from pipeline.routing.book import Book
from pipeline.routing.config import Config
from pipeline.routing.habits import Habits
from pipeline.routing.match import Rule, any_glob, compile_rules, covering, micros
from pipeline.routing.memory import Agreement, Seen, short
from pipeline.routing.policy import NEWS, NEWS_HALF, ROUTES, SPARE, by_habit, is_habit, key_of, route_of
from pipeline.routing.result import Counts, RoutingResult

PENDING_MAX: Final = 50_000


class Router:
    """Stateful: `restore(snapshot())` goes on exactly. State is bounded by the three `_max` of the config."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.counts = Counts()
        self._rules, self._invalid = compile_rules(config.suppressions)
        self._clock_us = -(1 << 62)
        self._pending = empty(FINDING)
        self._seen = Seen(config.seen_max)
        self._agreement = Agreement(config.group_us, config.principals_max)
        spare = {f"{SPARE}{family}": config.spare_share for family in config.strong}
        self._allowance = Allowance(config.per_day, {**config.shares, **spare}, config.other_share)
        self._habits = Habits(config.principals_max)
        self._kin = {family: kin[0] for kin in config.kindred for family in kin}
        self._book = Book(config)
        self._changed: dict[str, Live] = {}
        self._messages: list[Message] = []

    # --- the port

    def push(self, findings: pl.DataFrame, watermark_us: int, *, hold: bool = False) -> RoutingResult:
        """Fold `findings` (schema.FINDING) and let event time pass to `watermark_us`.

        The watermark promises that later pushes bring no finding that was ready earlier; one that comes all the same
        is folded where it belongs if its alert is still there. With `hold`, findings that are ready after the watermark
        wait for a later push that passes them or does not hold. `ready` defaults to the finding's time. A finding
        folded before changes nothing.
        """
        self._changed, self._messages = {}, []
        for finding in self._due(findings, watermark_us, hold).iter_rows(named=True):
            time_us = micros(finding["time"])
            self._advance(micros(finding["ready"]))
            if self._seen.first_time(finding["uid"]):
                self._fold(finding, time_us)
            else:
                self.counts.repeated += 1
        self._advance(watermark_us)
        rows = [alert.row(route_of(self.config, alert)) for alert in self._changed.values()]
        return RoutingResult(pl.DataFrame(rows, schema=ALERT), self._messages)

    @property
    def notes(self) -> list[str]:
        """A line about each suppression that hides nothing: what is wrong with it, or that its time is over."""
        over = [f"suppression has expired: {r.text}" for r in self._rules if r.until_us <= self._clock_us]
        return self._invalid + over

    def snapshot(self) -> Frames:
        """Frames `alerts`, `agreement`, `seen`, `allowance`, `habits`, `pending`, `clock`."""
        return {
            "alerts": self._book.snapshot(),
            "agreement": self._agreement.snapshot(),
            "seen": self._seen.snapshot(),
            "allowance": self._allowance.snapshot(),
            "habits": self._habits.snapshot(),
            "pending": self._pending,
            "clock": pl.DataFrame({"clock_us": pl.Series([self._clock_us], dtype=pl.Int64)}),
        }

    def restore(self, frames: Frames) -> None:
        """The inverse of `snapshot`, into a new router."""
        self._agreement.restore(frames["agreement"])
        self._seen.restore(frames["seen"])
        self._allowance.restore(frames["allowance"])
        self._habits.restore(frames["habits"])
        self._pending = frames["pending"]
        self._clock_us = frames["clock"]["clock_us"][0]
        self._book.restore(frames["alerts"])

    # --- order

    def _due(self, findings: pl.DataFrame, watermark_us: int, hold: bool) -> pl.DataFrame:
        dated = findings.with_columns(pl.col("ready").fill_null(pl.col("time")))
        grave = pl.col("severity").replace_strict(RANKS, default=0, return_dtype=pl.Int8)
        waiting = pl.concat([self._pending, dated]).sort("ready", "time", -grave, "uid")
        ready = len(waiting)
        if hold:
            ready = int((waiting["ready"].dt.epoch("us") < watermark_us).sum())
            ready = max(ready, len(waiting) - PENDING_MAX)
        self._pending = waiting[ready:]
        return waiting[:ready]

    def _advance(self, now_us: int) -> None:
        """Let event time pass: close, open and forget what is due, each at its own moment."""
        self._clock_us = max(self._clock_us, now_us)
        while (alert := self._book.due(self._clock_us)) is not None:
            self._expire(alert)
        self._book.forget(self._clock_us)

    def _expire(self, alert: Live) -> None:
        if self._book.due_us(alert) > self._clock_us:
            self._book.wait(alert)
        elif alert.state == "suppressed" and alert.expires_us < alert.last_us + self.config.quiet_us:
            self._open(alert)
        else:
            self._close(alert)

    # --- folding

    def _fold(self, finding: Mapping[str, Any], time_us: int) -> None:
        rule = covering(self._rules, finding, time_us)
        alert = self._book.find(key_of(self.config, finding), time_us)
        exempt = finding["family"] in self.config.exempt
        news, usual = 0.0, False
        if exempt and finding["principal"] and finding["principal"] not in self.config.unattributed:
            grave = RANKS.get(finding["severity"], 0) >= RANKS["medium"]
            cause, address = finding["cause"] or "", finding["client_ip"] or ""
            standing = self._habits.see(finding["principal"], cause, time_us, grave=grave, address=address)
            usual = is_habit(finding, standing)
            finding, news = by_habit(finding, standing)
        worth = rule is not None or (exempt and not news) or self._worth(finding, news)
        if not worth and not exempt and alert is None:
            self.counts.held += 1
            return
        self.counts.folded += 1
        alert = alert or (self._of_act(finding) if exempt and rule is None else None) or self._create(finding, time_us)
        before, fresh = self._standing(alert), not alert.revision or alert.done
        alert.admitted |= worth and rule is None and (bool(news) or not exempt)
        alert.add(finding, time_us)
        alert.usual += usual
        if rule is not None:
            alert.covered += 1
            alert.suppression = rule.text
        if rule is not None and not alert.invariant:
            self._hush(alert, rule)
        else:
            self._hear(alert, finding, time_us, before)
        told = fresh or self._standing(alert) != before  # what goes on under an open alert takes no room
        if exempt and not news and told and route_of(self.config, alert) != "log":
            self._allowance.note(self._clock_us, finding["family"] or "", self._about(finding), 1.0, free=True)
        self._changed[alert.uid] = alert
        self._bound()

    def _of_act(self, finding: Mapping[str, Any]) -> Live | None:
        """The open alert of another rule that the same request set off, or that its principal broke, as grave or more.

        Who breaks several rules before it is quiet again is one incident; a graver one is worth its own alert.
        """
        evidence, rank = set(finding["evidence"] or ()), RANKS.get(finding["severity"], 0)
        alone = key_of(self.config, finding)[0] == "principal" and finding["principal"] not in self.config.unattributed
        for other in self._book.open_of(finding["principal"] or "", but=""):
            if not other.group or other.state == "suppressed":
                continue
            if not evidence.isdisjoint(other.evidence) or (alone and other.kind == "principal" and rank <= other.rank):
                return other
        return None

    def _worth(self, finding: Mapping[str, Any], news: float) -> bool:
        """Whether a finding is one of those the day has room for. Noted either way, from its family's floor on."""
        family, score, spare = finding["family"] or "", finding["score"] or 0.0, False
        if news:
            family, score = NEWS, news / (news + NEWS_HALF)
        elif finding["score"] is not None:
            if score < self.config.floors.get(family, 0.0):
                return False
            spare = score < self.config.strong.get(family, 0.0)
        family = f"{SPARE}{family}" if spare else family
        grave = RANKS.get(finding["severity"], 0) >= RANKS["high"]
        certain = grave and any_glob(self.config.certain, finding["cause"] or "")
        enough = self._allowance.threshold(self._clock_us, family, spare=spare)
        self._allowance.note(self._clock_us, family, self._about(finding), score, free=certain)
        return certain or score >= enough

    def _about(self, finding: Mapping[str, Any]) -> int:
        return short("|".join(key_of(self.config, finding)))

    def _create(self, finding: Mapping[str, Any], time_us: int) -> Live:
        kind, key, group = key_of(self.config, finding)
        alert = Live(
            uid=uid_of("alert", finding["cause"] or finding["detector"], key, finding["uid"]),
            kind=kind,
            key=key,
            group=group,
            anchor_us=time_us,
            first_us=time_us,
            last_us=time_us,
            heard_us=time_us,
        )
        self._book.add(alert)
        return alert

    def _hush(self, alert: Live, rule: Rule) -> None:
        """A finding that is covered: counted and kept, but nothing is said because of it."""
        self.counts.suppressed += 1
        if alert.heard:
            return
        alert.heard_us = self._clock_us
        alert.expires_us = min(alert.expires_us or rule.until_us, rule.until_us)
        if not alert.revision:
            alert.revision, alert.state = 1, "suppressed"
            self._count(alert)
        self._book.wake(alert)

    def _hear(self, alert: Live, finding: Mapping[str, Any], time_us: int, before: tuple[int, ...]) -> None:
        alert.heard += 1
        alert.heard_us = self._clock_us
        self._agree(alert, finding, time_us)
        alert.integrity |= any_glob(self.config.integrity, finding["cause"] or "", *alert.detectors)
        power_of_two = alert.heard & (alert.heard - 1) == 0
        risen = any(new > old for new, old in zip(self._standing(alert), before, strict=True))
        if not alert.revision:
            self._say(alert, "open")
            self._count(alert)
        elif alert.state == "suppressed":
            self._say(alert, "open")
        elif alert.done or power_of_two or risen:
            self._say(alert, "updated")
        self._book.wake(alert)

    def _standing(self, alert: Live) -> tuple[int, ...]:
        """What is worth saying when it rises: severity, route, number of families, of rules."""
        return alert.severity, ROUTES.index(route_of(self.config, alert)), len(alert.families), len(alert.titles)

    def _agree(self, alert: Live, finding: Mapping[str, Any], time_us: int) -> None:
        """Note the family, and when it is the second or a further one, tell every open alert of the principal."""
        principal, family = finding["principal"] or "", finding["family"] or ""
        if principal in self.config.unattributed or not family or self._stands_alone(alert):
            return
        high = RANKS.get(finding["severity"], 0) >= RANKS[self.config.agree_severity]
        families, strong = self._agreement.add(principal, family, time_us, high=high)
        if self._kinds(families) < 2:
            return
        self._corroborate(alert, families, strong)
        for other in self._book.open_of(principal, but=alert.uid):
            heard = other.state != "suppressed" and not self._stands_alone(other)
            if heard and self._corroborate(other, families, strong):
                self._say(other, "updated")

    def _stands_alone(self, alert: Live) -> bool:
        """Whether it proves nothing that others agree with it: a habit goes on whatever else happens."""
        return alert.usual == alert.count or any_glob(self.config.alone, alert.group)

    def _kinds(self, families: list[str]) -> int:
        """How many independent ones there are: families of one kin see the same thing."""
        return len({self._kin.get(family, family) for family in families})

    def _corroborate(self, alert: Live, families: list[str], strong: list[str]) -> bool:
        new = [family for family in families if family not in alert.families]
        alert.families += new
        alert.corroborated = True
        alert.agreed |= self._kinds(strong) >= 2
        return bool(new)

    # --- states

    def _say(self, alert: Live, state: str) -> None:
        """A new revision, and a message of it."""
        alert.revision += 1
        alert.state = state
        self._changed[alert.uid] = alert
        row = alert.row(route_of(self.config, alert))
        event_id = f"{alert.uid}:{alert.revision}"
        self._messages.append(Message(event_id, alert.uid, alert.revision, row))

    def _open(self, alert: Live) -> None:
        """Its suppression has ended while it still goes on."""
        alert.expires_us, alert.suppression = 0, ""
        self._say(alert, "open")
        self._book.wake(alert)

    def _close(self, alert: Live) -> None:
        """Quiet for long enough. One that was suppressed throughout stays so: nobody was told, nobody needs to be."""
        if alert.state != "suppressed":
            self._say(alert, "closed")
        self._book.retire(alert)

    def _bound(self) -> None:
        """Of too many open ones those that were quiet longest are closed."""
        if self._book.crowded() and (alert := self._book.due()) is not None:
            self.counts.evicted += 1
            self._close(alert)
        self._book.forget(self._clock_us)

    def _count(self, alert: Live) -> None:
        self.counts.alerts[alert.detectors[0], SEVERITIES[alert.severity]] += 1
