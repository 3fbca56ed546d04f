"""The admission policy of TaskQueues, generated from `v1alpha1`: authors need the rights they lend.

The operator acts with its own rights on what a TaskQueue says: it creates Deployments, scales
them, and sends the content of Secrets to an address. Without a policy, the right to write
TaskQueues would include all of that. The rules here ask the API server whether the author has these
rights too.

`python -m identtqueue_operator.api.admission` prints the part of the ValidatingAdmissionPolicy that
follows from the schema; the chart adds names and labels. The references to Secrets are found in the
schema, so a new one cannot be forgotten.

A check of a right costs 350,000 units of CEL's budget. One expression may spend 1,000,000, all of
a policy together 10,000,000. So each Secret has an expression of its own, and the same Secret is
checked only once.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from identtqueue_operator.api.crd import Schema, root_schema
from identtqueue_operator.api.v1alpha1 import GROUP, PLURAL, VERSION

REFERENCE = "SecretRef"
"""A field whose name ends so names a Secret, in `name`."""


@dataclass(frozen=True, slots=True)
class FieldReference:
    """The way from `spec` to a field that names a Secret."""

    fields: tuple[str, ...] = ()
    many: str = ""
    """The one of these fields that is a list; empty if none is."""
    most: int = 1
    """How many Secrets there may be at this place."""

    def __str__(self) -> str:
        """Write the place as an author does: `spec.redis.tls.caSecretRef`."""
        names = [f"{name}[]" if name == self.many else name for name in self.fields]
        return ".".join(["spec", *names])

    def below(self, name: str, node: Schema) -> "FieldReference":
        """Go on to a field of the present one."""
        fields = (*self.fields, name)
        if node.get("type") != "array":
            return FieldReference(fields, self.many, self.most)
        assert not self.many, f"{self}.{name}: a list in a list"
        return FieldReference(fields, name, node["maxItems"])

    def names(self) -> str:
        """Give the Secrets' names at this place as a CEL list."""
        if not self.many:
            return _names("object.spec", self.fields)
        at = self.fields.index(self.many) + 1
        there, inside = self.fields[:at], self.fields[at:]
        items = ".".join(["object.spec", *there])
        item = f"{items}.map(e, {_given('e', inside)}, {'.'.join(['e', *inside, 'name'])})"
        return f"({_given('object.spec', there)} ? {item} : [])"


def _given(start: str, fields: tuple[str, ...]) -> str:
    """Say in CEL that all these fields are given, each inside the one before."""
    return " && ".join(
        f"has({'.'.join([start, *fields[:count]])})" for count in range(1, len(fields) + 1)
    )


def _names(start: str, fields: tuple[str, ...]) -> str:
    return f"({_given(start, fields)} ? [{'.'.join([start, *fields, 'name'])}] : [])"


def references() -> list[FieldReference]:
    """List the way to each field of the spec that names a Secret."""
    return list(references_in(root_schema()["properties"]["spec"], FieldReference()))


def references_in(node: Schema, before: FieldReference) -> Iterator[FieldReference]:
    """List the way to each field below a node of the schema that names a Secret.

    Args:
        node: part of the schema.
        before: the way to it.
    """
    for name, child in node.get("properties", {}).items():
        there = before.below(name, child) if _leads_on(name, child) else None
        if there is None:
            continue
        if name.endswith(REFERENCE):
            yield there
        else:
            yield from references_in(child.get("items", child), there)


def _leads_on(name: str, node: Schema) -> bool:
    """Return whether there is a reference at this field or below it."""
    below = node.get("items", node).get("properties", {})
    return name.endswith(REFERENCE) or any(_leads_on(*child) for child in below.items())


def policy_spec() -> dict[str, Any]:
    """Give everything of the policy's `spec` that does not depend on the release."""
    found = references()
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [GROUP],
                    "apiVersions": [VERSION],
                    "operations": ["CREATE", "UPDATE"],
                    # Not the status: that is the operator's to write.
                    "resources": [PLURAL],
                }
            ]
        },
        "matchConditions": [
            {
                # Labels, annotations and finalizers lend no rights, so any author may change them.
                "name": "the-spec-changes",
                "expression": "oldObject == null || object.spec != oldObject.spec",
            }
        ],
        "variables": [
            {"name": "kind", "expression": "object.spec.workloadRef.kind.lowerAscii()"},
            {"name": "workload", "expression": _WORKLOAD},
            {"name": "secrets", "expression": "\n+ ".join(each.names() for each in found) + "\n"},
        ],
        "validations": [
            _TEMPLATE_RULE,
            _WORKLOAD_RULE,
            *map(_secret_rule, range(sum(each.most for each in found))),
        ],
    }


# The plural of a kind as Kubernetes itself guesses it. A kind with another plural is refused
# unless the author may scale all resources of its group.
_WORKLOAD = """\
authorizer.group(
  object.spec.workloadRef.apiVersion.contains('/')
    ? object.spec.workloadRef.apiVersion.split('/')[0] : ''
).resource(
  variables.kind.endsWith('s') ? variables.kind + 'es'
    : variables.kind.endsWith('y') ? variables.kind.substring(0, variables.kind.size() - 1) + 'ies'
    : variables.kind + 's'
).subresource('scale').namespace(request.namespace).name(object.spec.workloadRef.name)
"""

_TEMPLATE_RULE = {
    "expression": """\
!has(object.spec.template) ||
authorizer.group('apps').resource('deployments').namespace(request.namespace).check('create').allowed()
""",
    "message": (
        "spec.template needs an author who may create Deployments in this namespace, because the "
        "operator makes a Deployment of it"
    ),
    "reason": "Forbidden",
}

_WORKLOAD_RULE = {
    "expression": """\
!has(object.spec.workloadRef) ||
['patch', 'update'].exists(verb, variables.workload.check(verb).allowed())
""",
    "message": (
        "spec.workloadRef needs an author who may scale the workload (patch or update its scale), "
        "because the operator scales it"
    ),
    "reason": "Forbidden",
}


def _secret_rule(index: int) -> dict[str, Any]:
    """Check one Secret of all that are named, unless it has been checked at an earlier place."""
    secret = f"variables.secrets[{index}]"
    return {
        "expression": f"""\
variables.secrets.size() <= {index} || variables.secrets.indexOf({secret}) < {index} ||
authorizer.group('').resource('secrets').namespace(request.namespace).name({secret}).check('get').allowed()
""",
        # What the user reads. The static message is for an error in the expression.
        "messageExpression": (
            f"'Secret ' + {secret} + ' needs an author who may get it, "
            "because the operator uses it at the address that the author gives'"
        ),
        "message": "a Secret needs an author who may get it, because the operator uses it",
        "reason": "Forbidden",
    }


class _Readable(yaml.SafeDumper):
    """Writes an expression of several lines as a block."""

    def represent_text(self, data: str) -> yaml.ScalarNode:
        """Choose the style by the text."""
        style = "|" if "\n" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Readable.add_representer(str, _Readable.represent_text)


def as_yaml() -> str:
    """Write the policy's spec as YAML."""
    return yaml.dump(
        policy_spec(), Dumper=_Readable, sort_keys=False, width=100, allow_unicode=True
    )


if __name__ == "__main__":
    sys.stdout.write(as_yaml())
