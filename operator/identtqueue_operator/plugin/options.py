"""The options that all commands share: those of kubectl, and the form of the output."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

import click

from identtqueue_operator.plugin.kubectl import Kubectl

F = TypeVar("F", bound=Callable[..., Any])

PASSED_ON: Final = ("kubeconfig", "context", "cluster", "user")
"""Options of kubectl that are passed on to it, with their values."""


def cluster_options(*, everywhere: bool = False) -> Callable[[F], F]:
    """Give a command the options of kubectl; it gets a `Kubectl` as its first argument.

    Args:
        everywhere: whether it has `--all-namespaces`.
    """

    def decorate(command: F) -> F:
        @wraps(command)
        def body(*args: Any, **kwargs: Any) -> Any:
            flags = [
                word
                for name in PASSED_ON
                if (value := kwargs.pop(name))
                for word in (f"--{name}", value)
            ]
            kubectl = Kubectl(
                kwargs.pop("namespace") or "",
                all_namespaces=kwargs.pop("all_namespaces", False),
                flags=flags,
            )
            return command(kubectl, *args, **kwargs)

        options = [
            click.option("-n", "--namespace", help="Namespace of the TaskQueue."),
            click.option("--kubeconfig", help="Path of the kubeconfig."),
            click.option("--context", help="Context of the kubeconfig."),
            click.option("--cluster", help="Cluster of the kubeconfig."),
            click.option("--user", help="User of the kubeconfig."),
        ]
        if everywhere:
            text = "TaskQueues of all namespaces."
            options.append(click.option("-A", "--all-namespaces", is_flag=True, help=text))
        decorated: Any = body
        for option in reversed(options):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def json_option(command: F) -> F:
    """Give a command `-o json`, as the argument `as_json`."""
    return click.option(
        "-o",
        "--output",
        "as_json",
        type=click.Choice(["json"]),
        callback=lambda _context, _option, value: value == "json",
        help="Form of the output; without it, text for people.",
    )(command)


def account_option(command: F) -> F:
    """Give a command `--service-account`: whose token the operator gets."""
    return click.option(
        "--service-account",
        default="",
        metavar="NAME",
        help="Use a token of this ServiceAccount of the namespace, instead of your kubeconfig's.",
    )(command)
