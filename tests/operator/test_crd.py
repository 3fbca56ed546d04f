"""The CRD that is generated from the models."""

import subprocess
import sys

import pytest
import yaml
from pydantic import ValidationError

from identtqueue.admin import RedisSettings
from identtqueue.worker.settings import HEAVIEST
from identtqueue_operator.api import crd
from identtqueue_operator.api.v1alpha1 import MOST_LABELS, Redis, TaskQueueSpec
from identtqueue_operator.schema import ApiModel
from identtqueue_operator.status.render import MOST_CHARACTERS
from testing.bounds import bounds, is_bounded
from testing.bounds import nodes as all_nodes
from testing.taskqueues import spec

SCHEMA = crd.root_schema()
SPEC = SCHEMA["properties"]["spec"]
UNTYPED_OK = {"x-kubernetes-preserve-unknown-fields"}


def nodes(schema, path="spec"):
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


PRESERVED = {
    # A pod's specification is preserved as it is. The operator refuses a spec of more than 256 KiB.
    ("spec", "template", "spec"),
    ("spec", "template", "spec", "containers", "[]"),
}


def test_every_string_list_and_map_is_bounded():
    """Without bounds one resource may take 1.5 MiB, in etcd and in each cache that watches it."""
    found = {path for path, node in all_nodes(SCHEMA) if not is_bounded(node)}
    # The API server bounds metadata itself, and refuses a schema that speaks of more than its name.
    assert found - {("metadata",)} == PRESERVED


def test_texts_of_the_status_are_cut_to_their_bounds_before_they_are_written():
    words = ("brief", "reason", "message", "limitedBy")
    texts = [
        (path, limit)
        for path, keyword, limit in bounds(SCHEMA["properties"]["status"])
        if keyword == "maxLength" and path[-1] in words
    ]
    assert len(texts) == 12
    for path, limit in texts:
        assert limit >= MOST_CHARACTERS, path


def test_what_was_stored_before_there_were_bounds_is_still_served():
    labels = {f"label-{number}": "x" * 64 for number in range(MOST_LABELS + 1)}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{}]}}
    kept = spec(workloadRef=None, template=template)
    assert kept.template is not None
    assert kept.template.metadata.labels == labels
    assert not kept.problems()


def rules(schema):
    return [rule["message"] for rule in schema.get("x-kubernetes-validations", [])]


@pytest.mark.slow
def test_printing_is_deterministic_and_parses():
    command = [sys.executable, "-m", "identtqueue_operator.api.crd"]
    path = {"PYTHONPATH": "operator:queue", "PYTHONHASHSEED": "1"}
    first = subprocess.run(command, capture_output=True, check=True, env=path).stdout
    second = subprocess.run(
        command, capture_output=True, check=True, env=path | {"PYTHONHASHSEED": "2"}
    ).stdout
    assert first == second
    assert yaml.safe_load(first) == crd.definition()


def test_the_schema_is_structural():
    for path, node in nodes(SCHEMA):
        assert "type" in node, path
        assert not {"$ref", "anyOf", "oneOf", "allOf", "const", "title"} & node.keys(), path


def test_names_columns_and_subresources():
    body = crd.definition()["spec"]
    assert body["names"]["shortNames"] == ["tq"]
    (version,) = body["versions"]
    assert version["subresources"] == {"status": {}}
    columns = [column["name"] for column in version["additionalPrinterColumns"]]
    assert columns[:10] == [
        *("Workload", "Desired", "Current", "ReadyPods", "Queued", "InFlight", "OldestWait"),
        *("Ready", "Reason", "Age"),
    ]


def test_queues_are_a_map_by_name():
    queues = SPEC["properties"]["queues"]
    assert queues["x-kubernetes-list-type"] == "map"
    assert queues["x-kubernetes-list-map-keys"] == ["name"]
    assert queues["items"]["properties"]["name"]["pattern"] == "^[a-z0-9._-]{1,63}$"


