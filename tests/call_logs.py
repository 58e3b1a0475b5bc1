"""Call logs as gateways write them, made without a gateway."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gateway.call_log.files import Files
from shared.call_log.chain import Seal, new_chain
from shared.call_log.heads import Head

GATEWAYS = ("00000000000a", "00000000000b")


@dataclass
class Writer:
    """A gateway's chain in a folder, with a new file wherever `turn` is called."""

    folder: Path
    gateway: str
    seal: Seal = field(default_factory=Seal)

    def __post_init__(self) -> None:
        name = new_chain(self.gateway, datetime(2026, 11, 1, tzinfo=UTC))
        self.files = Files(self.folder, name, "desk", self.seal, file_bytes=1)
        self.turn()

    def turn(self) -> None:
        before = self.files.turn()
        if before is not None:
            os.close(before)

    def call(self, **fields: object) -> None:
        self.files.append("call", fields)

    def end(self, *, orderly: bool = True) -> Head:
        """End the chain and return its head."""
        if orderly:
            self.files.append("close", {})
        self.files.close()
        return self.head()

    def head(self) -> Head:
        number, hash_ = self.files.end
        return Head(chain=self.files.name, number=number, hash=hash_, at=datetime.now(UTC), host="desk")


def write_two(folder: Path, seal: Seal, key: str = "k1") -> list[Head]:
    """Write two chains, of three files and of one, and return their heads. key: the id of the key of all calls."""
    first, second = (Writer(folder, gateway, seal) for gateway in GATEWAYS)
    for number in range(12):
        first.call(call="searchface", key=key, person_ids=[f"person {number}"])
        second.call(call="delface", key=key, person_id=f"person {number}")
        if number in (3, 7):
            first.turn()
    return [first.end(), second.end()]
