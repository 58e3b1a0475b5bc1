"""Run a worker: `python -m worker`, with its settings in the environment.

A parent such as `facesearch up` may pass a file descriptor, to which the reason is written if the worker cannot start.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial

from shared.errors import OperatorError
from shared.host.descriptors import raise_limit
from shared.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m worker")
    parser.add_argument("--health", action="store_true", help="tell whether a worker of this host is alive")
    parser.add_argument("--reason-fd", type=int, help="file descriptor for why it cannot start, instead of the log")
    arguments = parser.parse_args()
    refuse = None if arguments.reason_fd is None else partial(_report, arguments.reason_fd)
    try:
        _run(Settings.read(), refuse, health=arguments.health)
    except OperatorError as error:
        if refuse is None:
            sys.exit(f"worker cannot start: {error}")
        refuse(str(error))
        sys.exit(1)


def _report(descriptor: int, reason: str) -> None:
    os.write(descriptor, f"{reason}\n".encode())


def _run(settings: Settings, refuse: Callable[[str], None] | None, *, health: bool) -> None:
    if health:
        from worker.health import check  # noqa: PLC0415 -- what a worker imports takes seconds

        sys.exit(check(settings))
    raise_limit()
    from worker import native_output  # noqa: PLC0415 -- see above
    from worker.app import create_celery, run  # noqa: PLC0415 -- see above

    native_output.redirect_to_log()
    # Celery warns root because pickled messages could run anything; this worker accepts JSON alone.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    sys.exit(run(create_celery(settings, refuse), settings))


if __name__ == "__main__":
    main()
