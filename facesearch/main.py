"""The commands. Each reads the settings, calls one function and turns an OperatorError into one line and exit 1."""

import asyncio
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from facesearch import models as model_commands
from facesearch.doctor import diagnose
from facesearch.reference import table
from facesearch.up import up as run_up
from shared import logs
from shared.errors import OperatorError
from shared.settings import Settings


def settings_from(**options: Any) -> Settings:
    """Settings of the environment, with the options that were given on top. Raises OperatorError for a bad value."""
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise OperatorError(f"setting {wrong}") from None


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose OperatorError is one line on stderr and exit status 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except OperatorError as error:
            click.echo(f"facesearch: {error}", err=True)
            sys.exit(1)

    return run


@click.group()
@click.version_option(package_name="facesearch")
def main() -> None:
    """Self-hosted face search: add, search and delete faces over three HTTP calls."""


@main.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes any.  [default: 8000]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of everything that is kept.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[default: warning]")
@click.option("--log-format", type=click.Choice(["json", "console"]), help="[default: console]")
@reported
def up(
    host: str | None, port: int | None, data_dir: Path | None, log_level: str | None, log_format: str | None
) -> None:
    """Serve on this machine: broker, worker, store and gateway, until Ctrl-C."""
    settings = settings_from(host=host, port=port, data_dir=data_dir, log_level=log_level, log_format=log_format)
    # At a terminal the greeting matters more than the children's news, unless they were asked for.
    defaults = {
        name: value
        for name, value in (("log_level", "warning"), ("log_format", "console"))
        if name not in settings.model_fields_set
    }
    settings = settings.model_copy(update=defaults)
    logs.configure(settings.log_level, settings.log_format, "up")
    model_commands.pull(settings, [], echo)
    asyncio.run(run_up(settings, click.echo))


def echo(line: str) -> None:
    """Progress goes to stderr, so that stdout holds results alone."""
    click.echo(line, err=True)


@main.group()
def models() -> None:
    """Fetch and list the models."""


@models.command("pull")
@click.argument("names", nargs=-1)
@reported
def models_pull(names: tuple[str, ...]) -> None:
    """Fetch, verify and prepare models: those in use, or the NAMES given."""
    model_commands.pull(settings_from(), names, echo)


@models.command("list")
@reported
def models_list() -> None:
    """List the catalogue: what is here, what it is for, what its licence allows."""
    model_commands.list_all(settings_from(), click.echo)


@main.command()
def settings() -> None:
    """Print every setting, its default and what it does."""
    click.echo(table())


@main.command()
@reported
def doctor() -> None:
    """Tell what is installed, reachable and ready; exit 1 if something needed is not."""
    sys.exit(0 if diagnose(settings_from(), click.echo) else 1)
