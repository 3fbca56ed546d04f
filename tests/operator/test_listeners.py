"""Which queues come and go with the owners that listen to them."""

from identtqueue_operator.queues.listeners import Listeners


def nothing():
    pass


def test_a_queue_comes_with_its_first_listener_and_goes_with_its_last():
    listeners = Listeners()
    assert listeners.put("one", ["a", "b"], 5.0, nothing) == (["a", "b"], [])
    assert listeners.put("two", ["b"], 5.0, nothing) == ([], [])
    assert listeners.drop("one") == ["a"]
    assert listeners.drop("two") == ["b"]
    assert list(listeners) == []
    assert listeners.drop("two") == []


def test_an_owner_that_comes_with_other_queues_keeps_those_it_had():
    listeners = Listeners()
    listeners.put("one", ["a", "b"], 5.0, nothing)
    assert listeners.put("one", ["b", "c"], 5.0, nothing) == (["c"], ["a"])
    assert listeners.queues_of("one") == ("b", "c")


def test_the_shortest_period_of_a_queue_counts():
    listeners = Listeners()
    listeners.put("one", ["a"], 5.0, nothing)
    listeners.put("two", ["a"], 2.0, nothing)
    assert listeners.period_seconds("a") == 2.0
    listeners.put("two", ["a"], 9.0, nothing)
    assert listeners.period_seconds("a") == 5.0


def test_a_ring_wakes_the_listeners_of_its_queue_and_no_others():
    rung = []
    listeners = Listeners()
    listeners.put("one", ["a"], 5.0, lambda: rung.append("one"))
    listeners.put("two", ["b"], 5.0, lambda: rung.append("two"))
    listeners.ring("a")
    listeners.ring("unknown")
    assert rung == ["one"]
    listeners.ring_all()
    assert rung == ["one", "one", "two"]
