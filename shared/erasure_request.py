"""The request for an erasure to a running worker (shared/worker_request.py has the protocol). An erasure that is made
again costs nothing but time.
"""

from typing import Final

from shared import worker_request

REQUEST: Final = "fs:erase"


class Progress(worker_request.Progress):
    """steps: grows while there is progress. removed: collections of dropped face databases. compacted: collections that
    were rewritten. left: collections that a Qdrant server compacts by itself, later. answers: outcomes in idempotency
    records that named a deleted face. total: of collections.
    """

    steps: int = 0
    removed: int = 0
    compacted: int = 0
    left: int = 0
    answers: int = 0
