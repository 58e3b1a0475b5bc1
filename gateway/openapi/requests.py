"""JSON Schemas of requests, their bodies and other parameters, made from the models that check them: shared/calls.py.

Every example of a body works for every new tenant.
"""

import json
from collections.abc import Collection
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gateway.openapi.portrait import BASE64
from shared.calls import Call
from shared.parameters import CallParameters

Json = dict[str, Any]

_IMAGE: Final = {"$ref": "#/components/schemas/Image"}
"""The schema of every image in base64: its example is longer than the rest of the schema."""

_FILE: Final[Json] = {
    "type": "string",
    "format": "binary",
    "description": "a jpeg, png or bmp image of at most 2M as a file, or its base64",
}

_KINDS: Final = "image/jpeg, image/png, image/bmp, application/octet-stream"


def parameters(call: Call, model: type[CallParameters]) -> list[Json]:
    """Return the parameters of a call that are not in a body: those in its path, then those in the query string."""
    whole = schema(model)
    in_query = [] if call.has_body else whole["properties"].keys() - set(call.path_parameters)
    names = [*call.path_parameters, *(name for name in whole["properties"] if name in in_query)]
    return [_parameter(name, whole, name in call.path_parameters) for name in names]


def _parameter(name: str, whole: Json, in_path: bool) -> Json:
    of_it = dict(whole["properties"][name])
    description = of_it.pop("description")
    return {
        "name": name,
        "in": "path" if in_path else "query",
        "required": in_path or name in whole["required"],
        "description": description,
        "schema": of_it,
    }


def bodies(call: Call, model: type[CallParameters]) -> Json:
    """Return the request bodies of a call by content type. Multipart also takes images as files; JSON takes objects as
    they are, and null for a parameter that is left out.
    """
    examples = {call.title: {"$ref": f"#/components/examples/{call.title}"}}
    form: Json = {"schema": {"$ref": f"#/components/schemas/{call.title}Parameters"}, "examples": examples}
    multipart: Json = {"schema": schema(model, call.path_parameters)}
    document: Json = {"schema": schema(model, call.path_parameters), "examples": examples}
    for parameter in model.object_parameters:
        as_text = document["schema"]["properties"][parameter]
        examples_of_it = [json.loads(example) for example in as_text["examples"]]
        document["schema"]["properties"][parameter] = {
            "type": "object",
            "description": as_text["description"],
            "examples": examples_of_it,
        }
    chosen = {name for choice in document["schema"].get("oneOf", ()) for name in choice["required"]}
    for parameter in document["schema"]["properties"].keys() - {*document["schema"]["required"], *chosen}:
        value = document["schema"]["properties"][parameter]
        value["type"] = [value["type"], "null"]
        if "enum" in value:
            value["enum"] = [*value["enum"], None]
    if model.image_parameters:
        multipart["schema"]["properties"] |= dict.fromkeys(model.image_parameters, _FILE)
        multipart["encoding"] = {image: {"contentType": _KINDS} for image in model.image_parameters}
    return {"application/x-www-form-urlencoded": form, "multipart/form-data": multipart, "application/json": document}


def body_example(call: Call) -> Json:
    """Return the example of a body that is valid both as a form and as JSON."""
    texts = {name: text for name, text in call.example.items() if name not in call.path_parameters}
    return {"summary": call.summary, "value": {**dict.fromkeys(call.image_parameters, BASE64), **texts}}


class _LeftOut(GenerateJsonSchema):
    """Generates the schema of an optional field without None, which stands for a field that is left out."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def schema(model: type[CallParameters], elsewhere: Collection[str] = ()) -> Json:
    """Return a model's JSON Schema, without its title and docstring. Where one of several parameters is needed, it has
    the choice as `oneOf`. elsewhere: parameters that are not in the body.
    """
    full = _full(model)
    properties = {
        name: _IMAGE if name in model.image_parameters else _plain(property_)
        for name, property_ in full["properties"].items()
        if name not in elsewhere
    }
    required = [name for name in full.get("required", ()) if name not in elsewhere]
    choice = {"oneOf": full["oneOf"]} if "oneOf" in full else {}
    return {"type": "object", "properties": properties, "required": required, **choice}


def image(model: type[CallParameters]) -> Json:
    """Return the schema of an image in base64, from the first image parameter of the model."""
    return _plain(_full(model)["properties"][model.image_parameters[0]]) | {"examples": [BASE64]}


def _full(model: type[CallParameters]) -> Json:
    return model.model_json_schema(schema_generator=_LeftOut)


def _plain(property_: Json) -> Json:
    """Return the schema of a property without its title, and with its examples at the end."""
    plain = {key: value for key, value in property_.items() if key not in ("title", "examples")}
    return plain | ({"examples": property_["examples"]} if "examples" in property_ else {})
