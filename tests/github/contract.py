"""GitHub's own description of its API as the judge of what we send, and of the answers that we rely on.

Every exchange that goes through the proxy is judged: the path and method must be there, each parameter and
each field of a body described and of the right type, and the answer's status and body as described.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import referencing
import referencing.jsonschema

from tests.github.proxy import Exchange

#: Parts of a path that may hold slashes.
_LONG = {"ref", "path", "basehead"}
#: Statuses that any request may be answered with, described there or not.
_ANYWHERE = {304, 401, 403, 404, 429, 500, 502, 503}
_URI = "urn:github"
#: Only these are loaded; the description has 800 paths.
_PATHS = ("/repos/{owner}/{repo}", "/rate_limit", "/user", "/app/", "/installation/", "/meta", "/versions")

#: What the emulator answers otherwise than GitHub, as "where: what"; nothing of ours depends on it.
KNOWN = re.compile(
    r"GET /repos/\{owner\}/\{repo\}: 200: \.: '(network_count|subscribers_count)' is a required property"
    r"|/collaborators/\{username\}/permission: 200: \.user: 'role_name' is a required property"
)


class Contract:
    """The description, and what was found to break it."""

    def __init__(self, file: Path) -> None:
        described: dict[str, Any] = json.loads(file.read_text("utf-8"))
        paths = {path: item for path, item in described["paths"].items() if path.startswith(_PATHS)}
        whole = _plain({"paths": paths, "components": described["components"]})
        self._whole: dict[str, Any] = whole
        resource = referencing.jsonschema.DRAFT7.create_resource(whole)
        self._registry: Any = referencing.Registry().with_resource(_URI, resource)
        found = [(_pattern(path), str(path)) for path in paths]
        self._templates = sorted(found, key=lambda item: item[1].count("{"))
        self._lock = threading.Lock()
        self._validators: dict[str, jsonschema.Draft7Validator] = {}
        #: Sentences, without the emulator's known differences.
        self.violations: list[str] = []
        #: ``METHOD /path/{template}`` of everything that was judged.
        self.seen: set[str] = set()

    def watch(self, exchange: Exchange) -> None:
        """Judge one exchange."""
        with self._lock:
            for found in self._judge(exchange):
                if not KNOWN.search(found) and found not in self.violations:
                    self.violations.append(found)

    def _judge(self, exchange: Exchange) -> Iterator[str]:
        parts = urllib.parse.urlsplit(exchange.path)
        template = self.template(exchange.method, parts.path)
        if template is None:
            yield f"{exchange.method} {parts.path}: there is no such call"
            return
        what = f"{exchange.method} {template}"
        self.seen.add(what)
        at = f"/paths/{_escaped(template)}/{exchange.method.lower()}"
        operation = self._whole["paths"][template][exchange.method.lower()]
        yield from self._parameters(what, operation, parts.query)
        yield from self._body(what, operation, at, exchange.body)
        yield from self._answer(what, operation, at, exchange)

    def template(self, method: str, path: str) -> str | None:
        """The described path that ``path`` is one of."""
        for pattern, template in self._templates:
            if pattern.fullmatch(path) and method.lower() in self._whole["paths"][template]:
                return template
        return None

    def _parameters(self, what: str, operation: Mapping[str, Any], query: str) -> Iterator[str]:
        known = {
            parameter["name"]: parameter["schema"]
            for parameter in map(self._resolved, operation.get("parameters", []))
            if parameter["in"] == "query"
        }
        for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
            if name not in known:
                yield f"{what}: there is no parameter {name!r}"
                continue
            schema = self._resolved(known[name])
            typed: Any = int(value) if schema.get("type") == "integer" and value.isdigit() else value
            for error in jsonschema.Draft7Validator(schema, registry=self._registry).iter_errors(typed):
                yield f"{what}: parameter {name}: {error.message}"

    def _body(self, what: str, operation: Mapping[str, Any], at: str, body: bytes) -> Iterator[str]:
        described = operation.get("requestBody")
        if not body:
            if described is not None and described.get("required"):
                yield f"{what}: a body is required"
            return
        if described is None:
            yield f"{what}: no body is described"
            return
        given = json.loads(body)
        pointer = f"{at}/requestBody/content/application~1json/schema"
        yield from self._errors(f"{what}: request", pointer, given)
        schema = self._resolved(described["content"]["application/json"]["schema"])
        if isinstance(given, dict) and "properties" in schema:
            for name in given.keys() - schema["properties"].keys():
                yield f"{what}: request: there is no field {name!r}"

    def _answer(self, what: str, operation: Mapping[str, Any], at: str, exchange: Exchange) -> Iterator[str]:
        status = str(exchange.status)
        if status not in operation["responses"]:
            if exchange.status not in _ANYWHERE:
                yield f"{what}: {status} is not described"
            return
        response = operation["responses"][status]
        pointer = f"{at}/responses/{status}"
        if "$ref" in response:
            pointer = response["$ref"].removeprefix(f"{_URI}#")
            response = self._resolved(response)
        media = response.get("content", {})
        if "application/json" in media and exchange.answer:
            told = json.loads(exchange.answer)
            yield from self._errors(f"{what}: {status}", f"{pointer}/content/application~1json/schema", told)

    def _errors(self, where: str, pointer: str, value: object) -> Iterator[str]:
        validator = self._validators.get(pointer)
        if validator is None:
            schema = {"$ref": f"{_URI}#{pointer}"}
            validator = jsonschema.Draft7Validator(schema, registry=self._registry)
            self._validators[pointer] = validator
        for error in validator.iter_errors(value):
            yield f"{where}: {_place(error)}: {error.message[:200]}"

    def _resolved(self, item: Mapping[str, Any]) -> Any:
        if "$ref" not in item:
            return item
        found: Any = self._whole
        for part in item["$ref"].removeprefix(f"{_URI}#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        return self._resolved(found)


def _place(error: jsonschema.ValidationError) -> str:
    """Where in the value it is; all items of a list count as one place."""
    return "".join("[]" if isinstance(part, int) else f".{part}" for part in error.absolute_path) or "."


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    text = "".join(
        re.escape(part) if number % 2 == 0 else (".+" if part in _LONG else "[^/]+")
        for number, part in enumerate(parts)
    )
    return re.compile(text)


def _escaped(part: str) -> str:
    return urllib.parse.quote(part.replace("~", "~0").replace("/", "~1"), safe="~")


def _plain(item: Any) -> Any:
    """OpenAPI's dialect as plain JSON schema: what may be null says so in its type."""
    if isinstance(item, list):
        return [_plain(part) for part in item]
    if not isinstance(item, dict):
        return item
    plain = {name: _plain(part) for name, part in item.items() if name not in ("example", "examples")}
    if isinstance(plain.get("$ref"), str) and plain["$ref"].startswith("#"):
        plain["$ref"] = _URI + plain["$ref"]
    if plain.get("nullable") is True:
        if isinstance(plain.get("type"), str):
            plain["type"] = [plain["type"], "null"]
            if "enum" in plain and None not in plain["enum"]:
                plain["enum"] = [*plain["enum"], None]
        elif "$ref" not in plain:
            return {"anyOf": [plain, {"type": "null"}]}
    return plain
