"""Refusals for one queue are the trouble of the TaskQueues with it, and of no other."""

import base64
import secrets
import time

import pytest

from identtqueue.admin import RedisSettings
from identtqueue.protocol import roles
from identtqueue.protocol.roles import Role
from identtqueue_operator.queues.endpoint import Endpoint
from identtqueue_operator.timings import Timings
from testing.fleet import Fleet
from testing.operating import Setup
from testing.waiting import eventually

USER = "limited"
LOGIN = {"credentialsSecretRef": {"name": "redis", "usernameKey": "user"}}


@pytest.fixture
async def other(api, calls, client, redis_server, setup):
    """A second TaskQueue, with a queue and a Deployment of its own."""
    queue = f"{setup.queue}-other"
    fleet = Fleet(api, f"worker-{secrets.token_hex(3)}", calls, queue)
    yield Setup(api, fleet, client, queue, redis_server.address)
    await fleet.close()


@pytest.fixture
async def user(raw, api):
    """Gives the operator's user these rules; its login is in the Secret `redis`."""
    words = {"user": USER, "password": "sesame"}
    data = {name: base64.b64encode(word.encode()).decode() for name, word in words.items()}
    api.put("secrets", "redis", {"data": data})

    def permit(*rules):
        raw.execute_command("ACL", "SETUSER", USER, "on", ">sesame", *rules)

    yield permit
    raw.execute_command("ACL", "DELUSER", USER)


def create(setup, login=LOGIN, **scaling):
    setup.fleet.create()
    redis = {"address": setup.address, **login}
    setup.create({"pollPeriodSeconds": 1, **scaling}, redis=redis)


def source(operator, setup):
    """Return what the TaskQueue's last round took in of Redis."""
    return operator.controller.reconcilers["ns", setup.name].seen.source


async def long_refused(operator, setup):
    """Until it was refused in several rounds; with no word of a recovery in between."""
    await eventually(lambda: source(operator, setup).outage_seconds > 2.5)
    assert setup.events("RedisRecovered") == []


async def long_well(operator, setup):
    """Wait until Redis was well for some more seconds, in which it was polled."""
    trusted = source(operator, setup).trusted_seconds

    async def longer():
        await operator.looks()
        return source(operator, setup).trusted_seconds > trusted + 2.5

    await eventually(longer)


async def undisturbed(operator, setup, deed):
    """Whether this TaskQueue was told nothing, and has not lost its trust, during the deed."""
    trusted = source(operator, setup).trusted_seconds
    writes = len(setup.api.writes(f"{setup.name}/status"))
    await deed
    assert len(setup.api.writes(f"{setup.name}/status")) == writes
    await setup.enqueue(2)
    await setup.replicas(2)
    assert source(operator, setup).trusted_seconds > trusted
    assert setup.condition("RedisReachable") == ("True", "Reachable")
    assert setup.events("RedisAuthFailed") == []


def subscription(raw):
    """Return the id of the operator's connection for doorbells, as Redis lists it."""
    (client,) = [each for each in raw.client_list(_type="pubsub") if each["user"] == USER]
    return client["id"]


@pytest.mark.slow
async def test_a_queue_that_the_acl_does_not_name(operator, setup, other, user, raw):
    user(*roles.rules(Role.OPERATOR, [setup.queue]))
    create(setup)
    await setup.reason("Idle")
    await setup.is_heard(raw)
    connection = subscription(raw)

    async def add_the_other():
        create(other)
        await other.reason("RedisAuthFailed")
        await long_refused(operator, other)

    await undisturbed(operator, setup, add_the_other())
    assert subscription(raw) == connection, "the doorbell was heard all the time"
    user(*roles.rules(Role.OPERATOR, [setup.queue, other.queue]))
    await other.told("RedisRecovered")
    await other.enqueue(1)
    await other.replicas(1)


@pytest.mark.slow
async def test_a_queue_that_the_acl_does_not_name_when_the_operator_starts(
    operator, setup, other, user, raw
):
    user(*roles.rules(Role.OPERATOR, [setup.queue]))
    await operator.stop()
    create(other)
    create(setup)
    await operator.start()
    await other.reason("RedisAuthFailed")
    await setup.reason("Idle")
    await setup.is_heard(raw)
    other.api.remove("taskqueues", other.name)
    (endpoint,) = operator.controller.endpoints.in_use
    await eventually(lambda: endpoint.queues == {setup.queue})
    await undisturbed(operator, setup, long_well(operator, setup))


@pytest.mark.slow
@pytest.mark.parametrize("timings", [Timings(doorbell_retry_seconds=0.2)])
async def test_a_queue_that_is_forbidden_later(operator, setup, other, user, raw):
    """Redis then ends the doorbell's connection, and refuses it the channels it had."""
    user(*roles.rules(Role.OPERATOR, [setup.queue, other.queue]))
    create(setup)
    create(other)
    await setup.reason("Idle")
    await other.reason("Idle")
    await setup.is_heard(raw)
    await other.is_heard(raw)
    user(*roles.rules(Role.OPERATOR, [setup.queue]))
    await other.reason("RedisAuthFailed")
    await setup.is_heard(raw)
    await eventually(lambda: setup.condition("RedisReachable") == ("True", "Reachable"))
    await undisturbed(operator, setup, long_refused(operator, other))


