"""`identtqueue dashboard`: the window into the queues, in a browser."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from identtqueue import logs
from identtqueue.cli.exits import errors_in_one_line
from identtqueue.errors import InvalidInput

if TYPE_CHECKING:
    from identtqueue.app import App
    from identtqueue.dashboard import Auth

logger = logging.getLogger(__name__)

_PACKAGES: Final = ("jinja2", "starlette", "uvicorn")
_OWN_MACHINE: Final = ("127.0.0.1", "::1", "localhost")


@click.command()
@click.argument("target", metavar="[MODULE:APP]", required=False)
@click.option(
    "--host",
    default="127.0.0.1",
    envvar="IDENTTQUEUE_DASHBOARD_HOST",
    show_envvar=True,
    help="Address to listen on. Another one than this machine's needs --users, --proxy or --open.",
)
@click.option(
    "--port",
    default=8088,
    type=click.IntRange(0, 65_535),
    envvar="IDENTTQUEUE_DASHBOARD_PORT",
    show_envvar=True,
    help="Port to listen on.",
)
@click.option(
    "--title",
    default="",
    envvar="IDENTTQUEUE_DASHBOARD_TITLE",
    show_envvar=True,
    help="Name of this dashboard, shown on each page: production.",
)
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME",
    help="Show this queue even before it was used. Repeatable.",
)
@click.option(
    "--users",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="IDENTTQUEUE_DASHBOARD_USERS",
    show_envvar=True,
    help="Log in with a name and a password of this file, whose lines `identtqueue dashboard-user` "
    "prints.",
)
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    metavar="NETWORK",
    help="Trust the user's name that a proxy at this address or network sends. Repeatable.",
)
@click.option(
    "--proxy-header",
    default="X-Forwarded-User",
    help="Header in which the proxy names the user.",
)
@click.option(
    "--proxy-groups-header",
    default="X-Forwarded-Groups",
    help="Header in which the proxy names the user's groups, separated by commas.",
)
@click.option(
    "--operator",
    "operators",
    multiple=True,
    metavar="NAME",
    help="With --proxy: a user who may act. Others may look. Repeatable.",
)
@click.option(
    "--operator-group",
    "operator_groups",
    multiple=True,
    metavar="GROUP",
    help="With --proxy: a group whose members may act. Repeatable.",
)
@click.option(
    "--open",
    "is_open",
    is_flag=True,
    help="Let everybody who reaches the port look, without a login. Nobody can act.",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Name that browsers may call the dashboard by. Repeatable. Default: any; on this "
    "machine's own address only its own names.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="Origin that browsers reach the dashboard by, where a proxy changes the host: "
    "https://queues.example. Repeatable.",
)
@click.option(
    "--root-path",
    default="",
    envvar="IDENTTQUEUE_DASHBOARD_ROOT_PATH",
    show_envvar=True,
    metavar="PATH",
    help="Path below which browsers see the dashboard, such as /queues. A proxy must pass it on "
    "unchanged.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    help="Kubernetes namespace whose TaskQueues are shown; * for all. Repeatable. Default: the "
    "pod's own, or that of the kubeconfig's context.",
)
@click.option(
    "--tls-cert",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Serve HTTPS with this certificate (PEM).",
)
@click.option(
    "--tls-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Private key of the certificate (PEM).",
)
@click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Import this module after the app's module. Repeatable.",
)
def dashboard(target: str | None, **options: Any) -> None:
    """Serve the dashboard.

    It shows all queues of a Redis, and with a login it acts on them. With MODULE:APP it connects
    as that app does, and hides what that app hides.

    Processes that share the requests of one dashboard need the same secret of 16 bytes or more in
    IDENTTQUEUE_DASHBOARD_SECRET.
    """
    _check_packages()
    logs.set_up("INFO", click.get_current_context().find_root().params["log_format"])
    with errors_in_one_line():
        _serve(target, **options)


def _serve(target: str | None, **options: Any) -> None:
    from identtqueue.dashboard import create_dashboard  # noqa: PLC0415 - an extra
    from identtqueue.dashboard.serving import serve  # noqa: PLC0415
    from identtqueue.dashboard.task_queues import find_source  # noqa: PLC0415

    host, port = options["host"], options["port"]
    auth = _auth(host, options)
    app = _app(target, options["modules"])
    made = create_dashboard(
        click.get_current_context().obj if app is None else app.redis_settings,
        auth=auth,
        title=options["title"],
        queues=options["queues"],
        secret=os.environ.get("IDENTTQUEUE_DASHBOARD_SECRET") or None,
        origins=options["origins"],
        hosts=_hosts(host, options["hosts"]),
        task_queues=find_source(options["namespaces"]),
        redact=None if app is None else app.redact,
    )
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if options["tls_cert"] else "http"
    logger.info("the dashboard is at %s://%s:%d%s/", scheme, shown, port, options["root_path"])
    serve(
        made,
        host,
        port,
        root_path=options["root_path"].rstrip("/"),
        certificate=options["tls_cert"],
        key=options["tls_key"],
    )


def _check_packages() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"identtqueue dashboard needs {', '.join(missing)}: "
            "pip install 'identtqueue[dashboard]'"
        )


def _app(target: str | None, modules: Sequence[str]) -> App | None:
    if target is None:
        return None
    from identtqueue.cli.launch import load_app  # noqa: PLC0415 - as in `session.with_admin`

    return load_app(target, modules)


def _auth(host: str, options: dict[str, Any]) -> Auth:
    """Return the way of authentication that the options ask for.

    Raises:
        InvalidInput: they ask for several, or for none on an address that others reach.
    """
    from identtqueue.dashboard import BasicAuth, OpenToRead, ProxyAuth  # noqa: PLC0415

    users, proxies = options["users"], options["proxies"]
    if (users is not None) + bool(proxies) + options["is_open"] > 1:
        raise InvalidInput("--users, --proxy and --open exclude each other")
    if users is not None:
        return BasicAuth(users)
    if proxies:
        return ProxyAuth(
            proxies,
            header=options["proxy_header"],
            groups_header=options["proxy_groups_header"] or None,
            operators=options["operators"],
            operator_groups=options["operator_groups"],
        )
    if host not in _OWN_MACHINE and not options["is_open"]:
        raise InvalidInput(
            f"--host {host}: others reach this address. Say who may look: --users FILE, --proxy "
            "NETWORK, or --open for everybody"
        )
    return OpenToRead()


def _hosts(host: str, allowed: Sequence[str]) -> Sequence[str] | None:
    if allowed:
        return allowed
    return (*_OWN_MACHINE, "[::1]") if host in _OWN_MACHINE else None


@click.command("dashboard-user")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator"]),
    default="viewer",
    help="viewer: look. operator: look and act.",
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def dashboard_user(name: str, role: str, password_stdin: bool) -> None:
    """Print a line for the file of `identtqueue dashboard --users`, with a hashed password."""
    _check_packages()
    from identtqueue.dashboard.access.passwords import PasswordHash  # noqa: PLC0415

    if not name or ":" in name or not name.isprintable():
        raise click.ClickException("a name has no colon and no control characters")
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if len(password) < 8:
        raise click.ClickException("a password has 8 characters or more")
    click.echo(f"{name}:{role}:{PasswordHash.of(password)}")
