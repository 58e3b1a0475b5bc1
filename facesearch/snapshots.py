"""`facesearch snapshots`: backup and return of the faces on a Qdrant server."""

from pathlib import Path

import click

from facesearch.console import remark, reported, settings_from
from shared.errors import OperatorError
from shared.settings import Settings

_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))


@click.group()
def snapshots() -> None:
    """Back up and bring back the faces on a Qdrant server."""


@snapshots.command("save")
@_folder
@reported
def save(folder: Path) -> None:
    """Save every collection to the folder DIR, one file each, and a manifest."""
    settings = _of_a_server()
    # The client of a server takes 0.75 s to import, which the other commands need not wait for.
    from worker.store import qdrant_snapshots  # noqa: PLC0415 -- see above

    qdrant_snapshots.save(settings, folder, remark)


@snapshots.command("load")
@_folder
@click.option("--overwrite", is_flag=True, help="Replace collections that have faces now.")
@reported
def load(folder: Path, overwrite: bool) -> None:
    """Bring back every collection that `save` left in the folder DIR. Checks all of it first."""
    settings = _of_a_server()
    from worker.store import qdrant_snapshots  # noqa: PLC0415 -- as in save

    qdrant_snapshots.load(settings, folder, overwrite, remark)


def _of_a_server() -> Settings:
    settings = settings_from()
    if settings.store_kind != "qdrant":
        raise OperatorError(
            "snapshots are of a Qdrant server, and QDRANT_URL is not set; faces that are embedded are backed up by "
            f"copying {settings.data_dir} while the service is stopped"
        )
    return settings
