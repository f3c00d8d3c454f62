"""The expressions of dashboards and rules, as they are in the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

FOLDER: Final = Path(__file__).parents[1] / "pipeline" / "dashboards"
_GIVEN: Final = {"$__rate_interval": "5m", "$__range": "6h", "$instance": ".*", "$store": ".*"}  # what Grafana puts in


def files() -> list[Path]:
    """The dashboards."""
    return sorted(FOLDER.glob("*.json"))


def rules() -> Any:
    """The rules file."""
    yaml = pytest.importorskip("yaml", reason="the rules are YAML: pip install 'keytrail[sigma]'")
    return yaml.safe_load((FOLDER / "rules.yml").read_text("utf-8"))


def expressions() -> list[tuple[str, str]]:
    """Every expression with the place it has: of panels, of variables, of rules."""
    found = []
    for path in files():
        board = json.loads(path.read_text("utf-8"))
        for panel in board["panels"]:
            found += [(f"{path.stem}: {panel['title']}", target["expr"]) for target in panel.get("targets", ())]
        found += [(path.stem, one["definition"]) for one in board["templating"]["list"] if "definition" in one]
    return found + [
        (rule.get("alert") or rule["record"], rule["expr"]) for g in rules()["groups"] for rule in g["rules"]
    ]


def asked(expression: str) -> str:
    """An expression as Grafana sends it."""
    for name, value in _GIVEN.items():
        expression = expression.replace(name, value)
    return expression
