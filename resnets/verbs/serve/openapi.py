"""The OpenAPI document of a server: its addresses, what they take and answer. Plain data; no library is needed to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnets import __version__
from resnets.verbs.serve.limits import Limits

JSON = "application/json"
FAULTS = {
    400: "The request is wrong.",
    401: "The token is missing or wrong.",
    403: "It comes from a page of another site, or asks for another host.",
    404: "There is no such model or version.",
    408: "The body has not arrived in time.",
    413: "The body is too large, or has too many pictures.",
    415: "The body is of a kind that is not taken.",
    422: "No picture of the request can be read; the rows say why.",
    429: "The queue is full; Retry-After says when to try again.",
    500: "The model failed; the server's log says why.",
    503: "Not ready, stopping, or not answered in time.",
}
ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
ROW = {
    "type": "object",
    "required": ["path"],
    "description": "As a line of `resnets predict --format json`: the picture's name, and the answer of the task or an error.",
    "properties": {
        "path": {"type": "string"},
        "error": {"type": "string", "description": "Why the picture cannot be read; there is no answer then."},
        "drawings": {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}},
        "not_drawn": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Why there is no drawing."},
        "nearest": {"type": "array", "items": {"type": "object"}, "description": "Of the index: name, label and distance."},
    },
}
TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string", "enum": ["BYTES", "UINT8", "FP32"]},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array", "items": {}},
        "parameters": {"type": "object"},
    },
}


ANY = {"type": "object"}


def document(models: Sequence[str], limits: Limits, *, with_token: bool) -> dict[str, Any]:
    """The document of a server of these models."""
    secure: dict[str, Any] = {"security": [{"token": []}]} if with_token else {}

    def at(summary: str, answers: dict[str, Any], *faults: int, open_to_all: bool = False, **more: Any) -> dict[str, Any]:
        own = (*faults, 403, 500) if open_to_all or not with_token else (*faults, 401, 403, 500)
        told = {"200": answers} | {str(status): _fault(status) for status in sorted(own)}
        return {"summary": summary, "responses": told} | ({"security": []} if open_to_all and with_token else {}) | more

    name = [_parameter("name", "path", {"type": "string", "enum": list(models)}, "The model.", required=True)]
    version = [*name, _parameter("version", "path", {"type": "string", "enum": ["1"]}, "Its version.", required=True)]
    loaded = (408, 413, 415, 429, 503)
    paths: dict[str, Any] = {
        "/": {"get": at("The page.", _text("text/html", "The page."), open_to_all=True)},
        "/docs": {"get": at("This list as a page.", _text("text/html", "The page."), open_to_all=True)},
        "/openapi.json": {"get": at("This list.", _json(ANY, "The document."), open_to_all=True)},
        "/models": {"get": at("The models, and the limits of requests.", _json(ANY, "Models and limits."))},
        "/predict": {"post": at("Pictures in, answers out.", _predicted(), 400, 404, 422, *loaded, **_predict(models, limits))},
        "/metrics": {"get": at("Metrics for Prometheus.", _text("text/plain", "Metrics."))},
        "/v2": {"get": at("The server, in the Open Inference Protocol.", _json(ANY, "Its name."), open_to_all=True)},
        "/v2/health/live": {"get": at("Whether the server runs.", _json(ANY, "It does."), open_to_all=True)},
        "/v2/health/ready": {
            "get": at("Whether a picture goes through each model.", _json(ANY, "It does."), 503, open_to_all=True)
        },
    }
    for path, parameters in (("/v2/models/{name}", name), ("/v2/models/{name}/versions/{version}", version)):
        own: dict[str, Any] = {"parameters": parameters}
        paths[path] = {"get": at("The model's tensors.", _json(ANY, "Inputs and outputs."), 404, **own)}
        ready = at("Whether a picture goes through.", _json(ANY, "It does."), 404, 503, open_to_all=True, **own)
        paths[f"{path}/ready"] = {"get": ready}
        paths[f"{path}/infer"] = {"post": at("Tensors in, tensors out.", _inferred(), 400, 404, *loaded, **own, **_infer())}
    components: dict[str, Any] = {"schemas": {"Error": ERROR, "Row": ROW, "Tensor": TENSOR}}
    if with_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    about = f"Models: {', '.join(models)}. A request may have {limits.max_pictures} pictures and {limits.max_bytes:,} bytes."
    info = {"title": "resnets serve", "version": __version__, "description": about}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": components, **secure}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _text(kind: str, description: str) -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": {"type": "string"}}}}


def _fault(status: int) -> dict[str, Any]:
    if status == 422:
        return {"description": FAULTS[status], "content": _predicted()["content"]}
    schema = {"type": "object"} if status == 503 else _ref("Error")
    return _json(schema, FAULTS[status])


def _parameter(name: str, place: str, schema: dict[str, Any], description: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "schema": schema, "description": description}


def _predicted() -> dict[str, Any]:
    rows = {"type": "array", "items": _ref("Row")}
    schema = {"type": "object", "required": ["model", "rows"], "properties": {"model": {"type": "string"}, "rows": rows}}
    content = {JSON: {"schema": schema}, "text/csv": {"schema": {"type": "string"}}}
    return {"description": "A row for each picture, in their order.", "content": content}


def _predict(models: Sequence[str], limits: Limits) -> dict[str, Any]:
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    files = {"type": "array", "items": file, "minItems": 1, "maxItems": limits.max_pictures}
    form = {"type": "object", "required": ["file"], "properties": {"file": files}}
    return {
        "parameters": [
            _parameter("model", "query", {"type": "string", "enum": list(models)}, "The model  [the first]"),
            _parameter("topk", "query", {"type": "integer", "minimum": 1}, "Classes per picture  [5]"),
            _parameter(
                "threshold",
                "query",
                {"type": "number", "minimum": 0, "maximum": 1},
                "Lowest score of an object or a tag  [the model's own]",
            ),
            _parameter("format", "query", {"type": "string", "enum": ["json", "csv"]}, "[json]"),
            _parameter("draw", "query", {"type": "string"}, "Drawings to add, separated by commas: drawn, mask, why, nearest"),
        ],
        "requestBody": {
            "required": True,
            "description": "The bytes of one picture, or a form with several files.",
            "content": {
                "application/octet-stream": {"schema": {}},
                "image/*": {"schema": {}},
                "multipart/form-data": {"schema": form},
            },
        },
    }


def _infer() -> dict[str, Any]:
    tensors = {"type": "array", "items": _ref("Tensor"), "minItems": 1}
    wanted = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    properties = {
        "id": {"type": "string"},
        "inputs": tensors,
        "outputs": {"type": "array", "items": wanted},
        "parameters": {"type": "object"},
    }
    schema = {"type": "object", "required": ["inputs"], "properties": properties}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def _inferred() -> dict[str, Any]:
    outputs, text = {"type": "array", "items": _ref("Tensor")}, {"type": "string"}
    properties = {"model_name": text, "model_version": text, "id": text, "outputs": outputs}
    schema = {"type": "object", "required": ["model_name", "outputs"], "properties": properties}
    content = {JSON: {"schema": schema}, "application/octet-stream": {"schema": {"type": "string"}}}
    return {"description": "The outputs, binary where that is asked for.", "content": content}
