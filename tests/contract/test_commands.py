"""Every command that a document shows is one that programs, parsers and schemas take."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from contract.commands import blocks, cluster, containers, spans, variables
from contract.commands.pages import Block, WrongError, all_blocks, pages, parsed, text_of

BLOCKS = all_blocks()


def test_the_documents_are_found() -> None:
    assert {"README.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md", "clients/python/README.md"} <= {*pages()}
    assert len(BLOCKS) > 90
    assert not any("decisions" in page for page in pages())


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_what_programs_take(block: Block) -> None:
    blocks.check_block(block)


@pytest.mark.parametrize("page", pages())
def test_inline_commands_are_what_programs_take(page: str) -> None:
    wrong = []
    for span in parsed(page, text_of(page))[1]:
        try:
            spans.check_span(span)
        except WrongError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", pages())
def test_variables_that_a_page_names_are_settings(page: str) -> None:
    variables.check_variables_of(text_of(page))


def test_names_of_objects_are_those_of_the_chart() -> None:
    assert cluster.made_by_a_template("gateway")
    assert not cluster.made_by_a_template("gate")


@pytest.mark.parametrize("subcommand", containers.COMPOSE_OPTIONS)
def test_options_of_compose_are_those_that_it_has(subcommand: str) -> None:
    spec = find_spec("compose")
    if spec is None or spec.origin is None:
        pytest.skip("Compose is not installed: make check-deploy")
    program = Path(spec.origin).parent / "docker-compose"
    said = subprocess.run([program, *subcommand.split(), "--help"], capture_output=True, text=True, check=True).stdout
    for option in containers.COMPOSE_OPTIONS[subcommand]:
        assert f" {option} " in said
