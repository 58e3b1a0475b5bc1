"""Prometheus: its configuration, its rules and their tests. By promtool too, where that is installed."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from check import documents, metric_names, promql, schemas
from check.result import Result, one_line
from check.tools import complaint


def check(root: Path) -> Iterator[Result]:
    folder = root / "deploy" / "prometheus"
    loaded: dict[Path, Any] = {}
    for path in sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")]):
        try:
            loaded[path] = documents.load_file(path)
        except yaml.YAMLError as error:
            yield Result(path, one_line(str(error)))
    known = metric_names.known(root)
    for path, document in loaded.items():
        yield Result(path, _reason(path, document, known) or _by_promtool(path, document))


def _reason(path: Path, document: Any, known: frozenset[str]) -> str:
    if "scrape_configs" in document:
        return schemas.complaint("prometheus", document)
    if "groups" in document:
        reason = schemas.complaint("rules", document)
        queries = [] if reason else [rule["expr"] for group in document["groups"] for rule in group["rules"]]
        return reason or next(filter(None, (promql.complaint(query, known) for query in queries)), "")
    if "rule_files" in document and "tests" in document:
        missing = [name for name in document["rule_files"] if not (path.parent / name).is_file()]
        return f"there is no {missing[0]}" if missing else ""
    return "neither a configuration nor rules nor tests of rules"


def _by_promtool(path: Path, document: Any) -> str:
    promtool = shutil.which("promtool")
    if promtool is None:
        return ""
    if "scrape_configs" in document:
        # Its rules and credentials lie where the container has them.
        return complaint([promtool, "check", "config", "--syntax-only", path])
    return complaint([promtool, *(("test", "rules") if "tests" in document else ("check", "rules")), path])
