"""The heads of the chains of a call log, kept in the broker apart from the files.

    fs:call-log    hash of JSON of Head by the name of the chain

A gateway writes its head at most once a second, after the entries are on the disk.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

HEADS: Final = "fs:call-log"


class Head(BaseModel):
    """The newest entry of a chain when this was written. host: where its file is. number: of the entry."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # a later release may add fields

    chain: str
    number: int = Field(ge=1)
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    at: AwareDatetime
    host: str


def read(records: Iterable[bytes | str]) -> list[Head]:
    """Return the heads of these records, ordered by chain. Raises ValueError if one is damaged."""
    try:
        return sorted((Head.model_validate_json(record) for record in records), key=lambda head: head.chain)
    except ValidationError:
        raise ValueError("not the head of a chain") from None


def outdated(heads: Iterable[Head], before: datetime) -> list[str]:
    """Return the chains whose last entry is older."""
    return [head.chain for head in heads if head.at < before]
