"""How photos are imported, as the command says."""

from dataclasses import dataclass

from pydantic import SecretStr

from facesearch.bulk.adding import PATIENCE, Patience
from shared.contract import Faces


@dataclass(frozen=True)
class Options:
    """How photos are added. facedb: "" for the key's own default. workers: most photos at once. remembered_s: for how
    long the service remembers an Idempotency-Key. send_uncertain: whether photos are sent that may have been added
    longer ago than that. shrink: whether photos that are larger than the service takes are made smaller.
    """

    url: str
    key: SecretStr
    facedb: str
    faces: Faces = Faces.ONE
    workers: int = 64
    remembered_s: float = 86_400
    send_uncertain: bool = False
    shrink: bool = False
    patience: Patience = PATIENCE
