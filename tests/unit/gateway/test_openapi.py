"""The OpenAPI document says what the tables of the contract say and what the models check."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.specs.openapi.definitions import OPENAPI_31

from gateway.admin import document as admin
from gateway.admin.bodies import parse
from gateway.admin.operations import OPERATIONS
from gateway.app_keys import SETTINGS
from gateway.body import encoded_images
from gateway.body.uploads import Parameters
from gateway.calls.parameters import check
from gateway.openapi import document, portrait
from gateway.openapi.routes import openapi
from shared.calls import CALLS, Call
from shared.contract import MESSAGES, AddedFace, Comparison, FoundFace, Status
from shared.errors import InvalidRequest
from shared.settings import Settings

DOCUMENT = document.document()
ADMIN = admin.document()
SCHEMAS = DOCUMENT["components"]["schemas"]


WITH_BODY = [call for call in CALLS if call.has_body]


def operation(call: Call) -> dict[str, Any]:
    return DOCUMENT["paths"][call.path][call.method.lower()]


def content(call: Call) -> dict[str, Any]:
    """Return the content of the answers of HTTP 200."""
    return operation(call)["responses"]["200"]["content"]["application/json"]


def validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """Return the validator of a schema of the document, which may refer to other schemas in it."""
    return jsonschema_rs.Draft202012Validator(schema | {"components": DOCUMENT["components"]}, validate_formats=True)


def parts(node: Any, name: str) -> Iterator[Any]:
    """Yield every value of that key, anywhere in the document."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == name:
            yield value
        yield from parts(value, name)


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Return the node, or the node that it refers to."""
    if "$ref" not in node:
        return node
    found: Any = DOCUMENT
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


@pytest.mark.parametrize(
    "whole", [DOCUMENT, document.document("free", "always-200"), ADMIN], ids=["as it comes", "with settings", "admin"]
)
class TestDocument:
    def test_it_is_openapi_3_1(self, whole: dict[str, Any]) -> None:
        jsonschema_rs.Draft202012Validator(OPENAPI_31).validate(whole)

    def test_every_schema_is_json_schema(self, whole: dict[str, Any]) -> None:
        schemas = [*whole["components"]["schemas"].values(), *(schema for schema in parts(whole["paths"], "schema"))]
        assert len(schemas) > 20
        for schema in schemas:
            jsonschema_rs.meta.validate(schema)

    def test_every_reference_is_resolved_and_every_component_is_referred_to(self, whole: dict[str, Any]) -> None:
        refs = {*parts(whole, "$ref")}
        for ref in refs:
            node = whole
            for part in ref.removeprefix("#/").split("/"):
                node = node[part]
        kept = {
            f"#/components/{kind}/{name}"
            for kind in ("schemas", "examples")
            for name in whole["components"].get(kind, ())
        }
        assert kept <= refs

    def test_every_operation_has_an_explained_tag_and_an_id_of_its_own(self, whole: dict[str, Any]) -> None:
        operations = [operation for path in whole["paths"].values() for operation in path.values()]
        assert {tag for operation in operations for tag in operation["tags"]} == {tag["name"] for tag in whole["tags"]}
        assert all(len(operation["tags"]) == 1 for operation in operations)
        assert all(tag["description"] for tag in whole["tags"])
        assert len({operation["operationId"] for operation in operations}) == len(operations)

    def test_every_example_of_an_answer_has_the_name_of_its_status(self, whole: dict[str, Any]) -> None:
        answered = [
            (name, example)
            for responses in parts(whole, "responses")
            for examples in parts(responses, "examples")
            for name, example in examples.items()
        ]
        assert len(answered) > 4
        for name, example in answered:
            assert example["value"]["status"] == name
            assert example["summary"].startswith(name)


class TestServing:
    async def test_the_served_document_is_the_one_in_docs(self) -> None:
        app = web.Application()
        app[SETTINGS] = Settings()
        response = await openapi(make_mocked_request("GET", "/openapi.json", app=app))
        assert response.content_type == "application/json"
        kept = (Path(__file__).parents[3] / "docs/openapi.json").read_text()
        assert response.text == kept, "run: make docs"
        assert json.loads(kept) == DOCUMENT

    async def test_the_served_document_follows_the_settings(self) -> None:
        app = web.Application()
        app[SETTINGS] = Settings(names="free", http_status="always-200")
        response = await openapi(make_mocked_request("GET", "/openapi.json", app=app))
        served = json.loads(response.text or "")
        name = served["components"]["schemas"]["AddFaceParameters"]["properties"]["name"]
        assert (name["maxLength"], name["description"]) == (128, "at most 128 printable characters")
        assert "pattern" not in name
        answered = served["paths"]["/v1/addface"]["post"]["responses"]["200"]["content"]["application/json"]
        assert answered["schema"]["discriminator"]["mapping"]["FAIL"] == "#/components/schemas/Fail"
        assert answered["examples"]["FAIL"]["value"]["message"] == MESSAGES[Status.FAIL]

    def test_the_document_of_the_admin_api_is_the_one_in_docs(self) -> None:
        kept = (Path(__file__).parents[3] / "docs/openapi-admin.json").read_text()
        assert admin.text() == kept, "run: make docs"
        assert json.loads(kept) == ADMIN


class TestAdmin:
    def test_every_operation_is_documented(self) -> None:
        documented = {(method.upper(), path) for path, item in ADMIN["paths"].items() for method in item}
        others = {("GET", "/admin/v1/usage"), ("GET", "/openapi.json")}
        assert documented == {(operation.method, operation.path) for operation in OPERATIONS} | others
        for operation in OPERATIONS:
            item = ADMIN["paths"][operation.path][operation.method.lower()]
            assert item["summary"] == operation.summary
            assert str(operation.http_status) in item["responses"]
            assert ("requestBody" in item) == (operation.body is not None)

    def test_examples_of_bodies_are_accepted(self) -> None:
        for operation in OPERATIONS:
            if operation.body is not None:
                item = ADMIN["paths"][operation.path][operation.method.lower()]
                content = item["requestBody"]["content"]["application/json"]
                valid = jsonschema_rs.Draft202012Validator(content["schema"] | {"components": ADMIN["components"]})
                valid.validate(content["example"])
                parse(operation.body, json.dumps(content["example"]).encode())

    def test_operations_that_drop_something_have_no_example(self) -> None:
        for item in ADMIN["paths"].values():
            assert not [*parts(item.get("delete", {}), "example")]


class TestAnswers:
    @pytest.mark.parametrize("call", CALLS, ids=str)
    def test_a_call_answers_the_statuses_of_the_contract(self, call: Call) -> None:
        schema = content(call)["schema"]
        mapping = schema["discriminator"]["mapping"]
        assert {*mapping} | {Status.FAIL} == call.statuses
        assert [ref["$ref"] for ref in schema["oneOf"]] == list(mapping.values())
        for status, ref in mapping.items():
            properties = SCHEMAS[ref.rpartition("/")[2]]["properties"]
            assert properties["status"] == {"const": status}
            if status in MESSAGES:
                assert properties["message"] == {"const": MESSAGES[Status(status)]}

    @pytest.mark.parametrize("call", CALLS, ids=str)
    def test_examples_of_answers_are_valid(self, call: Call) -> None:
        valid = validator(content(call)["schema"])
        for example in content(call)["examples"].values():
            valid.validate(example["value"])

    @pytest.mark.parametrize("call", CALLS, ids=str)
    def test_examples_say_whether_they_are_charged(self, call: Call) -> None:
        for name, example in content(call)["examples"].items():
            expected = "charged" if Status(name) in call.charged else "free"
            assert example["summary"] == f"{name}, {expected}"

    @pytest.mark.parametrize("call", CALLS, ids=str)
    def test_answers_that_break_the_contract_are_invalid(self, call: Call) -> None:
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
                "message": [{"confidence": -0.1, "name": "", "person_id": "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"}],
            },
            {"status": "OK", "message": {"similarity": 100.1, "result": "SAME PERSON"}},
            {"status": "OK", "message": {"similarity": 97.5, "result": "PERHAPS"}},
            {"status": "OK", "message": {"persons": [], "next": 1}},
            {"status": "OK", "message": [{"facedb": "default", "persons": -1, "faces": 0, "default": True}]},
        ):
            assert not valid.is_valid(answer), answer

    def test_entries_have_the_fields_of_the_contract(self) -> None:
        required = {
            AddedFace: ["name", "person_id"],
            FoundFace: ["confidence", "name", "person_id"],
            Comparison: ["similarity", "result"],
        }
        for entry, names in required.items():
            schema = SCHEMAS[entry.__name__]
            assert list(schema["properties"]) == list(entry.__annotations__)
            assert list(schema["properties"])[: len(names)] == schema["required"] == names

    @pytest.mark.parametrize(
        ("code", "status"), [("401", "INVALID_REQUEST"), ("403", "INVALID_REQUEST"), ("429", "FAIL"), ("503", "FAIL")]
    )
    def test_refusals_are_contract_json(self, code: str, status: str) -> None:
        for call in CALLS:
            name = operation(call)["responses"][code]["$ref"].rpartition("/")[2]
            response = DOCUMENT["components"]["responses"][name]
            ref = response["content"]["application/json"]["schema"]["$ref"]
            assert SCHEMAS[ref.rpartition("/")[2]]["properties"]["status"] == {"const": status}
            assert ("Retry-After" in response["headers"]) == (status == "FAIL")
            validator({"$ref": ref}).validate(response["content"]["application/json"]["examples"][status]["value"])


def chosen(schema: dict[str, Any]) -> list[str]:
    """Return the parameters of which exactly one is needed."""
    return [name for choice in schema.get("oneOf", ()) for name in choice["required"]]


NUMBERS = {int: "integer", float: "number", float | None: "number"}
"""The JSON types of parameters that are numbers, by their types."""


class TestParameters:
    @pytest.mark.parametrize("call", CALLS, ids=str)
    def test_each_parameter_is_in_the_path_the_query_string_or_the_body(self, call: Call) -> None:
        described = operation(call)["parameters"]
        outside = {parameter["name"]: parameter for parameter in described if parameter["in"] != "header"}
        places = {name: "path" if name in call.path_parameters else "query" for name in call.parameters.model_fields}
        if call.has_body:
            places = {name: place for name, place in places.items() if place == "path"}
        assert {name: parameter["in"] for name, parameter in outside.items()} == places
        assert ("requestBody" in operation(call)) == call.has_body
        for name, parameter in outside.items():
            assert parameter["required"] == call.parameters.model_fields[name].is_required()
            for example in parameter["schema"].get("examples", ()):
                validator(parameter["schema"]).validate(example)

    @pytest.mark.parametrize("call", CALLS, ids=str)
    def test_what_changes_something_takes_an_idempotency_key(self, call: Call) -> None:
        headers = [parameter["name"] for parameter in operation(call)["parameters"] if parameter["in"] == "header"]
        preference = ["Prefer", "X-Webhook-Url"] if call.method == "POST" else []
        assert headers == ([] if call.is_reading else ["Idempotency-Key", *preference])
        answered = operation(call)["responses"]["200"]["headers"]
        assert ("Idempotent-Replayed" in answered) == (not call.is_reading)

    @pytest.mark.parametrize("call", CALLS, ids=str)
    def test_a_post_may_be_answered_with_a_job(self, call: Call) -> None:
        assert ("202" in operation(call)["responses"]) == (call.method == "POST")

    @pytest.mark.parametrize("code", ["200", "202", "404"])
    def test_the_examples_of_answers_about_jobs_are_valid(self, code: str) -> None:
        described = DOCUMENT["paths"]["/v1/jobs/{job_id}"]["get"]["responses"][code]["content"]["application/json"]
        for example in described["examples"].values():
            validator(described["schema"]).validate(example["value"])

    @pytest.mark.parametrize("call", WITH_BODY, ids=str)
    def test_each_content_type_takes_the_same_parameters(self, call: Call) -> None:
        bodies = operation(call)["requestBody"]["content"]
        assert list(bodies) == ["application/x-www-form-urlencoded", "multipart/form-data", "application/json"]
        for kind, body in bodies.items():
            schema = body["schema"]
            if "$ref" in schema:
                schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]
            expected = [name for name in call.parameters.model_fields if name not in call.path_parameters]
            assert list(schema["properties"]) == expected
            for name, value in schema["properties"].items():
                may_be_null = kind == "application/json" and name not in {*schema["required"], *chosen(schema)}
                written = NUMBERS.get(call.parameters.model_fields[name].annotation, "string")
                if kind == "application/json" and name in call.parameters.object_parameters:
                    written = "object"
                assert resolved(value)["type"] == ([written, "null"] if may_be_null else written)

    @pytest.mark.parametrize("call", WITH_BODY, ids=str)
    def test_optional_parameters_may_be_null_in_json(self, call: Call) -> None:
        schema = operation(call)["requestBody"]["content"]["application/json"]["schema"]
        needed = dict.fromkeys(schema["required"], "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e")
        optional = dict.fromkeys(schema["properties"].keys() - {*needed, *chosen(schema)})
        for name in chosen(schema) or [""]:
            one_of_a_choice = {name: "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"} if name else {}
            validator(schema).validate(needed | optional | one_of_a_choice)

    @pytest.mark.parametrize("call", WITH_BODY, ids=str)
    def test_the_example_of_a_request_is_accepted(self, call: Call) -> None:
        bodies = operation(call)["requestBody"]["content"]
        (example,) = bodies["application/json"]["examples"].values()
        assert bodies["application/x-www-form-urlencoded"]["examples"] == bodies["application/json"]["examples"]
        value = dict(resolved(example)["value"])
        assert "facedb" not in value, "a caller need not have the facedb of an example"
        validator(SCHEMAS[f"{call.title}Parameters"]).validate(value)
        sent = {name: value.pop(name).encode() for name in call.image_parameters}
        in_path = {name: text for name, text in call.example.items() if name in call.path_parameters}
        taken = check(call.parameters, Parameters(text=value | in_path, images=sent))
        for name in call.image_parameters:
            assert encoded_images.check(getattr(taken, name), 1_000_000)

    @pytest.mark.parametrize("call", WITH_BODY, ids=str)
    def test_every_parameter_has_an_example_that_is_valid(self, call: Call) -> None:
        schema = SCHEMAS[f"{call.title}Parameters"]
        example = {name: resolved(value)["examples"][0] for name, value in schema["properties"].items()}
        for other in chosen(schema)[1:]:
            del example[other]
        validator(schema).validate(example)
        assert example.get("facedb", "default") == "default", "the facedb that every tenant has at first"

    @pytest.mark.parametrize("call", [call for call in CALLS if call.image_parameters], ids=str)
    def test_images_in_multipart_are_files(self, call: Call) -> None:
        multipart = operation(call)["requestBody"]["content"]["multipart/form-data"]
        for name in call.image_parameters:
            assert (
                multipart["schema"]["properties"][name]["type"],
                multipart["schema"]["properties"][name]["format"],
            ) == ("string", "binary")
            assert "image/jpeg" in multipart["encoding"][name]["contentType"]

    def test_the_example_image_is_small(self) -> None:
        assert SCHEMAS["Image"]["examples"] == [portrait.BASE64]
        assert len(portrait.BASE64) <= 6000

    @given(
        st.sampled_from(WITH_BODY),
        st.dictionaries(
            st.sampled_from(["name", "facedb", "faces", "other"]),
            st.text("aZ09-_ é\n", max_size=140) | st.sampled_from(["all", "largest", "one"]),
        ),
    )
    def test_documented_parameters_are_those_that_are_accepted(self, call: Call, text: dict[str, str]) -> None:
        identifier = "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"
        encoded_images = dict.fromkeys(("img", "img1", "img2"), "YQ==")
        documented = validator(SCHEMAS[f"{call.title}Parameters"]).is_valid(
            text | encoded_images | {"person_id": identifier}
        )
        given_ = Parameters(
            text | {"person_id": identifier}, {name: image.encode() for name, image in encoded_images.items()}
        )
        try:
            taken = bool(check(call.parameters, given_))
        except InvalidRequest:
            taken = False
        assert taken == documented
