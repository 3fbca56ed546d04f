"""The operator's environment."""

import pytest

from identtqueue_operator.settings import Settings, SettingsError


def test_defaults_serve_the_own_namespace():
    found = Settings.from_environment({"POD_NAMESPACE": "queues", "POD_NAME": "operator-1"})
    assert found.namespaces == ("queues",)
    assert (found.own_namespace, found.identity) == ("queues", "operator-1")
    assert (found.leader_election, found.http_port, found.log_format) == (True, 8080, "json")
    assert not found.cluster_wide


def test_namespaces():
    def of(text):
        return Settings.from_environment({"IDENTTQUEUE_NAMESPACES": text})

    assert of("a, b,a,").namespaces == ("a", "b")
    assert of("*").cluster_wide
    with pytest.raises(SettingsError, match="stands alone"):
        of("*,a")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IDENTTQUEUE_LEADER_ELECTION", "perhaps"),
        ("IDENTTQUEUE_TEMPLATES", "some"),
        ("IDENTTQUEUE_HTTP_PORT", "http"),
        ("IDENTTQUEUE_HTTP_PORT", "70000"),
        ("IDENTTQUEUE_GATEWAY_PORT", "yes"),
        ("IDENTTQUEUE_LOG_LEVEL", "loud"),
        ("IDENTTQUEUE_LOG_FORMAT", "xml"),
    ],
)
def test_a_value_that_means_nothing_is_named(name, value):
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({name: value})


def test_templates_can_be_switched_off():
    assert Settings.from_environment({}).templates
    assert not Settings.from_environment({"IDENTTQUEUE_TEMPLATES": "false"}).templates


def test_a_gateway_is_there_if_it_has_a_port():
    def of(text):
        return Settings.from_environment({"IDENTTQUEUE_GATEWAY_PORT": text}).gateway_port

    assert (of(""), of("8081"), of("0")) == (None, 8081, 0)


def test_where_redis_may_be():
    found = Settings.from_environment({"IDENTTQUEUE_REDIS_ALLOW": "10.0.0.0/8, *.example.com,"})
    assert found.redis_allow == ("10.0.0.0/8", "*.example.com")
    with pytest.raises(SettingsError, match="IDENTTQUEUE_REDIS_ALLOW"):
        Settings.from_environment({"IDENTTQUEUE_REDIS_ALLOW": "10.0.0.1/8"})
