"""What a dashboard is made of: rows of panels, each with queries, a unit and a sentence on what it means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

GOOD, WARN, BAD, QUIET = "green", "orange", "red", "text"
WIDTH: Final = 24  # columns of Grafana's grid
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_SCHEMA: Final = 39  # Grafana 11; later ones take it over, 10 reads it
_ALL: Final = ".*"

Steps = tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression, and how its series are called (`{{label}}`)."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """`steps` colour a value from each bound on, the first from anywhere on. `stacked` draws bars on each other."""

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"  # stat, bargauge, heatmap
    width: int = 8
    height: int = 8
    steps: Steps = ((0, QUIET),)
    stacked: bool = False
    most: float | None = None
    interval: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """`name` is the file's; `span` is what is shown at first."""

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    span: str
    refresh: str = "1m"
    stores: bool = field(default=True)  # whether a reader may choose among stores


def ratio(good: str, total: str) -> str:
    """One sum as a share of another; nothing where there is nothing to divide by."""
    return f"({good}) / ({total} > 0)"


def dashboard(board: Board) -> dict[str, Any]:
    """The board as Grafana imports it."""
    return {
        "uid": f"keytrail-{board.name}",
        "title": board.title,
        "description": board.about,
        "tags": ["keytrail"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": board.refresh,
        "time": {"from": f"now-{board.span}", "to": "now"},
        "links": [
            {
                "type": "dashboards", "tags": ["keytrail"], "title": "keytrail", "asDropdown": True,
                "includeVars": True, "keepTime": False, "icon": "external link", "targetBlank": False, "url": "",
                "tooltip": "",
            }
        ],
        "annotations": {"list": []},
        "templating": {"list": _variables(board)},
        "panels": _placed(board.rows),
    }  # fmt: skip


def _variables(board: Board) -> list[dict[str, Any]]:
    source = {
        "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {},
        "hide": 0, "refresh": 1, "regex": "", "multi": False, "includeAll": False, "options": [],
    }  # fmt: skip
    found = [source, _choice("instance", "Instance", "label_values(keytrail_build_info, instance)")]
    if board.stores:
        found.append(_choice("store", "Store", "label_values(keytrail_line_operations_total, store)"))
    return found


def _choice(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name, "label": label, "type": "query", "datasource": _SOURCE, "definition": query,
        "query": {"query": query, "refId": name}, "current": {"text": ["All"], "value": ["$__all"]}, "hide": 0,
        "includeAll": True, "allValue": _ALL, "multi": True, "options": [], "refresh": 2, "regex": "", "sort": 1,
    }  # fmt: skip


def _placed(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """Every panel with its number and its place; a row that is full goes on in the next line."""
    found: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        found.append({"type": "row", "id": len(found) + 1, "title": row.title, "collapsed": False, "gridPos": place,
                      "panels": []})  # fmt: skip
        left, top, tallest = 0, top + 1, 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                left, top, tallest = 0, top + tallest, 0
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            found.append(_panel(panel, len(found) + 1, place))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return found


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    heat = panel.kind == "heatmap"
    instant = panel.kind in {"stat", "bargauge"}
    targets = [
        {
            "refId": chr(ord("A") + at), "datasource": _SOURCE, "editorMode": "code", "expr": query.expr,
            "legendFormat": query.legend or "__auto", "instant": instant, "range": not instant,
            "format": "heatmap" if heat else "time_series",
        }
        for at, query in enumerate(panel.queries)
    ]  # fmt: skip
    return {
        "type": panel.kind, "id": number, "title": panel.title, "description": panel.about, "datasource": _SOURCE,
        "gridPos": place, "targets": targets, "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel), **({"interval": panel.interval} if panel.interval else {}),
    }  # fmt: skip


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"color": color, "value": bound if at else None} for at, (bound, color) in enumerate(panel.steps)]
    told: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.most is not None:
        told["max"] = panel.most
    if panel.kind != "timeseries":
        return told | {"color": {"mode": "thresholds"}}
    lines = {
        "drawStyle": "bars" if panel.stacked else "line", "lineWidth": 0 if panel.stacked else 2,
        "fillOpacity": 70 if panel.stacked else 8, "showPoints": "never", "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if len(panel.steps) > 1 else "off"},
    }  # fmt: skip
    return told | {"color": {"mode": "palette-classic"}, "custom": lines}


def _options(panel: Panel) -> dict[str, Any]:
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind == "stat":
        return {
            "reduceOptions": reduced, "colorMode": "value", "graphMode": "none", "justifyMode": "auto",
            "orientation": "auto", "textMode": "value_and_name" if _many(panel) else "value", "wideLayout": True,
        }  # fmt: skip
    if panel.kind == "bargauge":
        return {"reduceOptions": reduced, "displayMode": "basic", "orientation": "horizontal", "showUnfilled": True,
                "valueMode": "color", "minVizWidth": 8, "minVizHeight": 16}  # fmt: skip
    if panel.kind == "heatmap":
        return {"calculate": False, "cellGap": 1, "color": {"mode": "scheme", "scheme": "Blues", "steps": 64},
                "yAxis": {"unit": panel.unit}, "tooltip": {"mode": "single", "yHistogram": False}}  # fmt: skip
    return {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _many(panel: Panel) -> bool:
    return any("{{" in query.legend for query in panel.queries)
