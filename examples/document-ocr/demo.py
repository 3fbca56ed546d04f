#!/usr/bin/env python3
"""The main job: documents go in, text comes out, and a worker is killed in the middle of a page.

It plays on this machine, with processes for workers and the embedded server (`make demo`), or with
`--cluster` on the cluster that KUBECONFIG names (`make demo-cluster`).

The exit code is 0 only if every page came back and was read correctly, at least one page ran
twice, no task was lost by Redis' own counters, and the workers were removed again.
"""

import argparse
import asyncio
import sys
import time
import traceback

from narrator import plot, stage
from narrator.narrate import Narrator
from narrator.observer import NotSeen
from narrator.stage import Demo
from narrator.world import CommandFailed, World

from identtqueue.errors import IdenttqueueError

PAGES = 20
"""Pages that are read on one machine, which has fewer cores than a cluster."""


def main() -> int:
    """Read the options, play, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cluster", action="store_true", help="play on the cluster of KUBECONFIG")
    parser.add_argument("--pages", type=int, default=PAGES, help="how many, on this machine")
    parser.add_argument("--namespace", default="identtqueue-demo", help="made anew for the run")
    parser.add_argument("--keep", action="store_true", help="leave what was set up for a look")
    parser.add_argument(
        "--skip-images", action="store_true", help="the cluster can pull the images already"
    )
    options = parser.parse_args()
    return asyncio.run(play(Demo(Narrator(), _world(options)), keep=options.keep))


def _world(options: argparse.Namespace) -> World:
    """Choose the place. Each one imports only what it needs."""
    if options.cluster:
        from narrator.cluster_world import ClusterWorld

        return ClusterWorld(options.namespace, skip_images=options.skip_images)
    from narrator.local_world import LocalWorld

    return LocalWorld(options.pages)


async def play(demo: Demo, *, keep: bool) -> int:
    """Play all chapters, clean up, and return the exit code."""
    tell, world = demo.tell, demo.world
    try:
        tell.chapter("Set-up")
        await world.set_up(tell)
        await world.show_queue(tell)
        async with stage.open_scene(demo) as scene:
            await plot.start_producer(demo, scene)
            await plot.scale_up(demo, scene)
            await plot.first_page(demo, scene)
            await plot.kill_a_worker(demo, scene)
            await plot.read_all(demo, scene)
            await plot.scale_to_zero(demo, scene)
            await plot.balance(demo, scene)
    except Exception as error:
        # Whatever it was, the world's own messages say most, and the clean-up deletes them.
        if not isinstance(error, (CommandFailed, NotSeen, IdenttqueueError)):
            traceback.print_exc()
        tell.say(f"FAILED: {error}")
        await world.show_everything(tell)
        demo.faults.append(f"{type(error).__name__}: {error}")
    finally:
        tell.chapter("Clean-up")
        await world.clean_up(tell, keep=keep)
    tell.chapter("In figures")
    demo.figures.append(("in all", f"{time.time() - tell.started_at:.0f} s", ""))
    tell.table(demo.figures)
    if demo.faults:
        tell.say(f"The demonstration FAILED: {'; '.join(demo.faults)}")
        return 1
    tell.say("The demonstration succeeded: nothing was lost, everything was read.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
