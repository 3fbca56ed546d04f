"""`identtqueue enqueue`: enqueue one task by hand."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from identtqueue.cli.awaiting import show_result
from identtqueue.cli.display.values import show_json
from identtqueue.cli.options import json_option, moment, wait_options
from identtqueue.cli.session import with_client
from identtqueue.errors import InvalidInput, UnknownJob
from identtqueue.protocol.submission import Submission
from identtqueue.task import TaskOptions

if TYPE_CHECKING:
    from identtqueue.client.client import Client

ARGUMENT: Final = re.compile(r"([A-Za-z_]\w*)?(:?=)(.*)", re.DOTALL)
"""`NAME=TEXT`, `NAME:=JSON`, `=TEXT` or `:=JSON`. What does not match is a text by itself."""


@click.command()
@click.argument("queue")
@click.argument("job")
@click.option(
    "--arg",
    "words",
    multiple=True,
    metavar="[NAME=]TEXT | [NAME]:=JSON",
    help="An argument of the job: a text, or a JSON value behind ':='. Repeatable. A text that "
    "begins like NAME= and has no name is written =TEXT.",
)
@click.option(
    "--app",
    "target",
    metavar="MODULE:APP",
    help="Import this app, and convert and check the arguments as its job declares them.",
)
@click.option("--task-id", help="An id of your own. Default: a random one.")
@click.option(
    "--on-existing",
    type=click.Choice(["keep", "replace", "raise"]),
    help="What happens if the id is taken. Default: keep.",
)
@click.option("--delay-seconds", type=float, help="Start it so long from now, or later.")
@click.option("--at", type=moment, metavar="TIME", help="Start it at this time, or later.")
@click.option("--timeout-seconds", type=float, help="How long one attempt may run.")
@click.option("--max-retries", type=int, help="How often it runs again after a failure.")
@click.option("--expires-seconds", type=float, help="Drop it unless it starts within this time.")
@click.option("--unique-key", help="At most one unfinished task of the queue holds this key.")
@click.option("--unique-seconds", type=float, help="How long the key is held. Default: 24 h.")
@click.option("--result-ttl-seconds", type=float, help="How long the result is kept. Default: 1 h.")
@click.option("--tag", "tags", multiple=True, help="A tag to find it by. Repeatable.")
@wait_options
@json_option("with the id, and whether the task is new")
@with_client
async def enqueue(
    client: Client,
    /,
    queue: str,
    job: str,
    words: tuple[str, ...],
    target: str | None,
    wait: bool,
    wait_seconds: float | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Enqueue one task, and print its id. With --wait, print its result too.

    The job is called by its name, so this works without the code of the application.
    """
    options = {name: value for name, value in given.items() if value not in (None, ())}
    args, kwargs = read_arguments(words)
    submission = Submission(queue, job, args, kwargs, TaskOptions(**options))
    if target is not None:
        submission = _checked(submission, target)
    receipt = await client.submit(submission)
    is_awaited = wait or wait_seconds is not None
    if as_json and not is_awaited:
        show_json({"task_id": receipt.task_id, "created": receipt.created})
    elif not as_json:
        # What is awaited is the output then, so the id stands beside it.
        click.echo(receipt.task_id, err=is_awaited)
        if not receipt.created:
            click.echo("It existed already, and was left as it is.", err=True)
    if is_awaited:
        await show_result(client, receipt.task_id, wait_seconds, as_json=as_json)


def read_arguments(words: tuple[str, ...]) -> tuple[list[Any], dict[str, Any]]:
    """Read the values of `--arg`.

    Returns:
        The positional and the keyword arguments of the job.

    Raises:
        InvalidInput: a value is no JSON, or a name is given twice.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        match = ARGUMENT.fullmatch(word)
        name, sign, text = match.groups() if match else (None, "=", word)
        value = _json(word, text) if sign == ":=" else text
        if name is None:
            args.append(value)
        elif name in kwargs:
            raise InvalidInput(f"--arg {name}: it is given twice")
        else:
            kwargs[name] = value
    return args, kwargs


def _json(word: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        hint = "behind ':=' stands a JSON value, as in count:=3; a text is written name=text"
        raise InvalidInput(f"--arg {word!r}: {error}: {hint}") from None


def _checked(submission: Submission, target: str) -> Submission:
    """Convert the arguments to the types that the job declares, and check them by its signature.

    So a text becomes a number or a date where the job wants one.

    Raises:
        InvalidInput: the arguments do not fit.
        UnknownJob: the app has no such job.
    """
    from identtqueue.cli.launch import load_app  # noqa: PLC0415 - only `--app` needs these
    from identtqueue.protocol.conversion import conversions  # noqa: PLC0415

    app = load_app(target)
    job = app.jobs.get(submission.function_name)
    if job is None:
        raise UnknownJob(submission.function_name, list(app.jobs))
    known = conversions(job.name, job.argument_types())
    by_place = list(inspect.signature(job.function).parameters)[1:]

    def converted(name: str, value: Any) -> Any:
        try:
            return known[name].convert(value) if name in known else value
        except InvalidInput as error:
            raise InvalidInput(f"{job.name}: {name}: {error}") from None

    args = [
        converted(by_place[i] if i < len(by_place) else "", value)
        for i, value in enumerate(submission.args)
    ]
    kwargs = {name: converted(name, value) for name, value in submission.kwargs.items()}
    checked = job.call(*args, **kwargs).submission
    return msgspec.structs.replace(submission, args=checked.args, kwargs=checked.kwargs)
