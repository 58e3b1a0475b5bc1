"""`facesearch backup`: copy all persistent data into a folder, while the service runs or while it is stopped."""

from pathlib import Path

import click

from facesearch.backup import rotation
from facesearch.cli.console import backup_only, data_dir_option, remark, reported, settings_from
from facesearch.cli.progress import stages
from shared.errors import OperatorError
from shared.settings import Settings


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, readable=False))
@click.option(
    "--keep",
    type=click.IntRange(1),
    metavar="N",
    help="Treat DIR as a folder of backups: add one, named after the time, and remove all but the newest N.",
)
@data_dir_option
@reported
@backup_only
def backup(folder: Path, keep: int | None, data_dir: Path | None) -> None:
    """Write a backup of faces, tenants, keys and counters into the new folder DIR. The service may be running."""
    from facesearch.backup import writer  # noqa: PLC0415 -- needs NumPy, which a gateway's image goes without

    settings = settings_from(data_dir=data_dir)
    writer.require_durable(settings)
    folder = folder.expanduser().absolute()
    if keep is None:
        _write(settings, folder)
        return
    with rotation.writing(folder) as new:
        _write(settings, new)
        try:
            for old in rotation.prune(folder, new, keep):
                click.echo(f"{old}: removed")
        except OSError as error:
            raise OperatorError(
                f"the backup is whole, and older ones cannot be removed: {error.filename or folder}: {error.strerror}"
            ) from None


def _write(settings: Settings, folder: Path) -> None:
    from facesearch.backup import writer  # noqa: PLC0415 -- see above

    try:
        with stages() as shown:
            made = writer.back_up(settings, folder, shown.say, shown.show)
    except KeyboardInterrupt:
        remark(f"interrupted: there is no backup; if there is {folder}, remove it, or choose another folder")
        raise
    click.echo(f"{folder}: {made.bytes / 1e6:.1f} MB, checked by its manifest.json")
