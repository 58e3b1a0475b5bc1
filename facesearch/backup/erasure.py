"""Erases deleted data from every file of the service, which otherwise happens later (docs/erasure.md)."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from redis import Redis

from facesearch.backup import handed_over, worker_request
from facesearch.backup.served_faces import remove_leftovers
from facesearch.embedded import append_only
from shared.broker import RESULT_PREFIX
from shared.erasure_request import Progress
from shared.errors import OperatorError
from shared.progress import Say, Show
from shared.settings import Settings
from shared.worker_request import Request, new_id

POLL_S: Final = 0.1

LONGEST_RESULT_S: Final = 320.0
"""Upper bound in seconds of the time that the outcome of a job is kept: the longest deadline and the margin after
it."""


def erase(settings: Settings, redis: Redis, home: Path | None, say: Say, remark: Say, show: Show) -> None:
    """Erase, and report it. home: the data directory, if the service is stopped. say: called with the result. remark,
    show: called with the progress. Raises RedisError, and OperatorError when not everything could be erased.
    """

    def erased_so_far(progress: Progress) -> None:
        show("facedbs", progress.removed + progress.compacted + progress.left, progress.total)

    if home is None:
        done = _by_worker(settings, redis, erased_so_far)
    else:
        done = _stopped(settings, redis, home, erased_so_far)
    say(f"Removed the faces of {done.removed} dropped facedbs.")
    if done.compacted or not done.left:
        say(f"Rewrote the faces of {done.compacted} facedbs: nothing of deleted faces is in their files.")
    if done.left:
        say(
            f"{done.left} facedbs are on a Qdrant server, which removes the bytes of deleted faces in its own time: "
            "docs/erasure.md says when."
        )
    say(f"Erased {done.answers} answers that were kept under Idempotency-Keys and named deleted faces.")
    remove_leftovers(redis, settings.handover)
    handed_over.remove_leftovers(settings.handover)
    _await_results(redis, remark)
    if append_only.rewrite(redis):
        say("The broker has rewritten its append-only file: no deleted name is in it.")
    else:
        say(
            "The Redis of REDIS_URL keeps no append-only file. If it keeps snapshots, deleted names are in them until "
            "it writes the next one."
        )
    say("Backups were not touched: deleted faces are in those made before they were deleted.")


def _by_worker(settings: Settings, redis: Redis, report: Callable[[Progress], None]) -> Progress:
    if settings.redis_url is not None and not worker_request.alive(redis):
        raise OperatorError("no worker runs, and a worker has the faces: start one, and erase again")
    request = Request(id=new_id())
    with worker_request.requested(redis, worker_request.ERASURE, request, report) as wait:
        return wait()


def _stopped(settings: Settings, redis: Redis, home: Path, report: Callable[[Progress], None]) -> Progress:
    """Erase in a data directory that no other process has open."""
    # A gateway's image, where the command asks a worker, has no NumPy.
    from worker.migrations import Migrations  # noqa: PLC0415 -- see above
    from worker.store.migrated import MigratedStore  # noqa: PLC0415 -- see above
    from worker.store.opening import configured_spaces, open_store  # noqa: PLC0415 -- see above
    from worker.upkeep.erasure import erase as erase_here  # noqa: PLC0415 -- see above

    settings = settings.model_copy(update={"data_dir": home})
    with closing(MigratedStore(open_store(settings, configured_spaces(settings)), Migrations(redis))) as store:
        done = erase_here(redis, store, report)
    if done.state == "failed":
        raise OperatorError(f"not everything could be erased; mend this and erase again: {done.reason}")
    return done


def _await_results(redis: Redis, remark: Say) -> None:
    """Wait until the outcomes of the last jobs, which name faces, have expired, some seconds after the deadlines of
    their jobs. Outcomes that come meanwhile name faces that are there.
    """
    ends = time.monotonic() + LONGEST_RESULT_S
    waiting = list(redis.scan_iter(f"{RESULT_PREFIX}*", 1000))
    if waiting:
        left_s = max(0.0, *(redis.pttl(key) / 1e3 for key in waiting))
        remark(f"waiting up to {left_s:.0f} s until the outcomes of the last jobs, which name faces, have expired")
    while waiting and time.monotonic() < ends:
        time.sleep(POLL_S)
        waiting = [key for key in waiting if redis.exists(key)]
