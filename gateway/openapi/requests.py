"""JSON Schemas of the bodies of requests, made from the models that check them: gateway/calls/parameters.py.

Every example works for every tenant as it was made. Optional parameters are left out of them.
"""

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gateway.calls.parameters import Checked
from gateway.openapi.portrait import BASE64
from shared.contract import Faces
from shared.control import DEFAULT

Json = dict[str, Any]

_IMAGE: Final = {"$ref": "#/components/schemas/Image"}
"""Of every image in base64: the example in it is as long as all the rest of a schema."""

_EXAMPLES: Final[Json] = {
    "img": BASE64,
    "img1": BASE64,
    "img2": BASE64,
    "name": "Grace",
    # What documents are tried out with fills in something for each parameter that has no example.
    "facedb": DEFAULT,
    "faces": Faces.ALL.value,
    "person_id": "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e",
}
_LEFT_OUT: Final = {"facedb", "faces"}

_FILE: Final[Json] = {
    "type": "string",
    "format": "binary",
    "description": "a jpeg, png or bmp image of at most 2M as a file, or its base64",
}

_KINDS: Final = "image/jpeg, image/png, image/bmp, application/octet-stream"


def bodies(name: str, model: type[Checked]) -> Json:
    """The same parameters in each content type. Multipart takes images as files too, JSON a null as left out. name: of
    the example of a body.
    """
    examples = {name: {"$ref": f"#/components/examples/{name}"}}
    form: Json = {"schema": {"$ref": f"#/components/schemas/{name}Parameters"}, "examples": examples}
    multipart, document = {"schema": schema(model)}, {"schema": schema(model), "examples": examples}
    for parameter in document["schema"]["properties"].keys() - document["schema"]["required"]:
        value = document["schema"]["properties"][parameter]
        value["type"] = ["string", "null"]
        if "enum" in value:
            value["enum"] = [*value["enum"], None]
    if model.images:
        multipart["schema"]["properties"] |= dict.fromkeys(model.images, _FILE)
        multipart["encoding"] = {image: {"contentType": _KINDS} for image in model.images}
    return {"application/x-www-form-urlencoded": form, "multipart/form-data": multipart, "application/json": document}


def body_example(summary: str, model: type[Checked]) -> Json:
    """A body that is taken, in a form and in JSON alike."""
    value = {name: _EXAMPLES[name] for name in model.model_fields if name in _EXAMPLES.keys() - _LEFT_OUT}
    return {"summary": summary, "value": value}


class _LeftOut(GenerateJsonSchema):
    """None is for what is left out, which JSON Schema says by not requiring it."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def schema(model: type[Checked]) -> Json:
    """A model's JSON Schema, without what is said for developers only."""
    full = _full(model)
    properties = {
        name: _IMAGE if name in model.images else _plain(name, property_)
        for name, property_ in full["properties"].items()
    }
    return {"type": "object", "properties": properties, "required": full["required"]}


def image(model: type[Checked]) -> Json:
    """That of an image in base64, as the model has it."""
    (name, *_) = model.images
    return _plain(name, _full(model)["properties"][name])


def _full(model: type[Checked]) -> Json:
    return model.model_json_schema(schema_generator=_LeftOut)


def _plain(name: str, property_: Json) -> Json:
    example = {"examples": [_EXAMPLES[name]]} if name in _EXAMPLES else {}
    return {key: value for key, value in property_.items() if key != "title"} | example
