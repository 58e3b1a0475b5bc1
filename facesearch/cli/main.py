"""The command `facesearch`: the table of its commands. Each reads the settings, calls one function and turns an
OperatorError into one line on stderr and exit status 1.
"""

from typing import Final

import click

from facesearch.cli.lazy_group import LazyCommand, LazyGroup

COMMANDS: Final = {
    "audit": LazyCommand(
        "facesearch.cli.audit",
        "List recent changes of tenants, keys and face databases, and attempts with a wrong admin key.",
    ),
    "backup": LazyCommand(
        "facesearch.cli.backup", "Write a backup of faces, tenants, keys and counters into the new folder DIR."
    ),
    "calibrate": LazyCommand(
        "facesearch.cli.calibrate", "Measure an embedder's table from cosine to confidence on the photos in DIR."
    ),
    "doctor": LazyCommand("facesearch.cli.doctor", "Check what is installed, reachable and ready."),
    "erase": LazyCommand(
        "facesearch.cli.erase", "Remove deleted faces and dropped face databases from every file of the service."
    ),
    "evaluate": LazyCommand(
        "facesearch.cli.evaluate", "Measure how well the models tell the people on the photos in DIR apart."
    ),
    "facedbs": LazyCommand("facesearch.cli.facedbs", "Create, list and drop the face databases of a tenant."),
    "keys": LazyCommand("facesearch.cli.keys", "Create, list and revoke the API keys of a tenant."),
    "models": LazyCommand("facesearch.cli.models", "Download and list models, and add your own."),
    "restore": LazyCommand("facesearch.cli.restore", "Restore the backup in the folder DIR."),
    "settings": LazyCommand("facesearch.cli.settings", "Print every setting, its default and what it does."),
    "tenants": LazyCommand(
        "facesearch.cli.tenants", "Create, list and drop tenants, each with its own API keys and face databases."
    ),
    "up": LazyCommand("facesearch.cli.up", "Run the whole service on this machine: gateway, worker, store and broker."),
    "usage": LazyCommand(
        "facesearch.cli.usage", "Print how many requests were answered, and how many of them are charged."
    ),
    "verify": LazyCommand("facesearch.cli.verify", "Check the backup in DIR or, without DIR, the data directory."),
}
"""By name. A test compares the summaries with the commands' own help."""


@click.group(cls=LazyGroup, lazy=COMMANDS)
@click.version_option(package_name="facesearch")
def main() -> None:
    """Self-hosted face search: add, search, delete and compare faces over four HTTP calls."""