def test_the_weights_of_queues_are_those_that_workers_take():
    weight = SPEC["properties"]["queues"]["items"]["properties"]["weight"]
    assert (weight["type"], weight["minimum"], weight["maximum"]) == ("integer", 1, HEAVIEST)
    assert "default" not in weight
    for bad in (0, HEAVIEST + 1, 1.5):
        with pytest.raises(ValidationError):
            spec(queues=[{"name": "mrz", "weight": bad}])


def test_rules_over_several_fields():
    scaling = SPEC["properties"]["scaling"]
    assert "exactly one of workloadRef and template must be given" in rules(SPEC)
    assert rules(SPEC["properties"]["workloadRef"]) == [
        "workloadRef is immutable: create a new TaskQueue"
    ]
    assert "minReplicas must not exceed maxReplicas" in rules(scaling)
    assert rules(scaling["properties"]["strategy"])
    assert SPEC["properties"]["recovery"]["properties"]["leaseSeconds"]["minimum"] == 5


def test_defaults_of_objects_are_complete():
    """The API server checks rules against a default as it stands, so it must hold every field."""
    default = SPEC["properties"]["scaling"]["default"]
    assert default["minReplicas"] == 0
    assert default["scaleDown"] == {
        "paused": False,
        "stabilizationSeconds": 60,
        "idleSeconds": 60,
        "initialCooldownSeconds": 0,
        "selectPolicy": "Max",
    }
    assert "default" not in SPEC["properties"]["redis"]["properties"]["tls"]


def test_defaults_of_the_schema_are_those_of_the_models():
    minimal = {
        "workloadRef": {"name": "w"},
        "queues": [{"name": "q"}],
        "redis": {"address": "redis"},
    }
    filled = minimal | {
        name: child["default"] for name, child in SPEC["properties"].items() if "default" in child
    }
    assert TaskQueueSpec.model_validate(minimal) == TaskQueueSpec.model_validate(filled)


