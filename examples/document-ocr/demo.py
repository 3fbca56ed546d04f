#!/usr/bin/env python3
"""The main job on a real cluster: documents go in, text comes out, and a worker is killed.

Run it with `make demo`, or on any cluster that KUBECONFIG names:

    e2e/cluster/exec.sh .venv/bin/python examples/document-ocr/demo.py [--keep] [--skip-images]

The exit code is 0 only if every page came back and was read correctly, at least one page ran
twice, no task was lost by Redis' own counters, and the workers were removed again.
"""

import argparse
import asyncio
import sys
import time
import traceback

from narrator import plot, stage
from narrator.cluster import CommandFailed, Namespace
from narrator.fault import Killer
from narrator.narrate import Narrator
from narrator.observer import NotSeen
from narrator.stage import Demo

from identtqueue.errors import IdenttqueueError


def main() -> int:
    """Read the options, play, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--namespace", default="identtqueue-demo", help="made anew for the run")
    parser.add_argument("--keep", action="store_true", help="leave the namespace for a look")
    parser.add_argument(
        "--skip-images", action="store_true", help="the cluster can pull the images already"
    )
    options = parser.parse_args()
    space = Namespace(options.namespace)
    demo = Demo(Narrator(), space, Killer(Namespace(f"{options.namespace}-faults")))
    return asyncio.run(play(demo, skip_images=options.skip_images, keep=options.keep))


async def play(demo: Demo, *, skip_images: bool, keep: bool) -> int:
    """Play all chapters, clean up, and return the exit code."""
    try:
        await stage.set_up(demo, skip_images=skip_images)
        async with stage.open_scene(demo) as scene:
            await plot.start_producer(demo, scene)
            await plot.scale_up(demo, scene)
            await plot.first_page(demo, scene)
            await plot.kill_a_worker(demo, scene)
            await plot.read_all(demo, scene)
            await plot.scale_to_zero(demo, scene)
            await plot.balance(demo, scene)
    except Exception as error:
        # Whatever it was, the cluster's own messages say most, and the clean-up deletes them.
        if not isinstance(error, (CommandFailed, NotSeen, IdenttqueueError)):
            traceback.print_exc()
        demo.tell.say(f"FAILED: {error}")
        await stage.show_everything(demo)
        demo.faults.append(f"{type(error).__name__}: {error}")
    finally:
        await stage.clean_up(demo, keep=keep)
    demo.tell.chapter("In figures")
    demo.figures.append(("in all", f"{time.time() - demo.tell.started_at:.0f} s", ""))
    demo.tell.table(demo.figures)
    if demo.faults:
        demo.tell.say(f"The demonstration FAILED: {'; '.join(demo.faults)}")
        return 1
    demo.tell.say("The demonstration succeeded: nothing was lost, everything was read.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
