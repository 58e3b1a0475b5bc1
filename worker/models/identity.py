"""The identity of an embedding space. Embeddings of different identities must never meet in a collection."""

import hashlib
from dataclasses import dataclass

from worker.models.catalog import MODELS, Embedder
from worker.models.versions import INT8_VERSION, PREPROCESSINGS, RESULT_VERSION, Preprocessing


@dataclass(frozen=True)
class Identity:
    """The identity of an embedding space.

    model: its name. digest: SHA-256 of the source file, hex (not of the prepared graph, which a library release may
    serialise differently); of an operator's own model, of the file's digest and the input parameters, which the
    catalogue does not fix. version: of preprocessing and preparation, raised when either changes embeddings by more
    than rounding. dimension: of an embedding.
    """

    model: str
    digest: str
    version: int
    dimension: int

    def __str__(self) -> str:
        """Return one line that `parse` reads; stores keep it."""
        return f"{self.model}:{self.digest}:v{self.version}:{self.dimension}"

    @classmethod
    def parse(cls, text: str) -> "Identity":
        """Return the identity that str gave. Raises ValueError on any other text."""
        model, digest, version, dimension = text.split(":")
        return cls(model, digest, int(version.removeprefix("v")), int(dimension))


def identity(model: Embedder, preprocessing: Preprocessing) -> Identity:
    """Return the identity of the model's embeddings with that preprocessing. The version is 1000 x preparation's +
    preprocessing's, so both show.
    """
    version = 1000 * (INT8_VERSION if model.ranges else RESULT_VERSION) + preprocessing.version
    return Identity(model.name, _digest(model), version, model.dimension)


def remedy(stored: str, ours: Identity) -> str:
    """Return what an operator can do, part of a sentence, where a collection has the identity `stored` and the service
    `ours`.
    """
    try:
        theirs = Identity.parse(stored)
    except ValueError:
        return "drop the facedb and create it again, or leave its collection to its owner"
    again = "add the faces again, from your photos (the service keeps none), into a new facedb or data directory"
    if theirs.model != ours.model:
        fitting = any(
            str(identity(model, preprocessing)) == stored
            for model in MODELS
            if isinstance(model, Embedder)
            for preprocessing in PREPROCESSINGS.values()
        )
        release = "" if fitting or not _is_known(theirs.model) else " and go back to the release that added them"
        if fitting:
            again = (
                "add the faces again, from your photos (the service keeps none): with FACESEARCH_SECOND_EMBEDDER="
                f"{theirs.model} `facesearch facedbs migrate` does it while the service runs"
            )
        return f"set FACESEARCH_EMBEDDER={theirs.model} again{release}, or {again}"
    if theirs.digest != ours.digest:
        return f"the file of {ours.model} is another one now: put back the former, or {again}"
    release = "a later release, which sees" if theirs.version > ours.version else "an earlier release, which saw"
    return f"they were added by {release} faces differently: go back to that release, or {again}"


def _is_known(name: str) -> bool:
    return any(name == known.name for known in MODELS)


def _digest(model: Embedder) -> str:
    if _is_known(model.name):
        return model.sha256
    goes_in = (model.input_size, model.channels, float(model.mean), float(model.scale))
    return hashlib.sha256(f"{model.sha256} {goes_in}".encode()).hexdigest()
