"""A Flask service: views that enqueue, and views that wait."""

import os

from flask import Flask, Response, abort, jsonify, request
from tasks import app as queue
from tasks import count_words

from identtqueue import InvalidInput, ResultTimeout, TaskExpired, TaskFailed

# With `gunicorn --preload` this module is imported before the server forks. The connection that is
# opened here belongs to the parent: each worker process of gunicorn opens its own when it first
# enqueues.
queue.sync_client.connect()

service = Flask(__name__)


@service.post("/texts")
def place() -> tuple[Response, int]:
    """Accept the work and answer at once."""
    task = count_words.enqueue_sync(request.form["text"])
    return jsonify(id=task.task_id, process=os.getpid()), 202


@service.post("/texts/now")
def place_and_wait() -> Response:
    """Do the work while the caller waits. The thread is blocked, and others go on."""
    task = count_words.options(expires_seconds=10).enqueue_sync(request.form["text"])
    try:
        return jsonify(words=task.result(timeout_seconds=10), process=os.getpid())
    except (ResultTimeout, TaskExpired):
        task.cancel()
        abort(504, "try again later")
    except TaskFailed as error:
        abort(502, error.remote_message)


@service.get("/texts/<task_id>")
def show(task_id: str) -> Response:
    """Say how far the work is."""
    try:
        info = queue.sync_client.get_task(task_id)
    except InvalidInput:
        abort(404)
    if info is None:
        abort(404)
    return jsonify(state=info.state)
