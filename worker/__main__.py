"""Run a worker: `python -m worker`, with its settings in the environment."""

import sys
import warnings

from shared.errors import OperatorError
from shared.settings import Settings


def main() -> None:
    try:
        _run(Settings.read())
    except OperatorError as error:
        sys.exit(f"worker cannot start: {error}")


def _run(settings: Settings) -> None:
    if sys.argv[1:] == ["--health"]:
        from worker import health  # noqa: PLC0415 -- what a worker needs takes seconds to import

        sys.exit(health.check(settings))
    from worker.app import create_celery  # noqa: PLC0415 -- see above

    # Celery warns root because pickled messages could run anything; this worker accepts JSON alone.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    # Not Celery's command line, which keeps the exit status to itself: whoever supervises a worker has to see it.
    worker = create_celery(settings).Worker(
        pool_cls="threads",
        concurrency=settings.threads,
        loglevel=settings.log_level.upper(),
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main()
