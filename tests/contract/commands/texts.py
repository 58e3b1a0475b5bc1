"""Blocks that are no commands: answers, output, JSON, YAML, configurations and programs of callers."""

import configparser
import json
import re
from typing import Any, Final

import yaml

from contract.commands import cli, cluster, containers
from contract.commands.pages import WrongError
from shared.contract import Status

NGINX: Final = frozenset(
    {
        "location",
        "proxy_pass",
        "proxy_http_version",
        "proxy_set_header",
        "client_max_body_size",
        "client_body_buffer_size",
        "proxy_read_timeout",
    }
)
"""Directives of nginx that a document may use."""


def check_answer(line: str) -> None:
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise WrongError(f"this is not JSON: {error}") from error
    if list(answer) != ["status", "message"] or answer["status"] not in list(Status):
        raise WrongError("an answer has a status of the contract and a message")


def check_json(text: str) -> None:
    if text.startswith('{"status"'):
        for line in text.splitlines():
            check_answer(line)
        return
    try:
        json.loads(re.sub("…", "", text))
    except ValueError as error:
        raise WrongError(f"this is not JSON: {error}") from error


def check_yaml(text: str) -> None:
    try:
        document: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise WrongError(f"this is not YAML: {error}") from error
    if isinstance(document, dict) and "services" in document:
        containers.check_services(document)
    elif isinstance(document, dict):
        cluster.check_values(document)
    else:
        raise WrongError("neither a piece of a compose file nor values of the chart")


def check_nginx(text: str) -> None:
    if text.count("{") != text.count("}"):
        raise WrongError("braces do not match")
    for line in filter(None, (each.partition("#")[0].strip() for each in text.splitlines())):
        if line != "}" and (line[-1] not in ";{" or line.split()[0] not in NGINX):
            raise WrongError(f"{line}: not a directive that NGINX knows")


def check_unit(text: str) -> None:
    """A unit of systemd that runs a command of facesearch."""
    unit = configparser.ConfigParser(interpolation=None)
    try:
        unit.read_string(text)
        program, *arguments = unit["Service"]["ExecStart"].split()
    except (configparser.Error, KeyError) as error:
        raise WrongError(f"not a unit of a service: {error}") from error
    if not program.endswith("/bin/facesearch"):
        raise WrongError(f"{program}: not the program facesearch of an environment")
    cli.check(arguments, whole=True)


def check_text(text: str) -> None:
    if re.search(r"^\$ ", text, re.MULTILINE):
        raise WrongError("commands with their output are a block of console")
    if not text.strip() or "\t" in text:
        raise WrongError("output has no tabs, and is not empty")


def check_documents(text: str) -> None:
    """Check one JSON document after another."""
    rest = text.strip()
    while rest:
        try:
            _, length = json.JSONDecoder().raw_decode(rest)
        except ValueError as error:
            raise WrongError(f"this is not JSON: {error}") from error
        rest = rest[length:].strip()


def check_foreign(text: str) -> None:
    if "X-API-Key" not in text:
        raise WrongError("a program of a caller sends X-API-Key; tests/integration/test_snippets.py runs it")
