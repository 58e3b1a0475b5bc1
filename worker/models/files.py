"""The models folder: fetch, verify, prepare and keep model files.

It holds the original as <digest>-<file> and the prepared graph as <digest>-<file stem>.prepared-v<version>.onnx, where
digest is the first 16 hex digits of the original's SHA-256. Before .prepared an embedder's graph has
<channels>_<mean>_<scale>, which are part of it, and an 8-bit one int8-v<version>. Beside each graph its own SHA-256 is
kept, as <graph>.sha256: a graph damaged since would load, and embed faces differently under the same identity. An
original placed there by hand under its plain name is used, too. The folder may be copied to a machine without network.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import OperatorError
from shared.progress import Say
from worker.models.catalog import Embedder, Model, Source
from worker.models.fetch import Fetch, FetchError, UnreachableError, fetch
from worker.models.versions import INT8_VERSION, PREPARATION_VERSION


def is_ready(model: Model, folder: Path) -> bool:
    """Return whether the prepared graph and its digest are there. `prepared_path` checks that they match."""
    prepared = _prepared(model, folder)
    return prepared.is_file() and _digest_of(prepared).is_file()


def prepared_path(model: Model, folder: Path) -> Path:
    """Return the path of the prepared graph. Raises OperatorError if it is missing or damaged: nothing is fetched or
    prepared while serving.
    """
    prepared = _prepared(model, folder)
    if not prepared.is_file():
        raise OperatorError(f"the model {model.name} is not in {folder}; run `facesearch models pull`")
    try:
        whole = _is_whole(prepared)
    except OSError as error:
        raise OperatorError(f"cannot read the model {model.name} in {folder}: {error}") from error
    if not whole:
        raise OperatorError(
            f"the model {model.name} in {folder} is damaged, or of an earlier release: {prepared.name} has not the "
            "sha256 that is kept beside it; run `facesearch models pull`, which prepares it again"
        )
    return prepared


def pull(model: Model, folder: Path, say: Say, fetch: Fetch = fetch) -> Path:
    """Fetch and prepare the model unless it is there undamaged, and return the graph's path. say: called with lines for
    the operator.

    Raises OperatorError if no source gives the file, or the folder cannot be written.
    """
    target = _prepared(model, folder)
    try:
        if _is_whole(target):
            return target
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder, say):
            # Another pull may have made it meanwhile.
            if not _is_whole(target):
                source_file = original(model, folder, say, fetch)
                say(f"preparing {model.name}")
                with replacing(target) as part:
                    _prepare(model, source_file, part)
                    # Until the graph is in place there is none with this digest, so a mixture is never loaded.
                    _keep_digest(target, sha256(part))
    except OSError as error:
        raise OperatorError(f"cannot keep models in {folder}: {error}") from error
    return target


def keep(model: Model, source_file: Path, folder: Path, say: Say) -> None:
    """Copy the operator's own file into the folder, as a fetched one would be kept. Raises OperatorError if it is not
    the model's, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder, say), replacing(_kept(model, folder)) as part:
            shutil.copyfile(source_file, part)
            if (digest := sha256(part)) != model.sha256:
                raise OperatorError(f"{source_file} has sha256 {digest} where {model.sha256} was read before")
    except OSError as error:
        raise OperatorError(f"cannot keep {source_file} in {folder}: {error}") from error


def original(model: Model, folder: Path, say: Say, fetch: Fetch = fetch) -> Path:
    """Return the path of the verified original: kept earlier, placed by hand, or fetched now from the first source that
    has it. Raises OperatorError if there is none.
    """
    kept, by_hand = _kept(model, folder), folder / model.file
    failures, unreachable = [], []
    for path in (kept, by_hand):
        if path.is_file():
            if (digest := sha256(path)) == model.sha256:
                return path
            failures.append(f"{path.name} in the folder has sha256 {digest}")
    part = folder / f"{kept.name}.part"
    for source in model.sources:
        try:
            _fetch_verified(model, source, part, say, fetch)
        except FetchError as error:
            failures.append(f"{source}: {error}")
            say(failures[-1])
            if isinstance(error, UnreachableError):
                unreachable.append(error.where)
        else:
            part.replace(kept)
            return kept
    if unreachable and len(unreachable) == len(failures):
        raise OperatorError(
            f"cannot get the model {model.name}: from here none of {', '.join(dict.fromkeys(unreachable))} can be "
            "reached; without network, run `facesearch models pull` on a machine that has one and copy its models "
            f"folder, which `facesearch models list` names, to {folder}, or put {model.file} with sha256 "
            f"{model.sha256} there"
        )
    raise OperatorError(
        f"cannot get the model {model.name} ({'; '.join(failures) or 'it has no automatic source'}); put {model.file} "
        f"with sha256 {model.sha256} into {folder}, or fill a folder with `facesearch models pull` on a machine with "
        "network and copy it"
    )


def _fetch_verified(model: Model, source: Source, part: Path, say: Say, fetch: Fetch) -> None:
    """Fetch to `part`, which is deleted if its digest is wrong. Raises FetchError."""
    for beginning in (part.exists(), False):
        fetch(source, part, model.size, say)
        digest = sha256(part)
        if digest == model.sha256:
            return
        part.unlink()
        if not beginning:
            break
        # Resuming an old part may have mixed two files: once more, from nothing.
        say(f"{source}: starting over")
    raise FetchError(f"its sha256 is {digest}, expected {model.sha256}")


def sha256(path: Path) -> str:
    """Return the digest of a file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _kept(model: Model, folder: Path) -> Path:
    return folder / f"{model.sha256[:16]}-{model.file}"


def _prepared(model: Model, folder: Path) -> Path:
    kind = ""
    if isinstance(model, Embedder):
        # Two descriptions of one file may differ in these, and each has a graph of its own.
        kind = f".{model.channels.lower()}_{float(model.mean)}_{float(model.scale)}"
        kind += f".int8-v{INT8_VERSION}" if model.ranges else ""
    return folder / f"{model.sha256[:16]}-{Path(model.file).stem}{kind}.prepared-v{PREPARATION_VERSION}.onnx"


def _digest_of(prepared: Path) -> Path:
    return prepared.with_name(f"{prepared.name}.sha256")


def _is_whole(prepared: Path) -> bool:
    """Return whether the graph is there and has the digest kept when it was made."""
    try:
        kept = _digest_of(prepared).read_text("ascii").strip()
        return sha256(prepared) == kept
    except (FileNotFoundError, UnicodeDecodeError):
        return False


def _keep_digest(prepared: Path, digest: str) -> None:
    with replacing(_digest_of(prepared)) as part:
        part.write_text(f"{digest}\n", "ascii")


def _prepare(model: Model, source_file: Path, target: Path) -> None:
    # Loads the graph library, 0.3 s, which only preparation needs and a gateway's image does not have.
    from worker.models.preparation.file import prepare_file  # noqa: PLC0415 -- see above

    prepare_file(model, source_file, target)


@contextmanager
def _locked(folder: Path, say: Say) -> Iterator[None]:
    """Lock the folder against other processes that pull into it. The lock ends with the process, even a killed one."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another pull into the same folder")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces the target if the block succeeds: a partial file is never seen."""
    temporary = target.with_name(f"{target.name}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
