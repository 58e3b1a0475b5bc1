"""The deadline of a job."""

import time

from shared.errors import Unavailable
from shared.jobs import Job


def require_time(job: Job) -> None:
    """Raise Unavailable when the deadline has passed: from then on nothing may be written."""
    if time.time() > job.deadline:
        raise Unavailable("deadline passed")
