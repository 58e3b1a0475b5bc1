"""The rules for commands in documents refuse what is wrong, with page, line and what to do."""

import re

import pytest

from contract.commands import blocks, spans, variables
from contract.commands.pages import Block, Span, WrongError, parsed

WRONG = {
    "facesearch keys create --named first": "No such option",
    "facesearch keys make --name first": "There is no command make",
    "facesearch keys create --name first --scope fly": "fly",
    "facesearch usage --from yesterday": "yesterday",
    "facesearch facedbs create": "Missing argument",
    "docker compose exec gateway facesearch keys mint": "There is no command mint",
    "docker compose exec gate facesearch settings": "no compose file has the service gate",
    "docker compose up --scale workers=4": "no compose file has the service workers",
    "docker compose --profile backups down": "no service is of the profile backups",
    "docker compose --file deploy/compose.tpu.yml up": "there is no compose file",
    "docker compose lift": "no subcommand",
    "docker compose up --detached": "no option",
    "docker build --file deploy/Dockerfile --target work .": "no stage work",
    "docker build --file deploy/Dockerfile --build-arg BASE=x .": "no argument BASE",
    "docker build --file deploy/Dockerfile --build-arg REQUIREMENTS=tpu.txt .": "no requirements/tpu.txt",
    "docker fly": "no such subcommand",
    "make tests": "no such target",
    "make up PORTS=80": "does not use the variable PORTS",
    "make lint PORT=80": "does not use the variable PORT",
    "curl $URL/v1/findface": "no OpenAPI document has it",
    "curl -X PUT $URL/v1/persons": "no OpenAPI document has it",
    "curl $URL/v1/searchface -F image=@a.jpg": "image is no parameter",
    "curl $URL/v1/searchface -d limit=3 -H 'X-Key: 1'": "x-key is no header",
    "curl $URL/v1/persons?facedbs=a": "facedbs is no parameter of the query",
    "curl $ADMIN/tenants -d '{\"names\": 1}'": "names is no parameter",
    "curl $ADMIN/tenants -d '{name}'": "not JSON",
    "curl --fast $URL/healthz": "no option",
    "curl -s": "no address",
    "helm install face deploy/helm/face": "folder of a chart",
    "helm upgrade face deploy/helm/facesearch --set backup.restores=1": "no such value",
    "helm template face deploy/helm/facesearch --show-only templates/none.yaml": "the chart has no",
    "helm lift face deploy/helm/facesearch": "no subcommand",
    "kubectl --namespace faces logs deployment/face-facesearch-gate": "no template of the chart makes",
    "kubectl exec deployment/face-facesearch-gateway -- facesearch keys mint": "There is no command mint",
    "kubectl fly": "no verb",
    "python -m workers": "no such module",
    "python -m worker --healthy": "no option --healthy",
    ".venv/bin/python bench/services.py": "no such file",
    "PYTHONPATH=tests .venv/bin/python bench/service.py --quickly": "no option --quickly",
    ".venv/bin/python -m pytest tests/units": "no such folder",
    "pip install ./clients/pythons": "no such project",
    "pip install './clients/python[video]'": "no such extra",
    "pip install numpi": "in no file of requirements/",
    "python3 -m pip download -r requirements/all.txt": "no such file",
    "apt-get install chrome": "what needs it",
    "FACESEARCH_PORTS=1 facesearch up": "FACESEARCH_PORTS is no setting",
    "export FACESEARCH_PORTS=1": "FACESEARCH_PORTS is no setting",
    "frobnicate photos": "no rule knows the program frobnicate",
    "cat photos | frobnicate": "no rule knows the program frobnicate",
    "echo $(frobnicate photos)": "no rule knows the program frobnicate",
    "for photo in *.jpg; do frobnicate $photo; done": "no rule knows the program frobnicate",
    "KEY=<your key> facesearch settings": "in capitals",
    "echo 'photos": "bash does not take this",
    "if true; then echo": "bash does not take this",
    "echo `date`": "write $(…)",
}

RIGHT = (
    "facesearch keys create --name till --scope search --expires 30d",
    "kubectl --namespace faces exec deployment/face-facesearch-gateway -- facesearch keys list",
    'for photo in *.jpg; do curl -s "$URL/v1/searchface" -H "X-API-Key: $KEY" -F "img=@$photo"; done',
    "helm upgrade face deploy/helm/facesearch --set backup.restore=2026-01-31T03-17-00Z",
    "sudo apt-get install --yes chromium   # for make browser",
    "ask() { curl -s $URL/v1/facedbs; }\nask",
)


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_command_is_refused_with_its_place(text: str) -> None:
    block = Block("page.md", 0, 7, "sh", f"echo first\n{text}\n")
    with pytest.raises(WrongError, match=re.escape(WRONG[text])) as raised:
        blocks.check_block(block)
    whole = any(each in WRONG[text] for each in ("bash does not", "capitals", "$("))  # found before its line is
    assert str(raised.value).startswith("page.md:7: " if whole else "page.md:8: ")


