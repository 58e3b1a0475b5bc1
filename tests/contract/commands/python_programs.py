"""`python …` and `pip …`: modules, files, the options that their parsers have, and packages."""

import ast
import importlib
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Final

from contract.commands.containers import options
from contract.commands.pages import ROOT, WrongError

PIP: Final = {
    "install": {"--no-deps": False, "--require-hashes": False, "--editable": False, "-r": True},
    "download": {"--no-deps": False, "--require-hashes": False, "--dest": True, "-r": True},
}
"""Options of pip by subcommand, and whether each has a value."""

BUILD_TOOLS: Final = {
    "hatchling": "builds the project: [build-system] in pyproject.toml",
    "editables": "hatchling needs it for `pip install --editable`",
}
"""Packages that no file in requirements/ need have, and what needs them."""

APT: Final = {
    "chromium": "make browser",
    "python3-venv": "make up",
}
"""Debian packages, and what needs them."""


def check(arguments: list[str], variables: dict[str, str]) -> None:
    """Check the arguments of python. variables: those that are set before it. Raises WrongError."""
    if arguments[:1] == ["-m"] and len(arguments) > 1:
        module, *rest = arguments[1:]
        if module == "pip":
            check_pip(rest)
        elif module == "pytest":
            _check_pytest(rest)
        else:
            source = _source(module, variables.get("PYTHONPATH", ""))
            if source is None:
                raise WrongError(f"python -m {module}: there is no such module")
            _check_options(source, rest)
    elif arguments[:1] and not arguments[0].startswith("-"):
        path = ROOT / arguments[0]
        source = path if path.is_file() else path / "__main__.py"
        if not source.is_file():
            raise WrongError(f"python {arguments[0]}: there is no such file")
        _check_options(source, arguments[1:])
    elif arguments:
        raise WrongError(f"python {' '.join(arguments)}: show a module or a file")


def _source(module: str, python_path: str) -> Path | None:
    """Return the file that `python -m` runs, if there is one."""
    parts = module.replace(".", "/")
    folders = [ROOT, *(ROOT / each for each in python_path.split(":") if each)]
    files = [each for folder in folders for each in (folder / f"{parts}.py", folder / parts / "__main__.py")]
    return next((each for each in files if each.is_file()), None)


def _check_options(source: Path, arguments: list[str]) -> None:
    given = [each.partition("=")[0] for each in arguments if each.startswith("-")]
    for option in given:
        if option not in _options_of(source):
            raise WrongError(f"{source.relative_to(ROOT)} has no option {option}")


@cache
def _options_of(source: Path) -> frozenset[str]:
    """Return the texts like options in a program and in what it imports from its own folder."""
    tree = ast.parse(source.read_text())
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imported += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    sources = [source, *(path for name in imported if (path := source.parent / f"{name}.py").is_file())]
    texts = (node for path in sources for node in ast.walk(ast.parse(path.read_text())))
    return frozenset(
        node.value
        for node in texts
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"-[\w-]+", node.value)
    )


def _check_pytest(arguments: list[str]) -> None:
    for path in arguments:
        if not path.startswith("-") and not (ROOT / path).exists():
            raise WrongError(f"pytest {path}: there is no such folder")


def check_pip(arguments: list[str]) -> None:
    subcommand, *rest = arguments or [""]
    if subcommand not in PIP:
        raise WrongError(f"pip {subcommand}: no subcommand that tests/contract/commands/python_programs.py knows")
    while rest:
        given, rest = options(f"pip {subcommand}", PIP[subcommand], rest)
        for option, value in given:
            if option == "-r" and not (ROOT / value).is_file():
                raise WrongError(f"pip {subcommand} -r {value}: there is no such file")
        if rest:
            _check_package(rest.pop(0))


def _check_package(name: str) -> None:
    if name.startswith("."):
        folder, _, extra = name.partition("[")
        if not (ROOT / folder / "pyproject.toml").is_file():
            raise WrongError(f"pip install {name}: there is no such project")
        if extra and extra.rstrip("]") not in (ROOT / folder / "pyproject.toml").read_text():
            raise WrongError(f"pip install {name}: the project has no such extra")
        return
    package = re.split(r"[=<>~!\[]", name)[0].lower()
    if package not in BUILD_TOOLS and not any(
        package in _pinned(path) for path in (ROOT / "requirements").glob("*.txt")
    ):
        raise WrongError(f"pip: {package} is in no file of requirements/; say in BUILD_TOOLS what needs it")


@cache
def _pinned(path: Path) -> frozenset[str]:
    return frozenset(name.lower() for name in re.findall(r"^([\w.-]+)==", path.read_text(), re.MULTILINE))


def check_apt(arguments: list[str]) -> None:
    if arguments[:1] != ["install"]:
        raise WrongError(f"apt-get {' '.join(arguments)}: show apt-get install PACKAGE")
    for package in (each for each in arguments[1:] if not each.startswith("-")):
        if package not in APT:
            raise WrongError(f"apt-get install {package}: say in APT of python_programs.py what needs it")


def check_program(text: str) -> None:
    """Check that a Python program compiles, and that what it imports of installed modules is there."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise WrongError(f"Python does not compile this: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            module = _module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name) and importlib.util.find_spec(f"{node.module}.{alias.name}") is None:
                    raise WrongError(f"{node.module} has no {alias.name}")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                _module(alias.name)


def _module(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise WrongError(f"there is no module {name}") from error
