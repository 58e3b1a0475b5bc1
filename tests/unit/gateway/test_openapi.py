"""The OpenAPI document says what the contract's tables say and what the models check."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.specs.openapi.definitions import OPENAPI_31

from gateway.openapi import document
from gateway.parameters import AddFaceParameters, DelFaceParameters, FaceCompareParameters, SearchFaceParameters, check
from gateway.uploads import Parameters
from shared.contract import MESSAGES, STATUSES_OF, AddedFace, Call, Comparison, FoundFace, Status
from shared.errors import InvalidRequest

DOCUMENT = document.document()
SCHEMAS = DOCUMENT["components"]["schemas"]
MODELS = {
    Call.ADD_FACE: AddFaceParameters,
    Call.SEARCH_FACE: SearchFaceParameters,
    Call.DELETE_FACE: DelFaceParameters,
    Call.COMPARE_FACES: FaceCompareParameters,
}


def operation(call: Call) -> dict[str, Any]:
    return DOCUMENT["paths"][f"/v1/{call}"]["post"]


def content(call: Call) -> dict[str, Any]:
    """Of the answers of HTTP 200."""
    return operation(call)["responses"]["200"]["content"]["application/json"]


def validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """Of a schema of the document, which may refer to others there."""
    return jsonschema_rs.Draft202012Validator(schema | {"components": DOCUMENT["components"]}, validate_formats=True)


def parts(node: Any, name: str) -> Iterator[Any]:
    """Everything that is kept under that name, anywhere in the document."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == name:
            yield value
        yield from parts(value, name)


class TestDocument:
    def test_it_is_openapi_3_1(self) -> None:
        jsonschema_rs.Draft202012Validator(OPENAPI_31).validate(DOCUMENT)

    def test_every_schema_is_json_schema(self) -> None:
        schemas = [*SCHEMAS.values(), *(schema for schema in parts(DOCUMENT["paths"], "schema"))]
        assert len(schemas) > 20
        for schema in schemas:
            jsonschema_rs.meta.validate(schema)

    def test_every_reference_leads_somewhere_and_everything_is_referred_to(self) -> None:
        refs = {*parts(DOCUMENT, "$ref")}
        for ref in refs:
            node = DOCUMENT
            for part in ref.removeprefix("#/").split("/"):
                node = node[part]
        assert {f"#/components/schemas/{name}" for name in SCHEMAS} <= refs

    async def test_it_is_served_as_it_is_kept(self) -> None:
        response = await document.openapi(make_mocked_request("GET", "/openapi.json"))
        assert response.content_type == "application/json"
        kept = (Path(__file__).parents[3] / "docs/openapi.json").read_text()
        assert response.text == kept, "run: make docs"
        assert json.loads(kept) == DOCUMENT