def fields(schema, path):
    """Every property at every level; items and values are described with their list or map."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")


FIELDS = [
    (path, node)
    for path, node in fields(SCHEMA, "")
    # The API server refuses a schema that says anything about metadata but its name.
    if path != ".metadata"
]


def test_every_field_is_described_in_whole_sentences():
    assert len(FIELDS) > 110
    for path, node in FIELDS:
        text = node.get("description", "")
        assert len(text.split()) >= 4, f"{path}: {text!r}"
        assert text.endswith("."), f"{path}: {text!r}"


def test_durations_say_their_unit_and_defaults_are_said():
    for path, node in FIELDS:
        text = node["description"]
        if path.endswith("Seconds"):
            assert "second" in text, f"{path}: {text!r}"
        if node["type"] != "object" and "default" in node and path.startswith(".spec"):
            default = node["default"]
            said = str(default).lower() if isinstance(default, bool) else str(default)
            if default != []:
                assert f"Default: {said}" in text, f"{path}: {text!r}"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"template": {"spec": {"containers": [{}]}}}, "exactly one of workloadRef and template"),
        ({"scaling": {"minReplicas": 3, "maxReplicas": 2}}, "minReplicas must not exceed"),
        (
            {"redis": {"address": "r", "workerCredentialsSecretRef": {"name": "worker"}}},
            "redis.workerCredentialsSecretRef needs template",
        ),
        ({"scaling": {"strategy": {"type": "WaitTime"}}}, "type WaitTime needs waitTime"),
        (
            {
                "scaling": {
                    "strategy": {
                        "type": "WaitTime",
                        "waitTime": {"targetSeconds": 1},
                        "backlog": {"tasksPerReplica": 1},
                    }
                }
            },
            "backlog needs type Backlog",
        ),
        ({"scaling": {"onSourceError": {"policy": "Fixed"}}}, "policy Fixed needs replicas"),
        (
            {"redis": {"address": "r", "tls": {"enabled": False, "caSecretRef": {"name": "c"}}}},
            "caSecretRef needs tls.enabled",
        ),
        (
            {
                "redis": {
                    "address": "r",
                    "tls": {"enabled": False, "clientCertSecretRef": {"name": "c"}},
                }
            },
            "clientCertSecretRef needs tls.enabled",
        ),
        (
            {
                "scaling": {
                    "scaleUp": {
                        "policies": [{"type": "Percent", "value": 10_001, "periodSeconds": 1}]
                    }
                }
            },
            "a Percent policy of scaleUp takes at most 10000",
        ),
        (
            {
                "scaling": {
                    "scaleDown": {
                        "policies": [{"type": "Percent", "value": 101, "periodSeconds": 1}]
                    }
                }
            },
            "a Percent policy of scaleDown takes at most 100",
        ),
        ({"redis": {}}, "exactly one of address, sentinel and cluster must be given"),
        (
            {"redis": {"address": "r", "cluster": {"addresses": ["r"]}}},
            "exactly one of address, sentinel and cluster must be given",
        ),
        ({"redis": {"address": "redis:99999"}}, "'redis://redis:99999' can't be read"),
        (
            {"redis": {"sentinel": {"addresses": ["a:1", "b:99999"], "masterName": "m"}}},
            "can't be read",
        ),
        ({"redis": {"cluster": {"addresses": ["a:99999"]}}}, "can't be read"),
        ({"queues": [{"name": "a"}, {"name": "a"}]}, "queues must have different names"),
    ],
)
def test_the_models_know_the_rules_too(change, problem):
    (found,) = spec(**change).problems()
    assert problem in found


def test_the_operator_checks_every_rule_of_the_crd_but_those_over_a_change():
    checked = {
        rule.message for model in ApiModel.__subclasses__() for rule in model.rules if rule.broken
    }
    found = [
        validation
        for _, node in all_nodes(SCHEMA)
        for validation in node.get("x-kubernetes-validations", ())
    ]
    over_a_change = {each["message"] for each in found if "oldSelf" in each["rule"]}
    assert len(over_a_change) == 2
    assert {each["message"] for each in found} - over_a_change == checked


@pytest.mark.parametrize("name", ["", "UPPER", "a b", "a" * 64, "ä"])
def test_bad_queue_names_are_refused(name):
    with pytest.raises(ValidationError):
        spec(queues=[{"name": name}])


@pytest.mark.parametrize(
    ("redis", "url"),
    [
        ({"address": "redis:6379"}, "redis://redis:6379"),
        ({"address": "redis://redis:6379/2"}, "redis://redis:6379/2"),
        ({"address": "rediss://redis:6379"}, "rediss://redis:6379"),
        ({"address": "redis:6379", "tls": {}}, "rediss://redis:6379"),
        ({"address": "rediss://redis", "tls": {"enabled": False}}, "redis://redis"),
        (
            {"sentinel": {"addresses": ["a:1", "b"], "masterName": "m", "database": 2}},
            "redis+sentinel://a:1,b/m/2",
        ),
        ({"cluster": {"addresses": ["a:1", "b"]}, "tls": {}}, "rediss+cluster://a:1,b"),
    ],
)
def test_the_address_becomes_a_url(redis, url):
    assert Redis.model_validate(redis).url == url
    RedisSettings(address=url)  # the library can read it


@pytest.mark.parametrize(
    "address",
    [
        *("redis://user:secret@redis:6379", "redis:port", "redis:6379:6379", "redis:"),
        *("a:6379,b:6379", "redis?x=1", "redis#1", "re dis", "redis/1/2"),
    ],
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValidationError):
        Redis.model_validate({"address": address})
    with pytest.raises(ValidationError):
        Redis.model_validate({"cluster": {"addresses": [address]}})
    with pytest.raises(ValidationError):
        Redis.model_validate({"sentinel": {"addresses": [address], "masterName": "m"}})


@pytest.mark.parametrize("address", ["redis", "10.0.0.1:6379", "[fd00::1]:6379", "[fd00::1]"])
def test_addresses_by_name_and_number(address):
    for redis in ({"address": address}, {"cluster": {"addresses": [address]}}):
        RedisSettings(address=Redis.model_validate(redis).url)