@pytest.mark.parametrize("text", RIGHT)
def test_a_right_command_is_taken(text: str) -> None:
    blocks.check_block(Block("page.md", 0, 1, "sh", f"{text}\n"))


@pytest.mark.parametrize(
    ("language", "text", "why"),
    [
        ("powershell", "Get-Face", "no rule knows a block of powershell"),
        ("", "some text", "name the language"),
        ("", "17 4 * * * facesearch erases", "There is no command erases"),
        ("console", "no prompt", "begins with $"),
        ("console", "$ facesearch list", "There is no command list"),
        ("console", '$ date\n{"status": "FINE", "message": ""}', "a status of the contract"),
        ("json", '{"status": "OK"', "not JSON"),
        ("json", '{"status": "OK"}', "a status of the contract"),
        ("json", "[1, 2", "not JSON"),
        ("yaml", "config: [", "not YAML"),
        ("yaml", "config: {FACESEARCH_PORTS: 1}", "refuses this"),
        ("yaml", "services: {workers: {image: a}}", "no compose file has the service"),
        ("yaml", "- 1", "neither"),
        ("nginx", "location / {", "braces"),
        ("ini", "[Unit]\nAfter=network.target", "not a unit of a service"),
        ("ini", "[Service]\nExecStart=/opt/bin/facesearch start", "There is no command start"),
        ("nginx", "proxy_past a;", "not a directive"),
        ("python", "print(", "does not compile"),
        ("python", "from facesearch_client import FaceSearcher", "has no FaceSearcher"),
        ("python", "import facesearch_clients", "no module"),
        ("text", "$ date", "console"),
        ("go", "package main", "X-API-Key"),
        ("indented", "make fault    every fault", "no such target"),
        ("indented", '{"status": }', "not JSON"),
    ],
)
def test_a_wrong_block_is_refused(language: str, text: str, why: str) -> None:
    with pytest.raises(WrongError, match=re.escape(why)) as raised:
        blocks.check_block(Block("page.md", 0, 7, language, f"{text}\n"))
    assert str(raised.value).startswith("page.md:7: ") or language == ""


@pytest.mark.parametrize(
    "text",
    [
        "facesearch keys mint",
        "facesearch keys create --rate fast",
        "keys create --named NAME",
        "retention --day 7",
        "--dayz",
        "--days soon",
        "--role gateway|clerk",
        "make tests",
        "docker compose exec gate facesearch settings",
        "GET /v1/person",
        "DELETE /v1/persons/ID?db",
        "PUT …/tenants/{tenant}/facedb/{facedb}/retention",
        "17 3 * * * cd /opt/facesearch && docker compose run --rm backups",
        "python -m workers",
    ],
)
def test_wrong_inline_code_is_refused(text: str) -> None:
    with pytest.raises(WrongError, match=re.escape(f"page.md:3: `{text}`: ")):
        spans.check_span(Span("page.md", 3, text))


@pytest.mark.parametrize(
    "text", ["FACESEARCH_PORTS=80", "`WORKER_MEMORIES` and `WORKERS_MEMORY` and `WORKER_X_MEMORY`"]
)
def test_unknown_variables_are_refused(text: str) -> None:
    with pytest.raises(WrongError, match="is no"):
        variables.check_variables_of(text)


def test_blocks_and_inline_code_have_their_places() -> None:
    text = "# Title\n\nUse `make\nup` so:\n\n```sh\nmake up\n```\n\n    make lint\n    make test\n\nThen `a \\| b`.\n"
    blocks, spans = parsed("page.md", text)
    assert blocks == [
        Block("page.md", 0, 7, "sh", "make up\n"),
        Block("page.md", 1, 10, "indented", "make lint\nmake test\n"),
    ]
    assert spans == [Span("page.md", 3, "make up"), Span("page.md", 13, "a | b")]
    assert [str(block) for block in blocks] == ["page.md-0", "page.md-1"]


@pytest.mark.parametrize("text", ["```sh\nmake up\n", "```sh\nmake up\n```sh\n"])
def test_a_block_without_an_end_is_refused(text: str) -> None:
    with pytest.raises(WrongError, match=r"page\.md:\d: "):
        parsed("page.md", text)
