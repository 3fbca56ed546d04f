"""The pages, one module for each noun.

A module `pages/<noun>.py` has a constant `PAGES`. `ALL` below lists them in the order of the menu.
It has three things, all optional:

- `views`: live pages. A `View` names its path, its template and a function `read(board, visit)`,
  which returns what the template shows. Ask Redis through `board.reader.once(key, ask)`, so that
  any number of browsers costs one question. Each block that `View.live` names is pushed when it
  changes; in the template it stands inside an element with the id `live-<block>`. Such a block uses
  what `read` returned, and `links`, `visit`, `can_act`, `NOTHING` and the pieces `ui` of
  `parts.html`; nothing of the user or the browser. A table row with an id (`<tr id="…">`) is pushed
  alone when only it has changed.
- `routes`: other routes of Starlette, and those that change something, made by `acting.acting`. It
  checks the role, the origin and the token before it calls `do(request)`. Act with `request.admin`,
  which is audited under the user's name, and answer with `request.then(address, "3 tasks run
  again.")`.
- `navigation`: its entries in the menu.

Templates extend `base.html`, link by `links.to("<page>", name=value)`, and have no script and no
style inside: the browser refuses both. A button that acts needs no more than

    <button form="act" formaction="{{ links.to('queue.pause', queue=queue) }}">Pause</button>

because `base.html` has the form `act` with the token (only where `can_act`). Fields belong to it by
`form="act"` too. `data-confirm="…"` on a button asks first. Requests of htmx carry the token in a
header by themselves.
"""

from __future__ import annotations

from typing import Final

from identtqueue.dashboard.pages import (
    acts,
    audit,
    dead,
    overview,
    queue,
    series,
    task,
    task_queues,
    tasks,
    workers,
)
from identtqueue.dashboard.pages.noun import Pages

ALL: Final[tuple[Pages, ...]] = (
    overview.PAGES,
    queue.PAGES,
    series.PAGES,
    tasks.PAGES,
    task.PAGES,
    dead.PAGES,
    workers.PAGES,
    task_queues.PAGES,
    audit.PAGES,
    acts.PAGES,
)
