"""Refusals of calls, with the texts and codes of a Qdrant server."""

import grpc

GRPC_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ALREADY_EXISTS,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    500: grpc.StatusCode.INTERNAL,
}


class Refused(Exception):
    """A refused call. code: HTTP status."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def missing(collection: str) -> Refused:
    return Refused(404, f"Not found: Collection `{collection}` doesn't exist!")