@pytest.mark.slow
async def test_keys_are_refused_and_channels_are_not(operator, setup, other, user):
    """As where `acl-pubsub-default allchannels` holds, which is the default of Redis 6.2."""
    user(*roles.rules(Role.OPERATOR, [setup.queue]), "allchannels")
    create(setup)
    await setup.reason("Idle")

    async def add_the_other():
        create(other)
        await other.reason("RedisAuthFailed")
        await long_refused(operator, other)

    await undisturbed(operator, setup, add_the_other())
    user(*roles.rules(Role.OPERATOR))
    await other.told("RedisRecovered")
    # The end of a refusal is no end of an outage: what leases say counts after one more lease.
    assert source(operator, other).trusted_seconds < source(operator, setup).trusted_seconds


@pytest.mark.slow
async def test_a_key_of_another_type(operator, setup, other, raw):
    create(setup, {})
    await setup.reason("Idle")
    raw.set(f"idtq:{{{other.queue}}}:scheduled", "something else")

    async def add_the_other():
        create(other, {})
        await other.reason("RedisIncompatible")
        await long_refused(operator, other)

    await undisturbed(operator, setup, add_the_other())
    assert "WRONGTYPE" in other.status["message"]
    (endpoint,) = operator.controller.endpoints.in_use
    assert not endpoint.polls(other.queue)
    raw.delete(f"idtq:{{{other.queue}}}:scheduled")
    await other.told("RedisRecovered")
    assert endpoint.polls(other.queue)
    await other.enqueue(1)
    await other.replicas(1)


async def test_the_poll_sees_the_other_queues_beside_a_refused_one(
    operator, setup, other, user, raw
):
    user(*roles.rules(Role.OPERATOR, [setup.queue]), "allchannels")
    create(other)
    create(setup)
    await other.reason("RedisAuthFailed")
    await setup.reason("Idle")
    await setup.is_heard(raw)
    await other.is_heard(raw)
    await setup.enqueue_unheard(raw, 2)
    await setup.replicas(2)


@pytest.mark.slow
async def test_a_login_that_is_refused_is_everybodys_trouble(operator, setup, other, user, raw):
    user(*roles.rules(Role.OPERATOR))
    create(setup)
    create(other)
    await setup.reason("Idle")
    await other.reason("Idle")
    user("resetpass", ">changed")
    raw.client_kill_filter(_type="normal", skipme=True)
    raw.client_kill_filter(_type="pubsub", skipme=True)
    await setup.reason("RedisAuthFailed")
    await other.reason("RedisAuthFailed")
    (endpoint,) = operator.controller.endpoints.in_use
    await eventually(lambda: endpoint.in_trouble)
    user()
    await setup.told("RedisRecovered")
    await other.told("RedisRecovered")


@pytest.mark.slow
async def test_only_new_connections_are_refused(operator, setup, user, raw):
    """The one for commands lives on after a rotation; the doorbell's broke and can't come back."""
    user(*roles.rules(Role.OPERATOR))
    create(setup)
    await setup.reason("Idle")
    user("resetpass", ">changed")
    raw.client_kill_filter(_type="pubsub", skipme=True)
    await setup.reason("RedisAuthFailed")
    await long_refused(operator, setup)
    assert "refused the login" in setup.status["message"]
    user()
    await setup.told("RedisRecovered")


@pytest.mark.slow
@pytest.mark.parametrize("timings", [Timings(secrets_reread_seconds=0.1)])
async def test_after_a_lock_out_leases_are_not_acted_on_at_once(operator, setup, user, raw):
    """The workers were locked out too; the new login must not bring the old trust back."""
    user(*roles.rules(Role.OPERATOR))
    create(setup)
    await setup.reason("Idle")
    raw.execute_command("ACL", "SETUSER", USER, "resetpass", ">changed")
    raw.client_kill_filter(_type="normal", skipme=True)
    await setup.reason("RedisAuthFailed")
    locked_out_until = time.monotonic()
    data = {"password": base64.b64encode(b"changed").decode()}
    setup.api.change("secrets", "redis", {"data": data})
    await setup.told("RedisRecovered")
    assert source(operator, setup).trusted_seconds < time.monotonic() - locked_out_until


@pytest.mark.slow
async def test_before_redis_has_said_since_when_it_is_up_leases_do_not_count(redis_server):
    endpoint = Endpoint(RedisSettings(address=redis_server.address))
    assert endpoint.source("anybody").trusted_seconds < 5
    endpoint.start()
    await endpoint.tried()
    with redis_server.client() as raw:
        uptime = raw.info("server")["uptime_in_seconds"]
    assert abs(endpoint.source("anybody").trusted_seconds - uptime) < 5
    await endpoint.close()
