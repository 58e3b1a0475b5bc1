"""The command `facesearch`: the table of its commands. Each reads the settings, calls one function and turns an
OperatorError into one line on stderr and exit status 1.
"""

import errno
from typing import Any, Final

import click

from facesearch.cli.console import failed, without_colour
from facesearch.cli.lazy_group import LazyGroup

SUMMARIES: Final = {
    "audit": "List recent changes of tenants, keys and face databases, and attempts with a wrong admin key.",
    "backup": "Write a backup of faces, tenants, keys and counters into the new folder DIR.",
    "calibrate": "Measure an embedder's table from cosine to confidence on the photos in DIR.",
    "completion": "Print a script that makes a shell complete commands and options.",
    "doctor": "Check what is installed, reachable and ready.",
    "erase": "Erase persons, and remove deleted faces and dropped face databases from every file of the service.",
    "evaluate": "Measure how well the models tell the people on the photos in DIR apart.",
    "export": "Write a face database into the new FILE.",
    "facedbs": "Create, list, calibrate and drop the face databases of a tenant.",
    "import": "Add the photos of a folder, CSV file or ZIP file, or an exported facedb, to a face database.",
    "keys": "Create, list and revoke the API keys of a tenant.",
    "models": "Download and list models, and add your own.",
    "persons": "List, show, rename and delete the persons of a face database.",
    "restore": "Restore the backup in the folder DIR.",
    "settings": "Print every setting, its default and what it does.",
    "tenants": "Create, list and drop tenants, each with its own API keys and face databases.",
    "up": "Run the whole service on this machine: gateway, worker, store and broker.",
    "usage": "Print how many requests were answered, and how many of them are charged.",
    "verify": "Check the backup in DIR or, without DIR, the data directory.",
    "webhooks": "List the webhooks that were given up, and have them tried again.",
}
"""The first sentence of each command's help, as a test checks, by its name, which is also that of its module (see
LazyGroup).
"""


class Program(LazyGroup):
    """The commands, whose user gets a line and no traceback where the system refuses a file."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.filename is not None:
                failed(f"{error.filename}: {error.strerror}; mend that, or name another place")
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                failed(f"the output cannot be written: {error.strerror}; make room, or write it elsewhere")
            raise  # a pipe that was closed is click's


@click.group(
    cls=Program,
    package="facesearch.cli",
    summaries=SUMMARIES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="facesearch")
@click.pass_context
def main(context: click.Context) -> None:
    """Self-hosted face search: add, search, delete and compare faces over HTTP."""
    if without_colour():
        context.color = False  # for the contexts of the commands, too
