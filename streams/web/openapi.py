"""`/api/v3/openapi.json`: the API, described from the record types it takes and gives."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from schemas.feedback import AnomalyFeedback
from schemas.optimizer import (
    PARAMETERS,
    SCOPES,
    SYSTEMS,
    OptimizerRecommendation,
    OptimizerRequest,
    OptimizerRollout,
)
from streams.web.feedback import PATH as FEEDBACK
from streams.web.optimize import OPTIMIZE, RECOMMENDATIONS, STATUS
from streams.web.problem import PROBLEM

if TYPE_CHECKING:
    from streams.application import Application

DESCRIPTION: Final = "/api/v3/openapi.json"

_PROBLEM_SCHEMA: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong, and what to do"},
        "reason": {"type": "string", "description": "as of dead letters"},
    },
}  # fmt: skip
_PLACE_SCHEMA: Final = {
    "type": "object",
    "required": ["status", "topic", "partition", "offset"],
    "properties": {
        "status": {"const": "accepted"}, "topic": {"type": "string"}, "partition": {"type": "integer"},
        "offset": {"type": "integer"}, "request_id": {"type": "string"},
    },
}  # fmt: skip
_CURRENT_SCHEMA: Final = {
    "type": "object",
    "description": "parameters in force; those of at least one system, all of them: systems not named are not tuned",
    "properties": {
        p.name: {"type": "number", "minimum": p.minimum, "maximum": p.maximum, "description": p.allowed}
        for p in PARAMETERS
    },
    "additionalProperties": False,
    "anyOf": [{"required": list(names)} for names in SYSTEMS.values()],
}


def describe() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    records = (AnomalyFeedback, OptimizerRequest, OptimizerRecommendation, OptimizerRollout)
    (feedback, request, recommendation, rollout), schemas = msgspec.json.schema_components(
        records, ref_template="#/components/schemas/{name}"
    )
    # Both are made up where they are missing.
    asked = schemas["OptimizerRequest"]
    asked["required"] = [name for name in asked["required"] if name not in ("request_id", "timestamp")]
    asked["properties"]["scope"] = {"type": "string", "pattern": SCOPES}
    asked["properties"]["current"] = _CURRENT_SCHEMA
    scope = {"name": "scope", "in": "query", "required": False, "schema": {"type": "string"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "dwcp-streams", "version": version("dwcp-streams")},
        "paths": {
            FEEDBACK: {"post": _post("Say whether an anomaly was one", feedback)},
            OPTIMIZE: {"post": _post("Ask for better parameters", request)},
            STATUS: {
                "get": _get("Requests and rollouts, newest first", scope, {"requests": request, "rollouts": rollout})
            },
            RECOMMENDATIONS: {"get": _get("Recommendations, newest first", scope, {"recommendations": recommendation})},
        },
        "security": [{}, {"bearer": []}],
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {**schemas, "Problem": _PROBLEM_SCHEMA, "Place": _PLACE_SCHEMA},
        },
    }


def add_description(app: Application) -> None:
    """Serve the description."""
    document = describe()

    async def show(_: web.Request) -> web.Response:
        return web.json_response(document)

    app.web.web_app.router.add_get(DESCRIPTION, show)


def _post(summary: str, body: Any) -> dict[str, Any]:
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "202": _answer("It is on its topic, at this place", "application/json", _ref("Place")),
            **_problems("400", "401", "403", "408", "413", "503"),
        },
    }


def _get(summary: str, parameter: Any, lists: dict[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": list(lists),
        "properties": {name: {"type": "array", "items": item} for name, item in lists.items()},
    }
    return {
        "summary": summary,
        "parameters": [parameter],
        "responses": {"200": _answer("Lists, which may be empty", "application/json", schema),
                      **_problems("401", "403", "404", "408")},
    }  # fmt: skip


def _problems(*statuses: str) -> dict[str, Any]:
    return {status: _answer("It cannot be done; `detail` says why", PROBLEM, _ref("Problem")) for status in statuses}


def _answer(text: str, kind: str, schema: Any) -> dict[str, Any]:
    return {"description": text, "content": {kind: {"schema": schema}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
