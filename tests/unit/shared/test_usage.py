"""Counters as rows, totals, JSON and CSV; the tariff is that of the table of calls."""

import csv
import io
import itertools
from datetime import date

import pytest

from shared.calls import ADD_FACE, CALLS, SEARCH_FACE, Call
from shared.contract import Status
from shared.usage import COLUMNS, Period, Total, Usage, as_csv, as_dict, counter, day_key, parse_day, totals

DAY = date(2026, 2, 28)


def usage(call: Call, status: Status, count: int = 1, tenant: str = "t") -> Usage:
    return Usage(DAY, tenant, "k", call.name, status, count, status in call.charged, "till")


def test_every_status_is_charged_as_in_the_contract() -> None:
    """In docs/contract.md adding and deleting are free, and so is every FAIL."""
    assert {(call.name, status) for call in CALLS for status in call.charged} == {
        ("searchface", Status.OK),
        ("searchface", Status.NO_SIMILAR_FACE),
        ("searchface", Status.FACE_DETECT_FAILED),
        ("addface", Status.FACE_DETECT_FAILED),
        ("facecompare", Status.OK),
        ("facecompare", Status.FACE_DETECT_FAILED),
    }
    assert all(call.charged <= call.statuses for call in CALLS)


def test_different_requests_have_different_counters() -> None:
    names = ("-", "a", "a-a", "a_a")
    parts = list(itertools.product(names, names, [call.name for call in CALLS], Status))
    assert len({counter(*each) for each in parts}) == len(parts)


def test_totals_are_by_tenant() -> None:
    rows = [
        usage(SEARCH_FACE, Status.OK, 3, "b"),
        usage(SEARCH_FACE, Status.FAIL, 5, "b"),
        usage(SEARCH_FACE, Status.NO_SIMILAR_FACE, 10, "b"),
        usage(ADD_FACE, Status.OK, 7, "a"),
    ]
    assert totals(rows) == {"a": Total(free=7), "b": Total(charged=13, free=5)}
    assert totals([]) == {}


def test_csv_is_rfc_4180() -> None:
    rows = [usage(SEARCH_FACE, Status.OK, 3), usage(ADD_FACE, Status.OK, 2)]
    text = as_csv(rows)
    assert text == (
        "day,tenant,key,call,status,count,charged,key_name\r\n"
        "2026-02-28,t,k,searchface,OK,3,true,till\r\n"
        "2026-02-28,t,k,addface,OK,2,false,till\r\n"
    )
    assert [row["status"] for row in csv.DictReader(io.StringIO(text))] == ["OK", "OK"]
    assert as_csv([]) == ",".join(COLUMNS) + "\r\n"


def test_json_has_rows_and_totals() -> None:
    assert as_dict([usage(SEARCH_FACE, Status.OK, 3)]) == {
        "rows": [
            {
                "day": "2026-02-28",
                "tenant": "t",
                "key": "k",
                "call": "searchface",
                "status": "OK",
                "count": 3,
                "charged": True,
                "key_name": "till",
            }
        ],
        "totals": {"t": {"charged": 3, "free": 0}},
    }


def test_a_period_includes_both_ends() -> None:
    days = [date(2026, 2, day) for day in (1, 2, 3, 4)]
    for period, inside in (
        (Period(), days),
        (Period(days[1]), days[1:]),
        (Period(None, days[1]), days[:2]),
        (Period(days[1], days[2]), days[1:3]),
        (Period(days[2], days[1]), []),
    ):
        assert [day for day in days if day in period] == inside


def test_a_day_has_one_spelling() -> None:
    assert day_key(parse_day("2026-02-28").isoformat()) == "fs:usage:2026-02-28"
    for wrong in ("2026-02-30", "20260228", "2026-W09-6", "28.2.2026", "", "2026-2-28"):
        with pytest.raises(ValueError, match=r".*"):
            parse_day(wrong)
