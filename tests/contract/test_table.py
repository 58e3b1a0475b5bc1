"""The table of docs/answers.md is what the service answers."""

from contract.table import DOCUMENT, rows, table, written
from service import Service
from shared.calls import CALLS


def test_every_request_of_the_table_gets_its_answer(service: Service) -> None:
    _, section, _ = written(DOCUMENT.read_text())
    assert section == table(service), "run: make contract-table"


def test_the_table_has_every_status_of_every_call() -> None:
    shown = {(row.status, row.call) for row in rows() if row.code in (200, 503)}
    assert shown == {(status, call) for call in CALLS for status in call.statuses}
