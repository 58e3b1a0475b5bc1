"""Messages of libpng and libjpeg about callers' images do not fill the log of a real worker."""

import base64
import re
import struct
import zlib
from collections.abc import Iterator

import pytest

from hostile_images import JPEGS
from image_parts import PNG_START, chunk, ihdr
from processes import wait_for
from service import UNHURRIED, Service

pytestmark = pytest.mark.slow

CHUNKS = 9_995
"""With header, image and end as many as a PNG may have."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {**UNHURRIED, "FACESEARCH_WORKER_THREADS": "1", "FACESEARCH_LOG_LEVEL": "info"}
    with Service(tmp_path_factory.mktemp("native"), settings) as running:
        yield running


def png_of_many_orientations() -> bytes:
    """Return a PNG of 1 by 1 pixel with many chunks, each an EXIF block with a byte order and no entry: libpng uses the
    first.
    """
    block = b"MM\0*" + struct.pack(">I", 8)
    parts = [ihdr(1, 1), *[chunk(b"eXIf", block)] * CHUNKS]
    return PNG_START + b"".join(parts) + chunk(b"IDAT", zlib.compress(b"\0" * 4)) + chunk(b"IEND", b"")


def asked(service: Service, image: bytes) -> str:
    return service.http.post("/v1/addface", data={"img": base64.b64encode(image).decode()}).json()["status"]


def test_a_message_of_libjpeg_is_one_line_of_log(service: Service) -> None:
    (odd,) = [item for item in JPEGS if item.name == "JPEG with colours at odd resolutions"]
    before = len(service.said)
    asked(service, odd.make())
    wait_for(lambda: any("native_output" in line for line in service.said[before:]))
    said = "".join(service.said[before:])
    assert not re.search(r"^Corrupt JPEG", said, re.MULTILINE)
    assert re.search(r"Corrupt JPEG data: \d+ extraneous bytes before marker 0xd9", said)


def test_a_png_with_thousands_of_exif_chunks_is_a_few_lines_of_log(service: Service) -> None:
    image = png_of_many_orientations()
    before = len(service.said)
    assert 150_000 < len(image) < 250_000
    assert asked(service, image) == "FACE_DETECT_FAILED"
    service.stop()  # for all of its output; this is the last test
    said = service.said[before:]
    assert not [line for line in said if line.startswith("libpng")]
    assert len(said) < 20
