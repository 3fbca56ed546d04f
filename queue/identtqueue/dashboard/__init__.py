"""The dashboard: a window into the queues, in a browser.

`create_dashboard` makes an ASGI application, which runs by itself (`identtqueue dashboard`) or
mounted in another one. How a page plugs in is described in `pages`.

`application` puts the parts together. `board` is what all pages share: `reader` asks Redis, each
question once for everybody. `live` pushes what has changed. `access` knows who looks and who may
act. `templates` and `static` are what the browser gets, without a build step.
"""

from __future__ import annotations

try:
    from identtqueue.dashboard.access.basic import BasicAuth
    from identtqueue.dashboard.access.open import OpenToRead
    from identtqueue.dashboard.access.proxy import ProxyAuth
    from identtqueue.dashboard.access.user import Auth, NotAllowed, User, UserRole
    from identtqueue.dashboard.application import create_dashboard
except ModuleNotFoundError as error:  # pragma: no cover - only without the extra
    if error.name is None or error.name.startswith("identtqueue"):
        raise
    raise ModuleNotFoundError(
        f"the dashboard needs the package {error.name}: pip install 'identtqueue[dashboard]'",
        name=error.name,
    ) from None

__all__ = [
    "Auth",
    "BasicAuth",
    "NotAllowed",
    "OpenToRead",
    "ProxyAuth",
    "User",
    "UserRole",
    "create_dashboard",
]
