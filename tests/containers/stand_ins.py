"""Stand-ins for the official images, for machines that cannot pull images.

They have the names that the Dockerfile and the compose file use, and are made of Debian's packages and PyPI's.
`python tests/containers/stand_ins.py` makes those that are missing, then this project's own images on top of them. It
needs root, debootstrap and a Docker engine. An image of such a name that is not ours is left alone. Ours have the label
`facesearch.stand-in`, a digest of what they are made of, and are made again when that changes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import yaml

from facesearch.embedded import servers
from shared.errors import OperatorError

ROOT: Final = Path(__file__).parents[2]
IMAGES: Final = Path(__file__).parent / "images"
LABEL: Final = "facesearch.stand-in"
WORKER: Final = "facesearch/worker:latest"
SUITE: Final = "bookworm"
CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
NOT_NEEDED: Final = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man")
"""Folders whose content the official slim images do not have either."""

# Address of an index other than the public one; pip in a build needs it as pip here does.
PIP_SETTINGS: Final = ("index-url", "extra-index-url", "trusted-host")


@dataclass(frozen=True)
class StandIn:
    """An image. files: the files that its Dockerfile copies, by name; their content is part of the digest."""

    name: str
    dockerfile: Path
    files: dict[str, Path]
    base: str | None = None


def compose_images() -> dict[str, str]:
    """Return the image of each service of docker-compose.yml."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return {name: service["image"] for name, service in services.items()}


def bases(folder: Path) -> Iterator[StandIn]:
    """Yield the images on which this project's images and the servers beside them are based. folder: for temporary
    files.
    """
    pip = folder / "pip.conf"
    pip.write_text(pip_configuration())
    debian = StandIn(
        f"facesearch-stand-in/debian:{SUITE}",
        IMAGES / "debian.Dockerfile",
        {"ca-certificates.crt": CERTIFICATES, "apt.conf": IMAGES / "apt.conf"},
    )
    yield debian
    yield StandIn("python:3.11-slim-bookworm", IMAGES / "python.Dockerfile", {"pip.conf": pip}, debian.name)
    yield StandIn(
        compose_images()["valkey"],
        IMAGES / "valkey.Dockerfile",
        {"valkey-server": servers.binary(), "docker-entrypoint.sh": IMAGES / "docker-entrypoint.sh"},
        debian.name,
    )


def project_images() -> dict[str, str]:
    """Return the target of deploy/Dockerfile by the name of its image."""
    return {"facesearch/gateway:latest": "gateway", WORKER: "worker"}


def build(name: str, target: str) -> None:
    """Build an image of this project from the working tree."""
    dockerfile = str(ROOT / "deploy/Dockerfile")
    _docker("build", "--network", "host", "--tag", name, "--target", target, "--file", dockerfile, str(ROOT))


def qdrant() -> StandIn:
    """Return the stand-in for Qdrant, which is based on the worker's image."""
    tests = ROOT / "tests"
    files = {
        "qdrant_server.py": tests / "qdrant_server.py",
        "qdrant_standin": tests / "qdrant_standin",
        "entrypoint.sh": IMAGES / "entrypoint.sh",
    }
    return StandIn(compose_images()["qdrant"], IMAGES / "qdrant.Dockerfile", files, WORKER)


def pip_configuration() -> str:
    """Return this machine's index settings of pip, for pip in a build."""
    lines = ["[global]", f"cert = {CERTIFICATES}"]
    for setting in PIP_SETTINGS:
        for command in (["config", "get", f":env:.{setting}"], ["config", "get", f"global.{setting}"]):
            found = subprocess.run(
                [sys.executable, "-m", "pip", *command], capture_output=True, text=True, check=False
            ).stdout.strip()
            if found:
                lines.append(f"{setting} = {found}")
                break
    return "\n".join(lines) + "\n"


def ensure(image: StandIn) -> str:
    """Build the image unless it exists. Returns a message for people."""
    digest = _digest(image)
    there = label(image.name)
    if there == "":
        return "is a real image and left alone"
    if there == digest:
        return "is there"
    with TemporaryDirectory() as folder:
        context = Path(folder)
        for name, source in image.files.items():
            if source.is_dir():
                shutil.copytree(source, context / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, context / name)
                (context / name).chmod(0o755)
        if image.base is None:
            _debootstrap(context)
        _docker(
            *("build", "--network", "host", "--tag", image.name, "--file", str(image.dockerfile)),
            *("--label", f"{LABEL}={digest}", folder),
        )
    return "made"


def label(name: str) -> str | None:
    """Return the label of an image: "" if it has none, None if there is no such image."""
    return _inspect(name, f'{{{{index .Config.Labels "{LABEL}"}}}}')


def image_id(name: str) -> str:
    """Return the id of an image. Raises OperatorError if there is none."""
    found = _inspect(name, "{{.Id}}")
    if found is None:
        raise OperatorError(f"there is no image {name}")
    return found


def _inspect(name: str, what: str) -> str | None:
    asked = subprocess.run(
        ["docker", "image", "inspect", "--format", what, name], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() if asked.returncode == 0 else None


def _digest(image: StandIn) -> str:
    digest = hashlib.sha256(image.dockerfile.read_bytes())
    for name, source in sorted(image.files.items()):
        for path in sorted(source.glob("*.py")) if source.is_dir() else [source]:
            digest.update(f"{name} {path.name}".encode())
            digest.update(path.read_bytes())
    if image.base is not None:
        digest.update(image_id(image.base).encode())
    return digest.hexdigest()[:16]


def _debootstrap(context: Path) -> None:
    """Write a minimal Debian to rootfs.tar."""
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        raise OperatorError("stand-ins are made by root with debootstrap; on Debian: apt-get install debootstrap")
    root = context / "rootfs"
    subprocess.run(
        ["debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(root)],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    with _emptied(root):
        subprocess.run(
            ["tar", "--create", "--file", str(context / "rootfs.tar"), "--directory", str(root), "."], check=True
        )


@contextmanager
def _emptied(root: Path) -> Iterator[None]:
    """Remove unneeded files for the block, then the whole folder, which would be sent to the engine a second time."""
    for name in NOT_NEEDED:
        shutil.rmtree(root / name)
        (root / name).mkdir(parents=True)
    # apt does not make this folder itself.
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)
    yield
    shutil.rmtree(root)


def _docker(*arguments: str) -> None:
    done = subprocess.run(
        ["docker", *arguments],
        env={**os.environ, "DOCKER_BUILDKIT": "0"},  # the builder of every engine; BuildKit needs a plug-in
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OperatorError(f"docker {arguments[0]} failed: {done.stdout[-2000:]}")


def main() -> None:
    with TemporaryDirectory() as folder:
        for image in bases(Path(folder)):
            print(f"{image.name} {ensure(image)}", flush=True)
    for name, target in project_images().items():
        build(name, target)
        print(f"{name} built", flush=True)
    print(f"{qdrant().name} {ensure(qdrant())}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except OperatorError as error:
        sys.exit(str(error))
