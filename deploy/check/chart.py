"""The Helm chart, by Helm: linted, and rendered with its defaults and with every example."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import helm_python
import yaml
from helm_python import Chart, HelmError

from check import documents, manifests
from check.result import Result, one_line

SERIOUS: Final = 2
"""From Helm's warnings upwards. Below is advice, such as to have an icon."""


@dataclass
class _Templates:
    """Which templates of a chart have made something, and what was wrong with it."""

    made: set[str] = field(default_factory=set)
    wrong: dict[str, str] = field(default_factory=dict)


def check(root: Path) -> Iterator[Result]:
    for description in sorted((root / "deploy").rglob("Chart.yaml")):
        with TemporaryDirectory() as temporary:
            yield from _check_chart(description.parent, Path(temporary) / description.parent.name)


def _check_chart(folder: Path, whole: Path) -> Iterator[Result]:
    """whole: where to put the chart with its links replaced by what they lead to, as in its package."""
    files = [path for path in sorted((folder / "templates").rglob("*")) if path.is_file()]
    try:
        shutil.copytree(folder, whole)
        Chart.load(whole).close()
    except (HelmError, shutil.Error) as error:
        yield Result(folder / "Chart.yaml", one_line(str(error)))
        yield from map(Result, files)
        return
    yield Result(folder / "Chart.yaml")
    templates = _Templates()
    yield from _check_values(whole, folder / "values.yaml", templates)
    for example in sorted((folder.parent / "examples").glob("*.yaml")):
        yield from _check_values(whole, example, templates)
    for path in files:
        name = path.relative_to(folder).as_posix()
        unused = path.suffix == ".yaml" and name not in templates.made
        yield Result(
            path, templates.wrong.get(name) or ("no values that are checked make anything of it" if unused else "")
        )


def _check_values(chart_folder: Path, values_file: Path, templates: _Templates) -> Iterator[Result]:
    """Lint and render with these values."""
    try:
        values = documents.load_file(values_file)
    except yaml.YAMLError as error:
        yield Result(values_file, one_line(str(error)))
        return
    report = helm_python.lint(chart_folder, values, strict=True)
    messages = [one_line(note["error"]) for note in report["messages"] if note["severity"] >= SERIOUS]
    try:
        with Chart.load(chart_folder) as chart:
            rendered = chart.render(values=values, name="release", namespace="namespace")
    except HelmError as error:
        messages.append(one_line(str(error)))
        rendered = {}
    yield Result(values_file, "; ".join(dict.fromkeys(messages)))
    for template, text in rendered.items():
        name = template.partition("/")[2]
        if not name.endswith(".yaml"):
            continue
        objects = _objects(text, name, templates)
        if objects:
            templates.made.add(name)
        for reason in filter(None, map(manifests.complaint, objects)):
            templates.wrong[name] = f"with {values_file.name}: {reason}"


def _objects(text: str, name: str, templates: _Templates) -> list[dict[str, Any]]:
    try:
        return documents.load(text)
    except yaml.YAMLError as error:
        templates.wrong[name] = one_line(str(error))
        return []
