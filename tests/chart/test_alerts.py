"""The chart's alerts, evaluated by promtool: each fires when it must, and not otherwise."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart import helm
from testing.metrics_page import documented, named

RUNBOOK = helm.ROOT / "docs" / "alerts.md"
NAMESPACE, QUEUE = "shop", "orders"
_OPERATOR = "identtqueue_operator_"


@dataclass(frozen=True)
class Case:
    """A course of events, and when the alert fires.

    Attributes:
        series: name and extra labels of a metric, and its values in promtool's notation, one a
            minute. What a TaskQueue has is of `shop/orders`.
        fires: minutes at which the alert must fire.
        silent: minutes at which it must not.
        value: `$value` as the alert's text shows it.
        labels: labels of the alert, where it is not about the TaskQueue `shop/orders`.
    """

    series: Mapping[str, str]
    fires: tuple[int, ...] = ()
    silent: tuple[int, ...] = ()
    value: str = ""
    labels: Mapping[str, str] | None = None


def _of(metric: str, values: str, **labels: str) -> tuple[str, str]:
    every = {"job": "identtqueue", "pod": "a", **labels}
    per_operator = metric in {"leading", "round_failures_total"}
    owner = (
        {"namespace": "queues"} if per_operator else {"namespace": NAMESPACE, "taskqueue": QUEUE}
    )
    inner = ",".join(f'{key}="{value}"' for key, value in (owner | every).items())
    return f"{_OPERATOR}{metric}{{{inner}}}", values


def _measured(metric: str, values: str, labels: Mapping[str, str]) -> tuple[str, str]:
    """A series of a worker or an exporter."""
    inner = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"identtqueue_{metric}{{{inner}}}", values


_JOB = {"namespace": NAMESPACE, "queue": QUEUE, "job": "read"}
_WORKER = {"namespace": NAMESPACE, "pod": "worker-1", "instance": "10.0.0.7:8080"}
_ONE_QUEUE = {"namespace": NAMESPACE, "queue": QUEUE}
_EXPORTER = {"namespace": NAMESPACE, "instance": "10.0.0.9:9117"}


def _ended(outcome: str, values: str, pod: str = "a") -> tuple[str, str]:
    return _measured("attempts_total", values, _JOB | {"pod": pod, "outcome": outcome})


def _late(by_seconds: Mapping[str, str], pod: str = "a") -> tuple[tuple[str, str], ...]:
    """The buckets of the lateness of a schedule: values by upper bound."""
    return tuple(
        _measured("cron_lateness_seconds_bucket", values, _JOB | {"pod": pod, "le": bound})
        for bound, values in by_seconds.items()
    )


def _queue(metric: str, values: str, instance: str = "e") -> tuple[str, str]:
    return _measured(f"queue_{metric}", values, _ONE_QUEUE | {"instance": instance})


def _case(*series: tuple[str, str], **more: Any) -> Case:
    return Case(dict(series), **more)


def _flag(metric: str, trouble: int, after_minutes: int) -> dict[str, Case]:
    """Cases of an alert that follows a number which is 0 or 1."""
    well = 1 - trouble
    first, soon = after_minutes + 1, after_minutes - 1
    return {
        "trouble that lasts": _case(
            _of(metric, f"{trouble}x60"), fires=(first, 60), silent=(soon,)
        ),
        "all is well": _case(_of(metric, f"{well}x60"), silent=(0, first, 60)),
        "trouble that ends by itself": _case(
            _of(metric, f"{trouble}x{soon} {well}x60"), silent=(soon, first, 60)
        ),
        "trouble that was mended": _case(
            _of(metric, f"{trouble}x30 {well}x30"), fires=(30,), silent=(31, 60)
        ),
        "the operator's pod is replaced in the middle": _case(
            _of(metric, f"{trouble}x20 stale", pod="a"),
            _of(metric, f"_x20 {trouble}x40", pod="b"),
            fires=(20, 21, 60),
        ),
        "another release's": _case(_of(metric, f"{trouble}x60", job="other"), silent=(first, 60)),
    }


CASES: dict[str, dict[str, Case]] = {
    "IdenttqueueNoLeader": {
        "nobody leads": _case(
            _of("leading", "0x60"), _of("leading", "0x60", pod="b"), fires=(3, 60), silent=(1,)
        ),
        "no operator is there": _case(fires=(3, 60), silent=(1,)),
        "one of two leads": _case(
            _of("leading", "1x60"), _of("leading", "0x60", pod="b"), silent=(3, 60)
        ),
        "another one takes over within a minute": _case(
            _of("leading", "1x20 stale"), _of("leading", "0x21 1x40", pod="b"), silent=(21, 24, 60)
        ),
        "the operator of another namespace leads": _case(
            _of("leading", "1x60", namespace="elsewhere"), fires=(3, 60)
        ),
    },
    "IdenttqueueRedisUnreachable": _flag("redis_reachable", 0, 2),
    "IdenttqueueNotReady": _flag("ready", 0, 10),
    "IdenttqueueWorkersFail": _flag("workers_failing", 1, 5),
    "IdenttqueueConflictingAutoscaler": _flag("conflicting", 1, 10),
    "IdenttqueueTasksWaitLong": {
        "a task waits on": _case(
            _of("oldest_wait_seconds", "0+60x60"), fires=(17,), silent=(10, 15), value="17m 0s"
        ),
        "each waits a little": _case(_of("oldest_wait_seconds", "600x60"), silent=(10, 60)),
        "it was started in the end": _case(
            _of("oldest_wait_seconds", "900x3 0x60"), silent=(3, 6, 60)
        ),
        "not known without Redis": _case(_of("oldest_wait_seconds", "900x3 _x60"), silent=(12, 60)),
    },
    "IdenttqueueNewDeadLetters": {
        "none": _case(_of("tasks_dead", "0x90"), silent=(0, 5, 60)),
        "the first one": _case(_of("tasks_dead", "0x30 1x60"), fires=(31, 45), silent=(30, 47, 90)),
        "one more": _case(_of("tasks_dead", "7x30 8x60"), fires=(31, 45), silent=(30, 47, 90)),
        "the first sample of the TaskQueue has one": _case(
            _of("tasks_dead", "_x31 1x60"), fires=(31, 45), silent=(30, 47, 90)
        ),
        "replayed, and one more": _case(
            _of("tasks_dead", "9x29 0x3 1x60"), fires=(34, 45), silent=(29, 33, 50, 90)
        ),
        "fewer": _case(_of("tasks_dead", "9x30 4x60"), silent=(31, 40, 90)),
        "the same after the operator's pod was replaced": _case(
            _of("tasks_dead", "9x30 stale"),
            _of("tasks_dead", "_x32 9x60", pod="b"),
            silent=(30, 31, 33, 47, 90),
        ),
        "one more while the operator's pod was replaced": _case(
            _of("tasks_dead", "9x30 stale"),
            _of("tasks_dead", "_x32 10x60", pod="b"),
            fires=(33, 45),
            silent=(30, 31, 50, 90),
        ),
        "one more while Redis was away for half an hour": _case(
            _of("tasks_dead", "9x30 _x30 10x30"), fires=(61, 70), silent=(30, 45, 80, 90)
        ),
        "the same after Redis was away for half an hour": _case(
            _of("tasks_dead", "9x30 _x30 9x30"), silent=(30, 45, 61, 70, 90)
        ),
        "another release's": _case(_of("tasks_dead", "0x9 3x60", job="other"), silent=(11, 60)),
    },
    "IdenttqueueRoundsFail": {
        "each round fails": _case(
            _of("round_failures_total", "0+4x60"), fires=(20, 60), silent=(2, 14)
        ),
        "none": _case(_of("round_failures_total", "3x60"), silent=(20, 60)),
        "one now and then": _case(_of("round_failures_total", "0+1x60"), silent=(20, 60)),
        "ten minutes of the API server's absence": _case(
            _of("round_failures_total", "0+4x10 40x60"), silent=(10, 20, 60)
        ),
        "another namespace's operator": _case(
            _of("round_failures_total", "0+4x60", namespace="elsewhere"), silent=(20, 60)
        ),
    },
}

CASES |= {
    "IdenttqueueJobFails": {
        "half of the attempts fail, on two pods": _case(
            _ended("succeeded", "0+5x60"),
            _ended("failed", "0+4x60"),
            _ended("retried", "0+1x60", pod="b"),
            fires=(20, 60),
            silent=(3,),
            value="50%",
            labels=_JOB,
        ),
        "one of ten": _case(
            _ended("succeeded", "0+9x60"), _ended("failed", "0+1x60"), silent=(30,)
        ),
        "all, but these are few": _case(_ended("failed", "0x20 3x60"), silent=(25, 30)),
        "cancelled ones are no failures": _case(
            _ended("succeeded", "0+1x60"), _ended("cancelled", "0+9x60"), silent=(20, 60)
        ),
        "it was mended": _case(
            _ended("succeeded", "0+5x90"),
            _ended("failed", "0+5x20 100x70"),
            fires=(20,),
            silent=(50, 90),
            value="50%",
            labels=_JOB,
        ),
    },
    "IdenttqueueCronLate": {
        "a nightly schedule, the first firing of its worker": _case(
            *_late({"10": "0x60", "60": "0x60", "300": "0x20 1x40", "+Inf": "0x20 1x40"}),
            fires=(22, 30),
            silent=(20, 40),
            value="4m 48s",
            labels=_JOB,
        ),
        "in time": _case(
            *_late({"10": "0x20 1x40", "60": "0x20 1x40", "+Inf": "0x20 1x40"}), silent=(22, 30)
        ),
        "none fires": _case(*_late({"10": "0x60", "60": "0x60", "+Inf": "0x60"}), silent=(30,)),
    },
    "IdenttqueueWorkerReconnects": {
        "each minute": _case(
            _measured("reconnects_total", "0+1x60", _WORKER),
            fires=(30, 60),
            silent=(3,),
            labels=_WORKER,
        ),
        "a failover": _case(_measured("reconnects_total", "0x20 4x60", _WORKER), silent=(25, 60)),
        "a restart of Redis that took many attempts": _case(
            _measured("reconnects_total", "2x20 3x60", _WORKER), silent=(25, 60)
        ),
    },
    "IdenttqueueEventLoopBlocked": {
        "a job that computes for half a minute": _case(
            _measured("loop_blocked_seconds_total", "0x20 30x60", _WORKER),
            fires=(21, 23),
            silent=(20, 30),
            labels=_WORKER,
        ),
        "a second now and then": _case(
            _measured("loop_blocked_seconds_total", "0+1x60", _WORKER), silent=(30, 60)
        ),
    },
    "IdenttqueueExporterRedisUnreachable": {
        "away": _case(
            _measured("exporter_redis_up", "1x10 0x60", _EXPORTER),
            fires=(14, 60),
            silent=(10, 12),
            labels=_EXPORTER,
        ),
        "a failover": _case(
            _measured("exporter_redis_up", "1x10 0 1x60", _EXPORTER), silent=(12, 30)
        ),
    },
    "IdenttqueueQueueWithoutWorker": {
        "tasks and no worker": _case(
            _queue("tasks_queued", "0x9 7x60"),
            _queue("workers", "0x70"),
            _queue("paused", "0x70"),
            fires=(16, 60),
            silent=(8, 13),
            value="7",
            labels=_ONE_QUEUE,
        ),
        "the queue is paused": _case(
            _queue("tasks_queued", "7x60"),
            _queue("workers", "0x60"),
            _queue("paused", "1x60"),
            silent=(20, 60),
        ),
        "no task": _case(
            _queue("tasks_queued", "0x60"),
            _queue("workers", "0x60"),
            _queue("paused", "0x60"),
            silent=(20, 60),
        ),
        "a worker": _case(
            _queue("tasks_queued", "7x60"),
            _queue("workers", "1x60"),
            _queue("paused", "0x60"),
            silent=(20, 60),
        ),
        "scaled up from zero": _case(
            _queue("tasks_queued", "7x60"),
            _queue("workers", "0x3 1x60"),
            _queue("paused", "0x60"),
            silent=(4, 20),
        ),
    },
    "IdenttqueueQueueWaitsLong": {
        "a task waits on": _case(
            _queue("oldest_wait_seconds", "0+60x60"),
            _queue("paused", "0x60"),
            fires=(17,),
            silent=(10, 15),
            value="17m 0s",
            labels=_ONE_QUEUE,
        ),
        "the queue is paused": _case(
            _queue("oldest_wait_seconds", "0+60x60"), _queue("paused", "1x60"), silent=(17, 60)
        ),
        "each waits a little": _case(_queue("oldest_wait_seconds", "600x60"), silent=(10, 60)),
    },
    "IdenttqueueQueueNewDeadLetters": {
        "none": _case(_queue("tasks_dead", "0x90"), silent=(0, 5, 60)),
        "one more": _case(
            _queue("tasks_dead", "7x30 8x60"),
            fires=(31, 45),
            silent=(30, 47, 90),
            labels=_ONE_QUEUE,
        ),
        "the same from an exporter that was started anew": _case(
            _queue("tasks_dead", "9x30 stale", "e"),
            _queue("tasks_dead", "_x32 9x60", "f"),
            silent=(30, 31, 33, 47, 90),
        ),
    },
}


@cache
def rules() -> dict[str, helm.Object]:
    """The alerts as the chart renders them, by name."""
    arguments = ("--set", "metrics.prometheusRule.enabled=true", "--set", "crds.enabled=false")
    (rule,) = helm.of_kind(helm.objects(*arguments), "PrometheusRule").values()
    groups = rule["spec"]["groups"]
    return {each["alert"]: each for group in groups for each in group["rules"]}


@cache
def promtool() -> str:
    """Path of promtool, which is built where none is found."""
    return helm.tool("promtool")


def check(folder: Path, test: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run `promtool test rules` on the chart's alerts."""
    groups = {"groups": [{"name": "chart", "rules": list(rules().values())}]}
    (folder / "rules.yaml").write_text(yaml.safe_dump(groups))
    everything = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yaml").write_text(yaml.safe_dump(everything, sort_keys=False))
    return subprocess.run(
        [promtool(), "test", "rules", "test.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def firing(name: str, case: Case) -> dict[str, Any]:
    """The alert as it must be, its text filled in."""
    rule = rules()[name]
    own = {} if "namespace" in rule["labels"] else {"namespace": NAMESPACE, "taskqueue": QUEUE}
    labels = rule["labels"] | (own if case.labels is None else case.labels)
    words = {f"{{{{ $labels.{key} }}}}": text for key, text in labels.items()}

    def filled(text: str) -> str:
        for word, meaning in words.items():
            text = text.replace(word, meaning)
        return re.sub(r"\{\{ \$value[^}]*\}\}", case.value, text)

    annotations = {key: filled(text) for key, text in rule["annotations"].items()}
    return {"exp_labels": labels, "exp_annotations": annotations}


@pytest.mark.parametrize(
    ("name", "course"), [(name, course) for name, courses in CASES.items() for course in courses]
)
def test_an_alert_fires_when_it_must_and_only_then(tmp_path: Path, name: str, course: str) -> None:
    case = CASES[name][course]
    expected = [(minute, [firing(name, case)]) for minute in case.fires]
    expected += [(minute, []) for minute in case.silent]
    test = {
        "interval": "1m",
        "input_series": [{"series": s, "values": values} for s, values in case.series.items()],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": alerts}
            for minute, alerts in expected
        ],
    }
    result = check(tmp_path, test)
    assert result.returncode == 0, result.stdout + result.stderr


def test_each_alert_has_cases_in_which_it_fires_and_is_silent() -> None:
    assert set(CASES) == set(rules())
    for name, courses in CASES.items():
        assert any(case.fires for case in courses.values()), name
        assert any(case.silent and not case.fires for case in courses.values()), name


def test_a_wrong_expectation_is_found(tmp_path: Path) -> None:
    """Show that promtool would tell: the other tests rest on it."""
    name = "IdenttqueueNotReady"
    test = {
        "interval": "1m",
        "input_series": [],
        "alert_rule_test": [
            {"eval_time": "20m", "alertname": name, "exp_alerts": [firing(name, Case({}))]}
        ],
    }
    assert check(tmp_path, test).returncode != 0


def test_each_alert_says_where_and_how_grave_and_leads_to_its_runbook() -> None:
    sections = {
        re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-"): title
        for title in re.findall(r"^## (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    }
    for name, rule in rules().items():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        tells_namespace = re.search(
            r"by \(namespace, (taskqueue|queue|pod|instance)\b", rule["expr"]
        )
        assert tells_namespace or rule["labels"]["namespace"] == "queues", name
        page, anchor = rule["annotations"]["runbook_url"].split("#")
        assert page == RUNBOOK.relative_to(helm.ROOT).as_posix()
        assert sections.pop(anchor) == name
    assert not sections, "sections of alerts that do not exist"


def test_the_runbook_may_be_published_anywhere() -> None:
    url = "https://wiki.example.com/alerts"
    arguments = ("metrics.prometheusRule.enabled=true", f"metrics.prometheusRule.runbookUrl={url}")
    (rule,) = helm.of_kind(
        helm.objects(*(word for value in arguments for word in ("--set", value))), "PrometheusRule"
    ).values()
    for each in (each for group in rule["spec"]["groups"] for each in group["rules"]):
        assert each["annotations"]["runbook_url"] == f"{url}#{each['alert'].lower()}"


def test_each_metric_that_an_alert_or_a_page_names_is_there() -> None:
    """Those of docs/metrics.md are compared with real processes, by their tests."""
    real = documented("Of the operator") | documented("Of a worker") | documented("Of the exporter")
    assert {name: file for name, file in named().items() if name not in real} == {}
    for name, rule in rules().items():
        used = re.findall(r"identtqueue_\w+", rule["expr"].replace("_bucket", ""))
        assert used, name
        assert set(used) <= set(real), name
        from_target = {"namespace", "pod", "instance", "le"}
        for labels in re.findall(r"by \(([^)]*)\)", rule["expr"]):
            own = set(labels.split(", ")) - from_target
            assert all(own <= real[metric] for metric in used), name
        if "by (namespace, taskqueue)" in rule["expr"]:
            assert all({"namespace", "taskqueue"} <= real[metric] for metric in used), name