class TestAnswers:
    @pytest.mark.parametrize("call", Call)
    def test_a_call_answers_the_statuses_of_the_contract(self, call: Call) -> None:
        schema = content(call)["schema"]
        mapping = schema["discriminator"]["mapping"]
        assert {*mapping} | {Status.FAIL} == {status for status, calls in STATUSES_OF.items() if call in calls}
        assert [ref["$ref"] for ref in schema["oneOf"]] == list(mapping.values())
        for status, ref in mapping.items():
            properties = SCHEMAS[ref.rpartition("/")[2]]["properties"]
            assert properties["status"] == {"const": status}
            if status in MESSAGES:
                assert properties["message"] == {"const": MESSAGES[Status(status)]}

    @pytest.mark.parametrize("call", Call)
    def test_its_examples_are_answers(self, call: Call) -> None:
        valid = validator(content(call)["schema"])
        for example in content(call)["examples"].values():
            valid.validate(example["value"])

    @pytest.mark.parametrize("call", Call)
    def test_other_answers_are_none(self, call: Call) -> None:
        valid = validator(content(call)["schema"])
        for answer in (
            {"status": "OK"},
            {"status": "OK", "message": []},
            {"status": "OK", "message": "ok"},
            {"status": "FAIL", "message": MESSAGES[Status.FAIL]},
            {"status": "IMAGE_INVALID_SIZE", "message": "too large"},
            {"status": "INVALID_REQUEST", "message": "x", "trace": "y"},
            {"status": "OK", "message": [{"name": "ID0", "person_id": "1"}]},
            {
                "status": "OK",
                "message": [{"confidence": 79.9, "name": "", "person_id": "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"}],
            },
            {"status": "OK", "message": {"similarity": 100.1, "result": "SAME PERSON"}},
            {"status": "OK", "message": {"similarity": 97.5, "result": "PERHAPS"}},
        ):
            assert not valid.is_valid(answer), answer

    def test_entries_have_the_fields_of_the_contract(self) -> None:
        for entry in (AddedFace, FoundFace, Comparison):
            schema = SCHEMAS[entry.__name__]
            assert list(schema["properties"]) == schema["required"] == list(entry.__annotations__)

    @pytest.mark.parametrize(("code", "status"), [("401", "INVALID_REQUEST"), ("429", "FAIL"), ("503", "FAIL")])
    def test_refusals_are_contract_json_too(self, code: str, status: str) -> None:
        for call in Call:
            name = operation(call)["responses"][code]["$ref"].rpartition("/")[2]
            response = DOCUMENT["components"]["responses"][name]
            ref = response["content"]["application/json"]["schema"]["$ref"]
            assert SCHEMAS[ref.rpartition("/")[2]]["properties"]["status"] == {"const": status}
            assert ("Retry-After" in response["headers"]) == (status == "FAIL")


class TestParameters:
    @pytest.mark.parametrize("call", Call)
    def test_each_content_type_takes_the_same_parameters(self, call: Call) -> None:
        bodies = operation(call)["requestBody"]["content"]
        assert list(bodies) == ["application/x-www-form-urlencoded", "multipart/form-data", "application/json"]
        for kind, body in bodies.items():
            schema = body["schema"]
            if "$ref" in schema:
                schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]
            assert list(schema["properties"]) == list(MODELS[call].model_fields)
            for name, value in schema["properties"].items():
                may_be_null = kind == "application/json" and name not in schema["required"]
                assert value["type"] == (["string", "null"] if may_be_null else "string")

    @pytest.mark.parametrize("call", Call)
    def test_in_json_null_is_left_out(self, call: Call) -> None:
        schema = operation(call)["requestBody"]["content"]["application/json"]["schema"]
        needed = dict.fromkeys(schema["required"], "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e")
        optional = dict.fromkeys(schema["properties"].keys() - needed.keys())
        validator(schema).validate(needed | optional)

    @pytest.mark.parametrize("call", Call)
    def test_its_example_is_taken(self, call: Call) -> None:
        example = dict(operation(call)["requestBody"]["content"]["application/json"]["example"])
        validator(SCHEMAS[MODELS[call].__name__]).validate(example)
        images = {name: example.pop(name).encode() for name in MODELS[call].images}
        check(MODELS[call], Parameters(text=example, images=images))

    @given(
        st.sampled_from(Call),
        st.dictionaries(
            st.sampled_from(["name", "facedb", "faces", "other"]),
            st.text("aZ09-_ é\n", max_size=140) | st.sampled_from(["all", "largest", "one"]),
        ),
    )
    def test_what_is_documented_is_what_is_checked(self, call: Call, text: dict[str, str]) -> None:
        identifier = "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"
        images = dict.fromkeys(("img", "img1", "img2"), "YQ==")
        documented = validator(SCHEMAS[MODELS[call].__name__]).is_valid(text | images | {"person_id": identifier})
        given_ = Parameters(text | {"person_id": identifier}, {name: image.encode() for name, image in images.items()})
        try:
            taken = bool(check(MODELS[call], given_))
        except InvalidRequest:
            taken = False
        assert taken == documented
