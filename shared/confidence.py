"""How often strangers of a facedb reach a confidence: the request for an estimate to a running worker
(shared/worker_request.py has the protocol), and the estimate.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from shared import worker_request
from shared.backup_request import Collection

REQUEST: Final = "fs:estimate"

Cosine = Annotated[float, Field(ge=-1, le=1)]
Confidence = Annotated[float, Field(ge=0, le=100)]
Rate = Annotated[float, Field(ge=0, le=1)]

Points = Annotated[tuple[tuple[Cosine, Confidence], ...], Field(min_length=2, max_length=32)]
"""A calibration: a confidence for each of some cosines, both rising (worker/models/calibration.py)."""


class Level(BaseModel):
    """What a confidence stands for in a facedb.

    meant: the part of stranger pairs that is to reach it. cosine: of the confidence by the model's calibration. rate:
    the estimated part that does; low, high: its interval of 95 %. counted: whether it was counted; else it was
    extrapolated. told: whether the facedb has enough faces to say anything; else rate, low and high mean nothing. own:
    the cosine that the meant part reaches; error: its standard error. ask: the confidence that this cosine has by the
    model's calibration.
    """

    model_config = ConfigDict(frozen=True)

    confidence: int
    meant: Rate
    cosine: Cosine
    rate: Rate
    low: Rate
    high: Rate
    counted: bool
    told: bool
    own: Cosine
    error: Annotated[float, Field(ge=0)]
    ask: Confidence


class Estimate(BaseModel):
    """What confidences stand for in a facedb.

    identity: of the embeddings. stored: faces of the facedb. faces: of these, as many as were looked at. repeated:
    faces that were taken for a further photo of a person. pairs: pairs of strangers. levels: the lowest confidence
    first. points: the calibration by which confidences mean there what they are meant to.
    """

    model_config = ConfigDict(frozen=True)

    identity: str
    stored: int
    faces: int
    repeated: int
    pairs: int
    levels: tuple[Level, ...]
    points: Points


class Request(worker_request.Request):
    """collection: of the facedb."""

    collection: Collection


class Progress(worker_request.Progress):
    """faces: read so far, of the total. steps: grows while there is progress. estimate: once it is done."""

    faces: int = 0
    steps: int = 0
    estimate: Estimate | None = None
