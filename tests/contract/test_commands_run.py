"""Commands of documents, run on a real service as a reader would paste them, in a tenant of their own.

Those of README.md, docs/tenants.md, docs/clients.md, docs/contract.md and the client's README are run by tests of
their own.
"""

import os
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from contract.commands import shell
from contract.commands.pages import pages, parsed, text_of
from contract.pasted import run_in_shell
from contract.tenants import new_tenant
from facesearch.cli.main import main
from portraits import astronaut_png, hopper_jpeg
from service import Service

READING = (
    "audit",
    "doctor",
    "facedbs list",
    "keys list",
    "models list",
    "persons list",
    "settings",
    "tenants list",
    "up --help",
    "usage",
    "webhooks dead",
)
"""Commands that change nothing, apart from LEFT_OUT."""

LEFT_OUT = ("--retry", "audit verify", "audit heads", "audit calls")
"""What changes something, or needs a call log, which the shared service does not keep."""

IN_ORDER = "docs/quick-start.md"
"""Its commands read what those before them made: test_quick_start.py runs them in order."""

TENANTS = re.compile(r"(?<=--tenant )\w+")

DATA_DIRECTORIES = re.compile(r"(?<=--data-dir )\S+")

LISTS = ("facedbs list", "keys list", "persons list")
"""Commands about the default tenant, which in the shared service has a facedb of each test: too many to be counted."""


def reading() -> list[str]:
    """Return the commands that read, each once, in the order of the documents."""
    found: dict[str, None] = {}
    for page in pages():
        if page == IN_ORDER:
            continue
        blocks, spans = parsed(page, text_of(page))
        texts = [block.text for block in blocks if block.language == "sh"]
        texts += [span.text for span in spans if span.text.startswith("facesearch ") and "…" not in span.text]
        for command in (each for text in texts for each in shell.commands(text)):
            text = " ".join(command.words[1:])
            reads = text.startswith(READING) and not any(each in text for each in LEFT_OUT)
            if command.words[:1] == ("facesearch",) and reads:
                found[text] = None
    return list(found)


@pytest.fixture(scope="module")
def tenant(service: Service) -> tuple[str, str]:
    """A tenant and its key."""
    name, keys = new_tenant(service.broker, own={})
    return name, keys["own"]


@pytest.fixture
def environment(service: Service, tenant: tuple[str, str]) -> dict[str, str]:
    """What the commands of an operator and of a caller find in their environment."""
    return {
        **service.settings,
        "FACESEARCH_DATA_DIR": str(service.folder),
        "FACESEARCH_PORT": service.address.rpartition(":")[2],
        "FACESEARCH_API_KEY": tenant[1],
    }


def test_there_are_commands_of_every_kind_that_reads() -> None:
    found = reading()
    assert len(found) >= 15
    assert not [kind for kind in READING if not any(text.startswith(kind) for text in found)]


@pytest.mark.parametrize("text", reading())
def test_a_command_that_reads_succeeds(
    text: str, environment: dict[str, str], tenant: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = DATA_DIRECTORIES.sub(environment["FACESEARCH_DATA_DIR"], TENANTS.sub(tenant[0], text)).split()
    if text.startswith(LISTS) and "--tenant" not in arguments:
        arguments += ["--tenant", tenant[0]]
    result = CliRunner().invoke(main, arguments, env=environment)
    assert result.exit_code == 0, result.output


@pytest.fixture
def paste(service: Service, environment: dict[str, str], tmp_path: Path) -> Callable[[str], str]:
    """Paste text into a shell in a folder with photos: returns what it prints."""
    for person, photo in (("Grace", hopper_jpeg()), ("Eileen", astronaut_png())):
        (tmp_path / "photos" / person).mkdir(parents=True)
        (tmp_path / "photos" / person / "1.jpg").write_bytes(photo)
    (tmp_path / "hopper.jpg").write_bytes(hopper_jpeg())
    (tmp_path / "staff.csv").write_text("file,name\nphotos/Grace/1.jpg,Grace\n")
    (tmp_path / "key").write_text(environment["FACESEARCH_API_KEY"])
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
        file.write(tmp_path / "photos/Grace/1.jpg", "Grace/1.jpg")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {**environment, "PATH": path, "URL": service.address, "KEY": environment["FACESEARCH_API_KEY"]}
    exports = "".join(f"export {name}='{value}'\n" for name, value in settings.items())

    def run(text: str) -> str:
        for address in ("http://127.0.0.1:8000", "https://faces.example"):
            text = text.replace(address, service.address)
        return run_in_shell(f"{exports}{text}", tmp_path)

    return run


def block_with(page: str, text: str) -> str:
    """Return the block of a page that has a text."""
    (found,) = (block.text for block in parsed(page, text_of(page))[0] if text in block.text and block.language == "sh")
    return found


def page_named(name: str) -> str:
    """Return the path of a document, in whichever folder it is."""
    (found,) = (page for page in pages() if page.rpartition("/")[2] == name)
    return found


def test_an_asynchronous_call_is_looked_up(paste: Callable[[str], str]) -> None:
    call, look_up = block_with(page_named("asynchronous.md"), "respond-async").replace("\\\n", " ").splitlines()
    accepted = paste(call)
    assert " 202 " in accepted.partition("\n")[0]
    (job,) = re.findall(r'"job_id": "(.+?)"', accepted)
    assert '{"status": "OK", "message": ' in paste(f"JOB={job}\n{look_up}")


@pytest.mark.parametrize("page", [page_named("compose.md"), page_named("troubleshooting.md")])
def test_the_state_of_each_part_is_asked_for(paste: Callable[[str], str], page: str) -> None:
    (call,) = re.findall(r"curl '?http://127.0.0.1:8000/readyz\?verbose=1'?", text_of(page))
    assert '"worker": "ok"' in paste(call)


def test_photos_are_imported(tenant: tuple[str, str], paste: Callable[[str], str], environment: dict[str, str]) -> None:
    made = CliRunner().invoke(main, ["facedbs", "create", "staff", "--tenant", tenant[0]], env=environment)
    assert made.exit_code == 0, made.output
    text = block_with(page_named("import.md"), "--dry-run")
    assert text.count("facesearch import ") == 7
    paste(text)
    listed = paste('curl -s "$URL/v1/facedbs" -H "X-API-Key: $KEY"')
    assert re.search(r'"facedb": "staff", "persons": 1\b', listed)
    assert "Grace" in paste('cat list.csv failed.csv; curl -s "$URL/v1/persons" -H "X-API-Key: $KEY"')


def test_a_facedb_is_exported_and_imported(tenant: tuple[str, str], paste: Callable[[str], str]) -> None:
    text = block_with(page_named("export.md"), "facesearch export")
    made = f"facesearch facedbs create staff-exported --tenant {tenant[0]}\n"
    pasted = text.replace("--facedb staff ", f"--tenant {tenant[0]} --facedb staff-exported ")
    assert pasted.count("staff-exported") == 2
    paste(made + pasted)
    assert "staff-exported" in paste(f"facesearch facedbs list --tenant {tenant[0]}")
