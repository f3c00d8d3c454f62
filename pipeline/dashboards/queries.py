"""PromQL that several panels have in common. Every one of them keeps to the instances and stores that were chosen."""

from __future__ import annotations

from typing import Final

from pipeline.core.schema import BROKEN_VERDICTS
from pipeline.dashboards.panels import ratio

HERE: Final = 'instance=~"$instance"'
STORES: Final = f'{HERE}, store=~"$store"'
BROKEN: Final = "|".join(sorted(BROKEN_VERDICTS))
SPAN: Final = "$__range"
RATE: Final = "$__rate_interval"


def total(metric: str, span: str, by: str, *, where: str = "", chosen: str = STORES) -> str:
    """How much a counter grew over a span, by some labels."""
    return f"sum by ({by}) (increase({metric}{{{_all(chosen, where)}}}[{span}]))"


def rate(metric: str, by: str, *, where: str = "", chosen: str = STORES, span: str = RATE) -> str:
    """How fast a counter grows a second, by some labels."""
    return f"sum by ({by}) (rate({metric}{{{_all(chosen, where)}}}[{span}]))"


def gauge(metric: str, *, where: str = "", chosen: str = HERE) -> str:
    """A gauge as it is."""
    return f"{metric}{{{_all(chosen, where)}}}"


def age(metric: str) -> str:
    """Seconds since the moment that a gauge tells; nothing before it tells any."""
    return f"time() - ({gauge(metric)} > 0)"


def ours(expression: str) -> str:
    """Of metrics that every process has, those of keytrail's."""
    return f"{expression} and on (instance) keytrail_build_info"


def quantile(share: float, metric: str, by: str, *, chosen: str = STORES) -> str:
    """A quantile of a histogram, by some labels."""
    return f"histogram_quantile({share:g}, sum by (le, {by}) (rate({metric}_bucket{{{chosen}}}[{RATE}])))"


def share(sli: str, span: str) -> str:
    """The share of an SLI that was good, by SLI and store."""
    where = f'sli=~"{sli}"'
    return ratio(
        total("keytrail_sli_good_events_total", span, "sli, store", where=where),
        total("keytrail_sli_events_total", span, "sli, store", where=where),
    )


def bad(sli: str, span: str, by: str) -> str:
    """How much of an SLI was not good."""
    where = f'sli="{sli}"'
    events, good = (
        total(name, span, by, where=where) for name in ("keytrail_sli_events_total", "keytrail_sli_good_events_total")
    )
    return f"{events} - {good}"


def burn(sli: str, span: str) -> str:
    """How many times faster than allowed an error budget goes: 1 spends just all of it within its period."""
    objective = f'max by (sli, store) (keytrail_sli_objective_ratio{{{STORES}, sli=~"{sli}"}})'
    return f"(1 - {share(sli, span)}) / (1 - {objective})"


def left(sli: str, span: str) -> str:
    """The share of an error budget that is left, were the span its period; never below none."""
    return f"clamp_min(1 - {burn(sli, span)}, 0)"


def reads(outcome: str) -> str:
    """The selector of reads with such an outcome."""
    return f'operation="read", outcome=~"{outcome}"'


def _all(*selectors: str) -> str:
    return ", ".join(filter(None, selectors))
