"""Run a worker: `python -m worker`, with its settings in the environment."""

import warnings

from shared.settings import Settings
from worker.app import create_celery


def main() -> None:
    # Celery warns root because pickled messages could run anything; this worker accepts JSON alone.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    settings = Settings()
    create_celery(settings).worker_main(
        [
            "--quiet",
            "worker",
            f"--concurrency={settings.threads}",
            "--pool=threads",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            f"--loglevel={settings.log_level}",
        ]
    )


if __name__ == "__main__":
    main()
