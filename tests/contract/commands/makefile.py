"""`make …`: its targets, and the variables that each of them uses."""

import re
from functools import cache

from contract.commands.pages import ROOT, WrongError


def check(arguments: list[str]) -> None:
    targets = [each for each in arguments if "=" not in each]
    for target in targets:
        if target.startswith("-") or target not in recipes():
            raise WrongError(f"make {target}: the Makefile has no such target; `make help` lists them")
    for variable in (each.partition("=")[0] for each in arguments if "=" in each):
        if not any(variable in used(target) for target in targets or ["help"]):
            raise WrongError(f"make {' '.join(arguments)}: the recipe does not use the variable {variable}")


@cache
def recipes() -> dict[str, tuple[str, str]]:
    """Return prerequisites and recipe of each target."""
    text = _expanded((ROOT / "Makefile").read_text())
    found = re.findall(r"^([^\s:#=.][^\s:=]*):(?!=)([^\n]*)\n((?:\t[^\n]*\n)*)", text, re.MULTILINE)
    return {target: (needs.partition("##")[0], recipe) for target, needs, recipe in found}


def _expanded(text: str) -> str:
    """Replace variables for folders, which are in the names of targets."""
    return text.replace("$(BIN)", "$(VENV)/bin").replace("$(VENV)", ".venv")


def used(target: str) -> set[str]:
    """Return the variables that the recipes of a target and of what it needs use, and those that these are made of."""
    needs, recipe = recipes()[target]
    found = set(re.findall(r"\$\((?:if \$\()?(\w+)", recipe))
    definitions = dict(re.findall(r"^(\w+) *[?:]?=(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in list(found):
        found |= set(re.findall(r"\$\((\w+)", definitions.get(name, "")))
    for need in needs.replace("|", " ").split():
        if need in recipes():
            found |= used(need)
    return found
