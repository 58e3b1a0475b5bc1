"""JSON Schemas of the bodies of requests, made from the models that check them: gateway/parameters.py."""

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gateway.parameters import Checked

Json = dict[str, Any]

# A black pixel, which shows no face.
_PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
_EXAMPLE: Final = {
    "img": _PIXEL,
    "img1": _PIXEL,
    "img2": _PIXEL,
    "name": "Grace",
    "person_id": "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e",
}

_FILE: Final[Json] = {
    "type": "string",
    "contentMediaType": "application/octet-stream",
    "description": "a jpeg, png or bmp image of at most 2M as a file, or its base64",
}

_KINDS: Final = "image/jpeg, image/png, image/bmp, application/octet-stream"


def bodies(model: type[Checked]) -> Json:
    """The same parameters in each content type. Multipart takes images as files too, JSON a null as left out."""
    form: Json = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    multipart, document = {"schema": schema(model)}, {"schema": schema(model)}
    for name in document["schema"]["properties"].keys() - document["schema"]["required"]:
        value = document["schema"]["properties"][name]
        value["type"] = ["string", "null"]
        if "enum" in value:
            value["enum"] = [*value["enum"], None]
    if model.images:
        multipart["schema"]["properties"] |= dict.fromkeys(model.images, _FILE)
        multipart["encoding"] = {name: {"contentType": _KINDS} for name in model.images}
    form["example"] = document["example"] = {n: value for n, value in _EXAMPLE.items() if n in model.model_fields}
    return {"application/x-www-form-urlencoded": form, "multipart/form-data": multipart, "application/json": document}


class _LeftOut(GenerateJsonSchema):
    """None is for what is left out, which JSON Schema says by not requiring it."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def schema(model: type[Checked]) -> Json:
    """A model's JSON Schema, without what is said for developers only."""
    full = model.model_json_schema(schema_generator=_LeftOut)
    properties = {name: {k: v for k, v in p.items() if k != "title"} for name, p in full["properties"].items()}
    return {"type": "object", "properties": properties, "required": full["required"]}
