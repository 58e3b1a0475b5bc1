"""`facesearch erase --now`: remove deleted faces from every file of the service, which otherwise happens later
(docs/privacy.md).
"""

from pathlib import Path

import click
from redis import Redis, RedisError

from facesearch.backup import erasure
from facesearch.cli.console import data_dir_option, remark, reported, settings_from
from facesearch.cli.control import record_event
from facesearch.embedded import stopped_broker
from facesearch.embedded.broker import describe_failure
from shared.control import DROPPED
from shared.errors import OperatorError


@click.command()
@click.option(
    "--now", is_flag=True, help="Erase. Without this option the command only reports what waits to be removed."
)
@data_dir_option
@reported
def erase(now: bool, data_dir: Path | None) -> None:
    """Remove deleted faces and dropped face databases from every file of the service. It may be running or stopped.

    The command rewrites the files of faces, removes dropped face databases at once, erases kept answers that name a
    deleted face, and makes the broker rewrite its append-only file. Backups are not touched.
    """
    settings = settings_from(data_dir=data_dir)
    try:
        with stopped_broker.connected(settings, remark) as (redis, home):
            if not now:
                _say_what_waits(redis)
                return
            redis.ping()  # what does not begin is no event
            record_event(redis, "erase")
            erasure.erase(settings, redis, home, click.echo, remark)
    except RedisError as error:
        raise OperatorError(f"{describe_failure(settings, error)}; not everything was erased: do it again") from None


def _say_what_waits(redis: Redis) -> None:
    click.echo(f"{redis.zcard(DROPPED)} dropped facedbs wait to be removed.")
    click.echo("Nothing was erased. `facesearch erase --now` does it; docs/privacy.md says what stays until then.")
