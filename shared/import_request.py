"""The request that a running worker takes the persons of a file into a face database (shared/worker_request.py has the
protocol).

Any client of Redis could make a request. So a worker reads only a file below its own FACESEARCH_BACKUP_DIR, where the
requester puts it and from where it removes it.
"""

from typing import Annotated, Final

from pydantic import Field

from shared import worker_request
from shared.jobs import Collection

REQUEST: Final = "fs:import"


class Request(worker_request.Request):
    """collection: that gets the persons. file: of faces (worker/store/faces_file.py), an absolute path on the worker's
    machine below its FACESEARCH_BACKUP_DIR. names: how many automatic names were drawn where the persons come from.
    """

    file: Annotated[str, Field(max_length=4096)]
    collection: Collection
    names: Annotated[int, Field(ge=0)] = 0


class Progress(worker_request.Progress):
    """Numbers of persons so far. read: of the file. added: by this request. present: left as they were, since they are
    in the face database. deleted: left out, since their deletion is so recent that a job may still repeat it.
    """

    read: int = 0
    added: int = 0
    present: int = 0
    deleted: int = 0
