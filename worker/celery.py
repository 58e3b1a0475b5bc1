"""What Celery loads: `celery -A worker.celery worker`."""

from shared.settings import Settings
from worker.app import create_celery

app = create_celery(Settings())
