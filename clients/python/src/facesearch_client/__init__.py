"""Client of facesearch: add faces, search for them, delete them and compare two photos.

    from facesearch_client import FaceSearch

    with FaceSearch("http://127.0.0.1:8000", key) as service:
        (face,) = service.addface("grace.jpg", name="Grace", faces="one")

AsyncFaceSearch has the same methods for asyncio. README.md has more examples.
"""

from facesearch_client._version import __version__
from facesearch_client.async_client import AsyncFaceSearch
from facesearch_client.client import FaceSearch
from facesearch_client.errors import (
    ConnectionFailed,
    FaceNotDetected,
    FaceSearchError,
    Forbidden,
    ImageRefused,
    ImageTooLarge,
    ImageUnreadable,
    InvalidRequest,
    Overloaded,
    PersonNotFound,
    RateLimited,
    SeveralFaces,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from facesearch_client.images import Image, Pixels
from facesearch_client.jobs import AsyncJob, Job
from facesearch_client.results import (
    AddedFace,
    Box,
    Comparison,
    CountedFacedb,
    FaceConfidence,
    FaceOfPerson,
    FoundFace,
    Person,
    PersonPage,
    PersonWithFaces,
    Quality,
    Result,
    SearchedFace,
    ShownFace,
)
from facesearch_client.retries import NO_RETRIES, Retries
from facesearch_client.webhooks import SignatureInvalid, Webhook, read_webhook

__all__ = [
    "NO_RETRIES",
    "AddedFace",
    "AsyncFaceSearch",
    "AsyncJob",
    "Box",
    "Comparison",
    "ConnectionFailed",
    "CountedFacedb",
    "FaceConfidence",
    "FaceNotDetected",
    "FaceOfPerson",
    "FaceSearch",
    "FaceSearchError",
    "Forbidden",
    "FoundFace",
    "Image",
    "ImageRefused",
    "ImageTooLarge",
    "ImageUnreadable",
    "InvalidRequest",
    "Job",
    "Overloaded",
    "Person",
    "PersonNotFound",
    "PersonPage",
    "PersonWithFaces",
    "Pixels",
    "Quality",
    "RateLimited",
    "Result",
    "Retries",
    "SearchedFace",
    "SeveralFaces",
    "ShownFace",
    "SignatureInvalid",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
    "Webhook",
    "__version__",
    "read_webhook",
]
