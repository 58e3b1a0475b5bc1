"""Grafana's dashboards: every panel has a source and asks for what there is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from check import metric_names, promql
from check.result import Result

_LABEL_VALUES: Final = re.compile(r"label_values\((?P<query>.+),\s*\w+\)")
"""A query of a variable. Of a whole label, without a metric, there is nothing to check."""


def check(root: Path) -> Iterator[Result]:
    for path in sorted((root / "deploy" / "grafana").rglob("*.json")):
        try:
            dashboard = json.loads(path.read_text())
        except ValueError as error:
            yield Result(path, str(error))
            continue
        yield Result(path, "; ".join(_complaints(dashboard, metric_names.known(root))))


def _complaints(dashboard: dict[str, Any], known: frozenset[str]) -> Iterator[str]:
    if not dashboard.get("title") or not dashboard.get("uid") or "schemaVersion" not in dashboard:
        yield "a dashboard needs title, uid and schemaVersion"
    panels = list(_panels(dashboard))
    if not panels:
        yield "no panel"
    for panel in panels:
        yield from _of_panel(panel, known)
    for variable in dashboard.get("templating", {}).get("list", []):
        query = variable.get("query")
        found = _LABEL_VALUES.fullmatch(query.get("query", "") if isinstance(query, dict) else str(query))
        reason = promql.complaint(found["query"], known) if found else ""
        if reason:
            yield f"variable {variable.get('name')}: {reason}"


def _panels(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All that show something, out of their rows."""
    for panel in part.get("panels", []):
        if panel.get("type") == "row":
            yield from _panels(panel)
        elif panel.get("type") != "text":
            yield panel


def _of_panel(panel: dict[str, Any], known: frozenset[str]) -> Iterator[str]:
    title = panel.get("title") or f"panel {panel.get('id')}"
    if not panel.get("datasource"):
        yield f"{title}: no datasource"
    if not panel.get("targets"):
        yield f"{title}: asks for nothing"
    for target in panel.get("targets", []):
        reason = promql.complaint(target.get("expr", ""), known)
        if reason:
            yield f"{title}: {reason}"
