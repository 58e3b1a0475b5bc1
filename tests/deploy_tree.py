"""A tree of deployment files, and changes that give it faults."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from click.testing import CliRunner, Result

ROOT: Final = Path(__file__).parents[1]

ALERTS: Final = """
groups:
  - name: facesearch
    rules:
      - alert: NoWorker
        expr: max(facesearch_workers_alive) == 0
        for: 1m
        labels: { severity: critical }
        annotations: { summary: None., description: None., runbook_url: docs/run-book.md#facesearchnoworker }
"""
DASHBOARD: Final = """
{"title": "Faces", "uid": "faces", "schemaVersion": 39, "panels": [{"title": "Rate", "datasource": "prometheus",
 "targets": [{"expr": "sum(rate(facesearch_requests_total[$__rate_interval]))"}]}]}
"""


@dataclass(frozen=True)
class Tree:
    """root: the folder of the tree."""

    root: Path

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def change(self, name: str, old: str, new: str) -> None:
        """Replace every occurrence; there must be at least one."""
        text = (self.root / name).read_text()
        assert old in text, f"{name} does not have {old!r}"
        self.write(name, text.replace(old, new))

    def check(self) -> Result:
        """Run `python -m check TREE`. deploy/ has to be on sys.path."""
        return CliRunner().invoke(importlib.import_module("check.__main__").main, [str(self.root)])
