"""Run a worker: `python -m worker`, with its settings in the environment."""

from shared.settings import Settings
from worker.app import create_celery


def main() -> None:
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
