"""`facesearch erase --now`: nothing of what was deleted stays in any file of the service. docs/privacy.md says what is
gone without it, and when.
"""

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import click
from redis import Redis, RedisError

from facesearch.backup import worker_request
from facesearch.backup.served_faces import remove_left
from facesearch.cli.backup import broker
from facesearch.cli.console import data_dir_option, remark, reported, settings_from
from facesearch.cli.control import record_event
from facesearch.embedded import append_only
from facesearch.embedded.broker import describe_failure
from shared.broker import RESULT_PREFIX
from shared.control import DROPPED
from shared.erasure_request import REQUEST, Progress, Request, progress_key
from shared.errors import OperatorError
from shared.settings import Settings

POLL_S: Final = 0.1

LONGEST_RESULT_S: Final = 320.0
"""No outcome of a job is kept for longer: the longest deadline and what is added to it."""


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
        with ExitStack() as stack:
            redis, home = broker(stack, settings)
            if now:
                redis.ping()  # what does not begin is no event
                record_event(redis, "erase")
                _erase(settings, redis, home)
            else:
                _say_what_waits(redis)
    except RedisError as error:
        raise OperatorError(f"{describe_failure(settings, error)}; not everything was erased: do it again") from None


def _say_what_waits(redis: Redis) -> None:
    click.echo(f"{redis.zcard(DROPPED)} dropped facedbs wait to be removed.")
    click.echo("Nothing was erased. `facesearch erase --now` does it; docs/privacy.md says what stays until then.")


def _erase(settings: Settings, redis: Redis, home: Path | None) -> None:
    done = _by_a_worker(settings, redis) if home is None else _here(settings, redis, home)
    click.echo(f"Removed the faces of {done.removed} dropped facedbs.")
    if done.compacted or not done.left:
        click.echo(f"Wrote the faces of {done.compacted} facedbs anew: nothing of deleted faces is in their files.")
    if done.left:
        click.echo(
            f"{done.left} facedbs are on a Qdrant server, which removes the bytes of deleted faces in its own time: "
            "docs/privacy.md says when."
        )
    click.echo(f"Erased {done.answers} answers that were kept under Idempotency-Keys and named deleted faces.")
    remove_left(redis, settings.handover)
    _await_results(redis)
    if append_only.rewrite(redis):
        click.echo("The broker has rewritten its append-only file: no deleted name is in it.")
    else:
        click.echo(
            "The Redis of REDIS_URL keeps no append-only file. If it keeps snapshots, deleted names are in them until "
            "it writes the next one."
        )
    click.echo("Backups were not touched: deleted faces are in those made before they were deleted.")


def _by_a_worker(settings: Settings, redis: Redis) -> Progress:
    if settings.redis_url is not None and not worker_request.alive(redis):
        raise OperatorError("no worker runs, and a worker has the faces: start one, and erase again")
    request = Request(id=worker_request.new_id())
    asking = worker_request.Asking(
        REQUEST,
        progress_key(request.id),
        request.model_dump_json(),
        Progress.model_validate_json,
        lambda progress: f"{progress.compacted + progress.left} facedbs …",
        noun="erasure",
        busy="is under way",
        did="erased",
        again="erase again",
        failed="not everything could be erased; mend this and erase again",
    )
    with worker_request.asking_for(redis, asking, remark) as wait:
        return wait()


def _here(settings: Settings, redis: Redis, home: Path) -> Progress:
    """With the service stopped: nobody else has the files open."""
    from worker.models import custom, identity  # noqa: PLC0415 -- likewise
    from worker.store.opening import open_store  # noqa: PLC0415 -- likewise
    from worker.upkeep.erasure import erase as erased  # noqa: PLC0415 -- what a worker needs takes seconds to import

    space = identity.identity(custom.find(settings.embedder, "embedding", settings.models_dir))
    with closing(open_store(settings.model_copy(update={"data_dir": home}), space)) as store:
        done = erased(redis, store, lambda _: None)
    if done.state == "failed":
        raise OperatorError(f"not everything could be erased; mend this and erase again: {done.reason}")
    return done


def _await_results(redis: Redis) -> None:
    """Outcomes of jobs name faces, too. Each is gone some seconds after the deadline of its job; what comes now is of
    faces that are there.
    """
    ends = time.monotonic() + LONGEST_RESULT_S
    waiting = list(redis.scan_iter(f"{RESULT_PREFIX}*", 1000))
    if waiting:
        left_s = max(0.0, *(redis.pttl(key) / 1e3 for key in waiting))
        remark(f"waiting up to {left_s:.0f} s until the outcomes of the last jobs, which name faces, have expired")
    while waiting and time.monotonic() < ends:
        time.sleep(POLL_S)
        waiting = [key for key in waiting if redis.exists(key)]
