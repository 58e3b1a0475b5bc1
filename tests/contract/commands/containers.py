"""`docker …` and `docker compose …`: files, services, profiles, targets of builds and options."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

import yaml

from contract.commands.pages import ROOT, WrongError

Inner = Callable[[list[str]], None]

COMPOSE_OPTIONS: Final = {
    "": {"--file": True, "--profile": True, "--project-directory": True},
    "up": {"--detach": False, "--build": False, "--force-recreate": False, "--scale": True, "--wait": False},
    "down": {"--volumes": False},
    "exec": {"--no-TTY": False, "--env": True},
    "run": {"--rm": False, "--no-TTY": False, "--entrypoint": True, "--env": True},
    "logs": {"--follow": False, "--tail": True},
    "stop": {},
    "start": {},
    "restart": {},
    "ps": {"--all": False},
    "pull": {},
    "build": {},
    "config": {"--quiet": False},
}
"""Options of `docker compose` and of its subcommands by name, and whether each has a value."""

OTHER: Final = ("buildx imagetools inspect", "inspect", "save", "load")
"""Subcommands of docker of which only the name is checked."""


class Loader(yaml.SafeLoader):
    """Reads tags that only Compose knows, such as !reset, as null."""


Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def check(arguments: list[str], inner: Inner) -> None:
    """inner: checks the command that runs in a container. Raises WrongError."""
    if arguments[:1] == ["compose"]:
        _compose(arguments[1:], inner)
    elif arguments[:1] == ["build"]:
        _build(arguments[1:])
    elif not any(" ".join(arguments).startswith(each) for each in OTHER):
        raise WrongError(
            f"docker {' '.join(arguments)}: tests/contract/commands/containers.py knows no such subcommand"
        )


def options(name: str, known: dict[str, bool], arguments: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the options at the beginning, with their values, and the rest."""
    given = []
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        option, equals, value = rest.pop(0).partition("=")
        if option not in known:
            raise WrongError(f"{name} {option}: no option that tests/contract/commands knows")
        if known[option] and not equals:
            if not rest:
                raise WrongError(f"{name} {option} has no value")
            value = rest.pop(0)
        given.append((option, value))
    return given, rest


def _compose(arguments: list[str], inner: Inner) -> None:
    outer, rest = options("docker compose", COMPOSE_OPTIONS[""], arguments)
    subcommand, *rest = rest or [""]
    if not subcommand or subcommand not in COMPOSE_OPTIONS:
        raise WrongError(f"docker compose {subcommand}: no subcommand that tests/contract/commands/containers.py knows")
    files = [value for option, value in outer if option == "--file"] or ["docker-compose.yml"]
    for file in files:
        if not (ROOT / file).is_file():
            raise WrongError(f"there is no compose file {file}")
    defined = services(tuple(files))
    profiles = set(chain.from_iterable((each or {}).get("profiles", []) for each in defined.values()))
    for option, value in outer:
        if option == "--profile" and value not in profiles:
            raise WrongError(f"no service is of the profile {value}")
    for name in _in_a_service(subcommand, rest, inner) if subcommand in ("exec", "run") else _named(subcommand, rest):
        if name not in defined:
            raise WrongError(f"no compose file has the service {name}; there are {', '.join(defined)}")


def _in_a_service(subcommand: str, arguments: list[str], inner: Inner) -> list[str]:
    """Check the command of exec or run. Returns its service."""
    given, rest = options(f"docker compose {subcommand}", COMPOSE_OPTIONS[subcommand], arguments)
    if not rest:
        raise WrongError(f"docker compose {subcommand} names no service")
    if rest[1:] and "--entrypoint" not in dict(given):
        inner(rest[1:])
    return rest[:1]


def _named(subcommand: str, arguments: list[str]) -> list[str]:
    """Return the services that a subcommand names."""
    found: list[str] = []
    rest = arguments
    while rest:
        given, rest = options(f"docker compose {subcommand}", COMPOSE_OPTIONS[subcommand], rest)
        found += [value.partition("=")[0] for option, value in given if option == "--scale"]
        found, rest = [*found, *rest[:1]], rest[1:]
    return found


@cache
def services(files: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in files:
        found |= yaml.load((ROOT / file).read_text(), Loader).get("services") or {}  # noqa: S506 -- it is a SafeLoader
    return found


def _build(arguments: list[str]) -> None:
    known = {"--file": True, "--target": True, "--tag": True, "--build-arg": True}
    given, rest = options("docker build", known, arguments)
    file = dict(given).get("--file", "Dockerfile")
    if not (ROOT / file).is_file() or len(rest) != 1 or not (ROOT / rest[0]).is_dir():
        raise WrongError(f"docker build {' '.join(arguments)}: the file and the folder have to be there")
    text = (ROOT / file).read_text()
    for option, value in given:
        if option == "--target" and value not in re.findall(r"^FROM .* AS (\S+)$", text, re.MULTILINE):
            raise WrongError(f"{file} has no stage {value}")
        if option == "--build-arg":
            name, _, chosen = value.partition("=")
            if name not in re.findall(r"^ARG (\w+)", text, re.MULTILINE):
                raise WrongError(f"{file} has no argument {name}")
            if name == "REQUIREMENTS" and not (ROOT / "requirements" / chosen).is_file():
                raise WrongError(f"there is no requirements/{chosen}")


def check_services(document: dict[str, Any]) -> None:
    """Check a piece of a compose file."""
    for name in document["services"]:
        if name not in services(("docker-compose.yml",)):
            raise WrongError(f"no compose file has the service {name}")


def variables() -> Iterator[str]:
    """Yield the variables that the compose files read."""
    for path in (ROOT / "docker-compose.yml", *sorted(Path(ROOT / "deploy").glob("compose.*.yml"))):
        yield from re.findall(r"\$\{(\w+)", path.read_text())
