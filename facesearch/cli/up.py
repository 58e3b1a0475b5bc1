"""`facesearch up`: the whole service on this machine."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import click

from facesearch.cli.console import remark, reported, settings_from, worker_only
from facesearch.cli.progress import stages
from shared.observability import logs
from shared.unknown_variables import unknown_variables
from worker.models import selection


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes any.  [default: 8000]")
@click.option("--admin-port", type=int, help="Port of the admin API; 0 takes any.  [default: 8001, or --port plus 1]")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Folder for all data.  [default: ~/.local/share/facesearch]"
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Minimum level of logs.  [default: warning]",
)
@click.option("--log-format", type=click.Choice(["json", "console"]), help="Format of logs.  [default: console]")
@reported
@worker_only
def up(**options: Any) -> None:
    """Run the whole service on this machine: gateway, worker, store and broker.

    Ctrl-C stops it.
    """
    settings = settings_from(**options)
    # On a terminal the banner matters more than the children's logs, unless a setting asks for them.
    defaults = {
        name: value
        for name, value in (("log_level", "warning"), ("log_format", "console"))
        if name not in settings.model_fields_set
    }
    settings = settings.model_copy(update=defaults)
    logs.configure(settings.log_level, settings.log_format, "up")
    for unknown in unknown_variables():
        remark(f"warning: {unknown}")
        # Removed, so that gateway and worker do not repeat the warning.
        os.environ.pop(unknown.name, None)
    with stages() as shown:
        selection.pull(settings, [], shown.say, shown.show)
    if sys.stderr.isatty():
        remark(f"facesearch is starting: broker, image store, worker and gateway, on {settings.data_dir.expanduser()}")
    # Imports aiohttp, for which `facesearch up --help` need not wait.
    from facesearch.embedded.up import up as run  # noqa: PLC0415 -- see above

    asyncio.run(run(settings, click.echo, at_terminal=sys.stdout.isatty()))
