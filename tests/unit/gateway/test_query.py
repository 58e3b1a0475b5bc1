"""Parameters of requests without a body."""

import asyncio
from urllib.parse import quote, urlencode

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from gateway.body.query import add_path_parameters, read_query
from gateway.body.uploads import Parameters
from shared.errors import BodyUnreadable, InvalidRequest

KNOWN = {"facedb", "name", "limit"}


def read(query: str) -> dict[str, str]:
    return read_query(make_mocked_request("GET", f"/v1/persons?{query}"), KNOWN).text


@given(
    st.dictionaries(
        st.sampled_from([*KNOWN, "other"]),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
    )
)
def test_an_encoded_query_is_read_back_without_unknown_parameters(parameters: dict[str, str]) -> None:
    known = {name: text for name, text in parameters.items() if name in KNOWN}
    assert read(urlencode(parameters)) == known
    assert read("&".join(f"{name}={quote(text, safe='')}" for name, text in parameters.items())) == known


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("limit=1&limit=1", "limit is given twice"),
        ("name=%ff", "name is not UTF-8"),
        ("name=a%00", "name has a NUL character"),
        ("a=b&" * 64, "query string has more than 64 parameters"),
    ],
)
def test_a_malformed_query_is_refused(query: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        read(query)


@pytest.mark.parametrize("query", ["", "&", "x", "%ff=1", "=", "a=b#limit=3", "name"])
def test_what_is_none_of_the_parameters_is_ignored(query: str) -> None:
    assert read(query) in ({}, {"name": ""})


async def test_a_body_is_refused_whose_parameters_would_be_lost() -> None:
    payload = StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**16)
    request = make_mocked_request("DELETE", "/v1/persons/x", payload=payload)
    with pytest.raises(BodyUnreadable, match="DELETE takes its parameters in the query string, and no body"):
        read_query(request, KNOWN)


def test_a_parameter_of_the_path_is_given_there_alone() -> None:
    request = make_mocked_request("GET", "/v1/persons/a%20b", match_info={"person_id": "a b"})
    parameters = Parameters(text={"facedb": "x"})
    add_path_parameters(request, ["person_id"], parameters)
    assert parameters.text == {"facedb": "x", "person_id": "a b"}
    with pytest.raises(InvalidRequest, match="person_id is given twice"):
        add_path_parameters(request, ["person_id"], parameters)
