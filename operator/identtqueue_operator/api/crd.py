"""The CustomResourceDefinition of TaskQueue, generated from `v1alpha1`.

`python -m identtqueue_operator.api.crd` prints it as YAML, the same bytes every time, so that the
chart's copy can be compared with it.

pydantic speaks JSON Schema; Kubernetes wants a *structural* schema: no `$ref`, no `anyOf` with
null (an optional field is simply absent), no `const`, every node typed. `structural` translates.
"""

import copy
import sys
from typing import Any

import yaml

from identtqueue_operator.api.v1alpha1 import GROUP, KIND, PLURAL, VERSION, TaskQueue

Schema = dict[str, Any]

_DROPPED = frozenset({"title", "$defs", "const"})

COLUMNS = (
    ("Workload", "string", ".status.workload", "The workload that is scaled", 0),
    ("Desired", "integer", ".status.replicas.desired", "Replicas the operator wants", 0),
    ("Current", "integer", ".status.replicas.current", "Replicas the workload asks for", 0),
    ("ReadyPods", "integer", ".status.replicas.ready", "Pods that are ready", 0),
    ("Queued", "integer", ".status.tasks.queued", "Tasks that wait", 0),
    ("InFlight", "integer", ".status.tasks.inFlight", "Tasks that run", 0),
    ("OldestWait", "integer", ".status.tasks.oldestWaitSeconds", "Longest wait in seconds", 0),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', "Scaling works", 0),
    ("Reason", "string", ".status.reason", "What is going on", 0),
    ("Age", "date", ".metadata.creationTimestamp", "", 0),
    ("Paused", "string", '.status.conditions[?(@.type=="Paused")].status', "Scaling is paused", 1),
    (
        "DecidedBy",
        "string",
        ".status.decidedBy",
        "The trigger that decides, if there are several",
        1,
    ),
    (
        "Triggers",
        "string",
        ".status.triggersReachable",
        "How many triggers answer, if there are several",
        1,
    ),
    ("Message", "string", ".status.message", "What is going on, in a sentence", 1),
)


def definition() -> dict[str, Any]:
    """Build the whole CustomResourceDefinition document."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["tq"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    # No scale subresource: it would invite an autoscaler to fight this one.
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
                    "schema": {"openAPIV3Schema": root_schema()},
                }
            ],
        },
    }


def root_schema() -> Schema:
    """Build the structural schema of the resource, with the fields that every object has."""
    document = TaskQueue.model_json_schema(by_alias=True)
    schema = structural(document, document.get("$defs", {}))
    schema["properties"] = {
        "apiVersion": {
            "type": "string",
            "maxLength": 317,  # a group of 253 characters, a slash, a version of 63
            "description": f"Group and version of the resource: {GROUP}/{VERSION}.",
        },
        "kind": {
            "type": "string",
            "maxLength": 63,
            "description": f"Kind of the resource: {KIND}.",
        },
        # The resource gives its name to a Deployment and to a label value of its pods, hence 63.
        "metadata": {
            "type": "object",
            "properties": {
                "name": {
                    "type": "string",
                    "maxLength": 63,
                    "description": "Name of the TaskQueue and, with `template`, of its Deployment.",
                }
            },
        },
        **schema["properties"],
    }
    schema["properties"]["status"].pop("default", None)
    return schema


def structural(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """Translate one JSON Schema node, and all below it, into a structural one."""
    node = _resolved(node, definitions)
    result = {key: value for key, value in node.items() if key not in _DROPPED}
    if "const" in node:
        result["enum"] = [node["const"]]
    if "description" in result:
        result["description"] = _one_line_paragraphs(result["description"])
    if "properties" in result:
        result["properties"] = {
            name: structural(child, definitions) for name, child in result["properties"].items()
        }
        _default_objects_of_defaults(result, _absent(node))
    if "items" in result:
        result["items"] = structural(result["items"], definitions)
    extra = result.pop("additionalProperties", None)
    if isinstance(extra, dict):
        result["additionalProperties"] = structural(extra, definitions)
    return result


def _resolved(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """Put the referenced model in the place of `$ref`, and drop the null of an optional field.

    What stands beside the reference (description, default, CEL rules) belongs to this use of the
    model and wins; rules of both are kept.
    """
    node = dict(node)
    if "anyOf" in node:
        (only,) = (choice for choice in node.pop("anyOf") if choice.get("type") != "null")
        if node.get("default", ...) is None:
            del node["default"]
        node = {**only, **node}
    if "$ref" in node:
        model = _resolved(definitions[node.pop("$ref").rsplit("/", 1)[1]], definitions)
        if "enum" in model:
            model.pop("description", None)  # for readers of the code; the field has its own
        rules = model.get("x-kubernetes-validations", []) + node.get("x-kubernetes-validations", [])
        node = {**model, **node}
        if rules:
            node["x-kubernetes-validations"] = rules
    return node


def _absent(node: Schema) -> frozenset[str]:
    """Find the optional fields whose absence has a meaning, and so has to stay visible."""
    fields = node["properties"].items()
    return frozenset(name for name, child in fields if child.get("default", ...) is None)


def _default_objects_of_defaults(node: Schema, absent: frozenset[str]) -> None:
    """Give an optional object whose fields have defaults, a default that spells them out.

    The API server fills in defaults only inside objects that are there: without one, a resource
    that leaves out `scaling` would store none of its defaults. `{}` would not do: the API server
    checks CEL rules against the default as written, and refuses a CRD whose rule misses a field.
    """
    required = set(node.get("required", ()))
    for name, child in node["properties"].items():
        if name in required or name in absent or child.get("required"):
            continue
        fields = child.get("properties", {})
        defaults = {key: field["default"] for key, field in fields.items() if "default" in field}
        if defaults:
            child["default"] = copy.deepcopy(defaults)


def _one_line_paragraphs(text: str) -> str:
    """Join the source's line breaks inside a paragraph; keep the breaks between paragraphs."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _column(name: str, kind: str, path: str, description: str, priority: int) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    if description:
        column["description"] = description
    if priority:
        column["priority"] = priority
    return column


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice, without YAML's anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Never refer to an earlier place."""
        return True


def as_yaml() -> str:
    """Write the document as YAML, its keys in the order of the models."""
    return yaml.dump(definition(), Dumper=_Plain, sort_keys=False, width=100, allow_unicode=True)


if __name__ == "__main__":
    sys.stdout.write(as_yaml())
