"""The errors that calls raise, one class for each reason.

FaceSearchError
    InvalidRequest          a parameter is wrong; the message names it
        Unauthorized        the key is unknown or has expired
        Forbidden           the key may not make this call
    FaceNotDetected         no face is shown well enough
        SeveralFaces        there are several, and faces="one" was asked for
    ImageRefused            the file, whatever it shows
        ImageTooLarge
        ImageUnreadable
    PersonNotFound
    Unavailable             a repetition may succeed
        Overloaded          the service said so
            RateLimited     because of a limit of the key
        ConnectionFailed    there was no answer
    UnexpectedAnswer        what answered is not this service
"""


class FaceSearchError(Exception):
    """A call that did not succeed.

    message: what is wrong. status: the service's word for it, None where the service did not say it. http_status: the
    HTTP code of the answer, None without one. request_id: the id under which the service's logs have the request.
    """

    def __init__(
        self,
        message: str,
        *,
        status: str | None = None,
        http_status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.http_status = http_status
        self.request_id = request_id

    def __str__(self) -> str:
        text = self.message if self.status is None else f"{self.status}: {self.message}"
        return text if self.request_id is None else f"{text} (request {self.request_id})"


class InvalidRequest(FaceSearchError):
    """A parameter is missing, malformed or unknown; the message names it and says what is wrong with it."""


class Unauthorized(InvalidRequest):
    """The key is unknown or has expired."""


class Forbidden(InvalidRequest):
    """The key is known but lacks the scope of this call."""


class FaceNotDetected(FaceSearchError):
    """The image shows no face well enough. quality: what is wrong with the face, "size", "blur", "dark", "bright" or
    "pose"; None if there is no face or the service is not set to tell.
    """

    quality: str | None = None


class SeveralFaces(FaceNotDetected):
    """The image shows several faces, and only one was to be added: nobody was."""


class ImageRefused(FaceSearchError):
    """The service does not take the file of the image, whatever it shows."""


class ImageTooLarge(ImageRefused):
    """The encoded image has more than 2 MiB. Raised by the client too, before anything is sent."""


class ImageUnreadable(ImageRefused):
    """The image is no JPEG, PNG or BMP, is damaged, or has too many pixels."""


class PersonNotFound(FaceSearchError):
    """The face database has no face with that person_id."""


class Unavailable(FaceSearchError):
    """The service could not do it now; a repetition may succeed. It was repeated as the client's Retries allow.

    retry_after_s: seconds that the service asks to wait, None if it did not. idempotency_key: the key of the request;
    a later call with it, and the same parameters, has the effect of one.
    """

    retry_after_s: float | None = None
    idempotency_key: str | None = None


class Overloaded(Unavailable):
    """The service answered FAIL: it has too much to do, was not in time, or a limit of the key is the reason."""


class RateLimited(Overloaded):
    """A limit of the key is the reason. A service that answers always with HTTP 200 does not tell, and the error is
    Overloaded.
    """


class ConnectionFailed(Unavailable):
    """There was no answer: the service is unreachable, the connection broke, or the answer took too long."""


class UnexpectedAnswer(FaceSearchError):
    """The answer is none of this service: probably the address is that of something else."""
