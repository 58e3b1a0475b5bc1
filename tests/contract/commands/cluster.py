"""`helm …` and `kubectl …`: values by the chart's schema, templates, names of objects and options."""

import json
import re
from functools import cache
from typing import Any, Final

import jsonschema_rs

from contract.commands.containers import Inner, options
from contract.commands.pages import ROOT, WrongError

CHART: Final = "deploy/helm/facesearch"
RELEASE: Final = "face-facesearch-"
"""What the names of the objects begin with in the documents, where the release is `face`."""

HELM: Final = {
    "--namespace": True,
    "--create-namespace": False,
    "--values": True,
    "--set": True,
    "--show-only": True,
    "--version": True,
}
"""Options of helm, and whether each has a value."""

KUBECTL: Final = {
    "create": {"--from": True},
    "wait": {"--for": True, "--timeout": True},
    "logs": {"--follow": False},
    "scale": {"--replicas": True},
    "delete": {},
    "describe": {},
    "rollout": {},
    "exec": {},
    "get": {},
    "apply": {"--filename": True},
    "port-forward": {},
}
"""Options of kubectl by its verbs, and whether each has a value; --namespace is one of all."""


def check_helm(arguments: list[str], *, whole: bool) -> None:
    """Raises WrongError. whole: whether it has to name a release and the chart."""
    verb, *rest = arguments or [""]
    if verb not in ("install", "upgrade", "template", "uninstall"):
        raise WrongError(f"helm {verb}: no subcommand that tests/contract/commands/cluster.py knows")
    named: list[str] = []
    while rest:
        given, rest = options(f"helm {verb}", HELM, rest)
        for option, value in given:
            if option == "--set":
                _check_set(value)
            if option == "--show-only" and not (ROOT / CHART / value).is_file():
                raise WrongError(f"the chart has no {value}")
        named, rest = [*named, *rest[:1]], rest[1:]
    if whole and verb != "uninstall" and (len(named) != 2 or not (ROOT / named[1] / "Chart.yaml").is_file()):
        raise WrongError(f"helm {' '.join(arguments)}: a release and the folder of a chart have to be named")


@cache
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / CHART / "values.schema.json").read_text())
    return found


def _check_set(value: str) -> None:
    path, equals, _ = value.partition("=")
    if not equals:
        raise WrongError(f"--set {value} has no =")
    check_value(path)


def check_value(path: str) -> None:
    """Check the path of a value, such as backup.restore. Raises WrongError."""
    at = schema()
    for name in path.split("."):
        while "$ref" in at:
            at = schema()["$defs"][at["$ref"].rpartition("/")[2]]
        if name not in at.get("properties", {}):
            raise WrongError(f"{path}: the schema of the chart has no such value")
        at = at["properties"][name]


def check_values(document: dict[str, Any]) -> None:
    """Check values that are laid over those of the chart."""
    try:
        jsonschema_rs.validate(schema(), document)
    except jsonschema_rs.ValidationError as error:
        raise WrongError(f"the schema of the chart refuses this: {error.message}") from error


def check_kubectl(arguments: list[str], inner: Inner, *, whole: bool) -> None:
    _, rest = options("kubectl", {"--namespace": True}, arguments)
    if not rest or rest[0] not in KUBECTL:
        raise WrongError(f"kubectl {' '.join(rest[:1])}: no verb that tests/contract/commands/cluster.py knows")
    verb, *rest = rest
    command = None
    if "--" in rest:
        rest, command = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
        inner(command)
    elif verb == "exec" and whole:
        raise WrongError("kubectl exec has no -- with a command")
    named: list[str] = []
    while rest:
        if rest[0] == "-":
            rest = rest[1:]
            continue
        given, rest = options(f"kubectl {verb}", {**KUBECTL[verb], "--namespace": True}, rest)
        named += [value for option, value in given if option == "--from"]
        named, rest = [*named, *rest[:1]], rest[1:]
    for name in named:
        if RELEASE in name and not made_by_a_template(name.partition(RELEASE)[2]):
            raise WrongError(f"no template of the chart makes {name}")


@cache
def made_by_a_template(name: str) -> bool:
    """Tell whether a template gives an object this name, after that of the release."""
    texts = [path.read_text() for path in (ROOT / CHART / "templates").rglob("*") if path.suffix in (".yaml", ".tpl")]
    return any(re.search(rf"^  name: .*\}}\}}-{re.escape(name)}$", text, re.MULTILINE) for text in texts)
