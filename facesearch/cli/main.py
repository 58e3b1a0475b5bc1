"""The commands. Each reads the settings, calls one function and turns an OperatorError into one line and exit 1."""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from facesearch.cli import models as model_commands
from facesearch.cli.audit import audit
from facesearch.cli.backup import backup
from facesearch.cli.calibrate import calibrate
from facesearch.cli.console import columns_of_terminal, print_paragraph, remark, reported, settings_from, worker_only
from facesearch.cli.doctor import DETAIL, diagnose
from facesearch.cli.erase import erase
from facesearch.cli.evaluate import evaluate
from facesearch.cli.facedbs import facedbs
from facesearch.cli.installed import Role
from facesearch.cli.keys import keys
from facesearch.cli.restore import restore
from facesearch.cli.settings import listing, table
from facesearch.cli.tenants import tenants
from facesearch.cli.usage import usage
from facesearch.cli.verify import verify
from facesearch.embedded.up import up as run_up
from shared.observability import logs
from shared.unknown_variables import unknown_variables
from worker.models.custom import LARGEST_SIDE


@click.group()
@click.version_option(package_name="facesearch")
def main() -> None:
    """Self-hosted face search: add, search, delete and compare faces over four HTTP calls."""


main.add_command(calibrate)
main.add_command(evaluate)
main.add_command(tenants)
main.add_command(keys)
main.add_command(facedbs)
main.add_command(usage)
main.add_command(backup)
main.add_command(restore)
main.add_command(verify)
main.add_command(erase)
main.add_command(audit)


@main.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes any.  [default: 8000]")
@click.option("--admin-port", type=int, help="Port of the admin API; 0 takes any.  [default: 8001, or --port plus 1]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of everything that is kept.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[default: warning]")
@click.option("--log-format", type=click.Choice(["json", "console"]), help="[default: console]")
@reported
@worker_only
def up(**options: Any) -> None:
    """Serve on this machine: broker, worker, store and gateway, until Ctrl-C."""
    settings = settings_from(**options)
    # At a terminal the greeting matters more than the children's news, unless they were asked for.
    defaults = {
        name: value
        for name, value in (("log_level", "warning"), ("log_format", "console"))
        if name not in settings.model_fields_set
    }
    settings = settings.model_copy(update=defaults)
    logs.configure(settings.log_level, settings.log_format, "up")
    for unknown in unknown_variables():
        remark(f"warning: {unknown}")
        # Said once: the gateway and the worker, which would say it too, do not get it.
        os.environ.pop(unknown.name, None)
    model_commands.pull(settings, [], remark)
    asyncio.run(run_up(settings, click.echo, at_terminal=sys.stdout.isatty()))


@main.group()
def models() -> None:
    """Fetch and list the models, and add your own."""


@models.command("pull")
@click.argument("names", nargs=-1)
@reported
@worker_only
def models_pull(names: tuple[str, ...]) -> None:
    """Fetch, verify and prepare models: those in use, or the NAMES given."""
    model_commands.pull(settings_from(), names, remark)


@models.command("list")
@reported
def models_list() -> None:
    """List the catalogue: what is here, what it is for, what its licence allows."""
    model_commands.list_all(settings_from())


@models.command("add")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--like",
    required=True,
    metavar="NAME",
    help=f"Whose way in it has: {' or '.join(model_commands.PRESETS)}, or a model that is listed.",
)
@click.option("--name", help="What settings call it.  [default: the file's name]")
@click.option("--channels", type=click.Choice(["RGB", "BGR"]), help="Order of the channels.  [default: as --like]")
@click.option("--mean", type=float, help="Taken from each value, which is 0 to 255.  [default: as --like]")
@click.option("--scale", type=float, help="Each value is then divided by it.  [default: as --like]")
@click.option(
    "--size",
    "input_size",
    type=click.IntRange(8, LARGEST_SIDE),
    help="Side of the crop in pixels.  [default: as --like]",
)
@click.option("--licence", help="SPDX expression.")
@click.option("--commercial/--no-commercial", help="Whether the licence allows commercial use.  [default: it does not]")
@click.option("--check", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Photos, person/photo.")
@reported
@worker_only
def models_add(file: Path, check: Path | None, **options: Any) -> None:
    """Describe the embedder FILE (ONNX), try it out, and keep both in the models folder.

    With --check, it must also hold changed photos of one face closer than photos of two people.
    """
    model_commands.add(settings_from(), file, model_commands.Wanted(**options), check, click.echo)


@main.command()
def settings() -> None:
    """Print every setting, its default and what it does."""
    columns = columns_of_terminal()
    click.echo(table() if columns is None else listing(columns))


@main.command()
@click.option(
    "--role", type=click.Choice(["gateway", "worker", "all"]), help="Whose needs.  [default: by what is here]"
)
@reported
def doctor(role: Role | None) -> None:
    """Tell what is installed, reachable and ready; exit 1 if something needed is not."""
    sys.exit(0 if diagnose(settings_from(), role, partial(print_paragraph, indent=DETAIL)) else 1)
