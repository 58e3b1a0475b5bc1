"""Queries of Prometheus: whether they parse, and which metrics they ask for."""

import re
from typing import Any, Final

import promql_parser

_DURATION: Final = re.compile(r"\$\{?__(rate_interval|interval|range)\}?")
"""Grafana puts a duration in their place."""


def complaint(query: str, known: frozenset[str]) -> str:
    """What is wrong with a query, or "". known: names of metrics; another one is wrong."""
    try:
        expression = promql_parser.parse(_DURATION.sub("5m", query))
    except ValueError as error:
        return f"{query!r}: {error}"
    unknown = sorted(_metrics(expression) - known)
    return f"{query!r}: nothing has the metric {', '.join(unknown)}" if unknown else ""


def _metrics(expression: Any) -> set[str]:
    names: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector) and node.name:
            names.add(node.name)

    promql_parser.walk(expression, visit)
    return names
