"""Troubles of a Secret are told by its name and key, and its contents are not kept."""

import base64
from pathlib import Path

import pytest

from identtqueue_operator.timings import Timings
from testing.tls import Certificates
from testing.waiting import eventually

LOGIN = {"credentialsSecretRef": {"name": "login", "usernameKey": "user"}}
TLS = {
    "tls": {"caSecretRef": {"name": "ca"}, "clientCertSecretRef": {"name": "client"}},
}


def encoded(**data):
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def pems(**files):
    return encoded(**{key: Path(file).read_bytes() for key, file in files.items()})


async def what_is_missing(setup, redis):
    setup.fleet.create(3)
    setup.create({"pollPeriodSeconds": 1}, redis={"address": "localhost:6379", **redis})
    await setup.reason("SecretMissing")
    assert setup.condition("RedisReachable") == ("False", "SecretMissing")
    assert setup.fleet.replicas == 3
    return await setup.told("SecretMissing")


async def test_a_secret_that_the_operator_may_not_read(operator, setup):
    setup.api.put("secrets", "login", {"data": encoded(password=b"x", user=b"op")})
    setup.api.unreadable["secrets/login"] = 403
    assert await what_is_missing(setup, LOGIN) == (
        "the operator may not read Secret login: name it in the chart's rbac.secretNames"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"password": "no base64!", "user": ""}, "Secret login is not base64"),
        (encoded(password=b"\xff\xfe", user=b"op"), "Secret login: password is not text"),
        (encoded(password=b"x"), "Secret login has no key user"),
        (encoded(user=b"x"), "Secret login has no key password"),
        (None, "Secret login has no key password"),
    ],
)
async def test_a_login_that_can_not_be_used(operator, setup, data, message):
    setup.api.put("secrets", "login", {"data": data})
    assert await what_is_missing(setup, LOGIN) == message


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize(
    ("secret", "key", "value", "message"),
    [
        ("ca", "ca.crt", None, "Secret ca has no key ca.crt"),
        ("client", "tls.crt", None, "Secret client has no key tls.crt"),
        ("client", "tls.key", None, "Secret client has no key tls.key"),
        ("ca", "ca.crt", b"oops", "Secret ca: ca.crt is no certificate in PEM form"),
        ("ca", "ca.crt", b"\xff", "Secret ca: ca.crt is no certificate in PEM form"),
        ("client", "tls.crt", b"", "Secret client: tls.crt is no certificate in PEM form"),
        (
            *("client", "tls.key", b"oops"),
            "Secret client: tls.key is no private key in PEM form, not encrypted",
        ),
    ],
)
async def test_tls_files_that_can_not_be_used(
    operator, setup, certificates, secret, key, value, message
):
    files = {
        "ca": pems(**{"ca.crt": certificates.ca}),
        "client": pems(
            **{"tls.crt": certificates.client[0], "tls.key": certificates.client[1]},
        ),
    }
    files[secret].pop(key)
    if value is not None:
        files[secret] |= encoded(**{key: value})
    for name, data in files.items():
        setup.api.put("secrets", name, {"data": data})
    assert await what_is_missing(setup, TLS) == message


@pytest.mark.parametrize("timings", [Timings(secrets_reread_seconds=3600.0)])
async def test_a_missing_secret_is_asked_for_once_for_all(operator, setup, api):
    redis = {"address": setup.address, **LOGIN}
    names = [f"{setup.name}-{number}" for number in range(5)]
    for name in names:
        setup.create(name=name, redis=redis)

    def all_told():
        statuses = [api.get("taskqueues", name).get("status", {}) for name in names]
        return all("SecretMissing" in str(status) for status in statuses)

    await eventually(all_told)
    assert api.reads["/api/v1/namespaces/ns/secrets/login"] == 1


def files_in(folder):
    return list(Path(folder).iterdir())


async def test_what_a_secret_held_is_dropped_with_the_last_that_names_it(
    operator, setup, redis_server, certificates
):
    files = {"tls.crt": certificates.client[0], "tls.key": certificates.client[1]}
    setup.api.put("secrets", "login", {"data": encoded(password=b"x", user=b"op")})
    setup.api.put("secrets", "ca", {"data": pems(**{"ca.crt": certificates.ca})})
    setup.api.put("secrets", "client", {"data": pems(**files)})
    setup.fleet.create()
    setup.create(redis={"address": setup.address, **LOGIN})
    setup.create(
        name=f"{setup.name}-too", redis={"address": f"localhost:{redis_server.port}"} | TLS
    )
    known = operator.controller.endpoints
    await eventually(lambda: len(known.secrets.named) == 3 and len(known.in_use) == 2)
    (folder,) = {
        Path(endpoint.settings.tls_ca_file).parent
        for endpoint in known.in_use
        if endpoint.settings.tls_ca_file
    }
    assert len(files_in(folder)) == 3
    setup.api.change("taskqueues", setup.name, {"spec": {"redis": {"credentialsSecretRef": None}}})
    await eventually(lambda: len(known.secrets.named) == 2)
    setup.api.remove("taskqueues", f"{setup.name}-too")
    await eventually(lambda: not known.secrets.named)
    await eventually(lambda: not files_in(folder))
