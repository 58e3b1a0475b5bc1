"""`facesearch restore`: put the data of a backup into the places of the settings, after all of it was checked."""

from pathlib import Path

import click
from redis import RedisError

from facesearch.cli.console import backup_only, data_dir_option, format_time, remark, reported, settings_from
from facesearch.cli.control import record_event
from facesearch.cli.progress import stages
from facesearch.embedded.broker import describe_failure
from shared.errors import OperatorError


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, readable=False))
@click.option("--overwrite", is_flag=True, help="Replace existing data.")
@data_dir_option
@reported
@backup_only
def restore(folder: Path, overwrite: bool, data_dir: Path | None) -> None:
    """Restore the backup in the folder DIR. The service must be stopped."""
    from facesearch.backup import restoration  # noqa: PLC0415 -- needs NumPy, which a gateway's image goes without

    settings = settings_from(data_dir=data_dir)
    try:
        with stages() as shown:
            backup = restoration.check(settings, folder.expanduser().absolute(), shown.say, shown.show)
            persons = restoration.restore(
                settings, backup, overwrite, shown.say, shown.show, lambda redis: record_event(redis, "restore")
            )
    except RedisError as error:
        raise OperatorError(f"{describe_failure(settings, error)}; then restore again with --overwrite") from None
    except OSError as error:
        raise OperatorError(
            f"nothing was restored: {error.filename or 'the disk'}: {error.strerror}; make room, or restore elsewhere"
        ) from None
    except KeyboardInterrupt:
        where = "nothing was restored" if settings.redis_url is None else "a part may be restored"
        remark(f"interrupted: {where}; restore again{'' if settings.redis_url is None else ' with --overwrite'}")
        raise
    restored = "" if persons is None else f"{persons} persons of "
    click.echo(
        f"restored: {restored}{len(backup.collections)} facedbs, from the backup of "
        f"{format_time(backup.manifest.created)}"
    )
