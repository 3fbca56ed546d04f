"""Rules for addresses: which ones are allowed, in whatever form they are written."""

import pytest

from identtqueue.errors import InvalidInput, RedisAddressRefused
from identtqueue.transport.reach import Reach


def may(rule: Reach, address: str, host: str = "somewhere") -> bool:
    try:
        return rule.permitted(host, [address]) == [address]
    except RedisAddressRefused:
        return False


SPECIAL = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "::1", "::"),
    *("169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd20:ce::254"),
]
HIDDEN = [
    *("::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1"),
    *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::169.254.169.254"),
    *("64:ff9b:1::a9fe:a9fe", "2001:0:a9fe:a9fe::5601:5601"),
]
NEVER = ["224.0.0.1", "255.255.255.255", "ff02::1", "::ffff:224.0.0.1"]


@pytest.mark.parametrize("address", [*SPECIAL, *HIDDEN, *NEVER])
@pytest.mark.parametrize("allow", [[], ["0.0.0.0/0", "::/0"], ["somewhere"], ["0.0.0.0/1"]])
def test_special_addresses_need_a_network_that_means_them(address, allow):
    assert not may(Reach(allow), address)


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("169.254.0.0/16", "169.254.1.1"),
        ("169.254.7.7", "169.254.7.7"),
        ("169.254.0.0/16", "::ffff:169.254.1.1"),
        ("127.0.0.0/8", "127.0.0.1"),
        ("::1/128", "::1"),
        ("fe80::/10", "fe80::1"),
    ],
)
def test_a_network_that_means_them_lets_them_through(network, address):
    assert may(Reach([network]), address)
    assert not may(Reach([network]), "10.0.0.1")


@pytest.mark.parametrize("address", NEVER)
def test_multicast_is_no_place_for_a_redis(address):
    assert not may(Reach([address], loopback=True), address)


def test_out_of_a_pod_this_host_is_no_special_place():
    assert may(Reach(loopback=True), "127.0.0.1")
    assert not may(Reach(loopback=True), "169.254.169.254")


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "192.168.1.1", "8.8.8.8", "fd12::1", "2001:db8::1"]
)
def test_without_a_list_all_others_are_let_through(address):
    assert may(Reach(), address)


def test_with_a_list_only_what_it_names():
    rule = Reach(["10.1.0.0/16", "fd12::/64", "redis.example.com", "*.cache.example.com"])
    assert may(rule, "10.1.2.3")
    assert may(rule, "::ffff:10.1.2.3")
    assert may(rule, "64:ff9b::10.1.2.3")
    assert may(rule, "fd12::5")
    assert not may(rule, "10.2.0.1")
    assert may(rule, "10.2.0.1", "redis.example.com")
    assert may(rule, "10.2.0.1", "Redis.Example.com.")
    assert may(rule, "10.2.0.1", "a.b.cache.example.com")
    assert not may(rule, "10.2.0.1", "cache.example.com")
    assert not may(rule, "10.2.0.1", "evilcache.example.com")


def test_of_several_addresses_those_that_may():
    rule = Reach(["10.1.0.0/16"])
    assert rule.permitted("x", ["10.9.9.9", "10.1.0.1", "no address"]) == ["10.1.0.1"]


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "", "a b", "*", "redis:6379", "1.2.3", "-x-"])
def test_an_entry_that_means_nothing_is_refused(entry):
    with pytest.raises(InvalidInput):
        Reach([entry])
