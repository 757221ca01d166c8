"""`python -m raftlog.mainjob`: options, a cluster, the job, the summary, the exit code."""

import asyncio
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Never

import click
import msgspec
from rich.console import Console

from raftlog.clock import SystemClock
from raftlog.cluster import ClusterFailed, LocalCluster
from raftlog.mainjob.corpus import Corpus, pieces, read, site_packages, standard_library
from raftlog.mainjob.display import shown, stderr_console, summary_table
from raftlog.mainjob.job import Job, Plan
from raftlog.mainjob.keep import KeepFailed, instructions, keep
from raftlog.mainjob.local import LocalNodes
from raftlog.mainjob.replicated import open_store
from raftlog.mainjob.scene import Scene
from raftlog.mainjob.summary import FEWEST_KEYS, Summary, as_json

DEFAULT_KEYS = 6_000
_EXPECTED = (ClusterFailed, KeepFailed, TimeoutError)
"""What the world does to a run: the sentence in it is all there is to say."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--keep", "keep_up", is_flag=True, help="Leave the cluster up and print commands to play with it."
)
@click.option(
    "--json", "json_wanted", is_flag=True, help="Print the summary as one JSON document on standard output."
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the nodes keep their data: empty or missing; it stays.  [default: a temporary one]",
)
@click.option(
    "--keys",
    type=click.IntRange(FEWEST_KEYS, 1_000_000),
    default=DEFAULT_KEYS,
    show_default=True,
    help="At least so many: after the library's files come those of installed packages, then pieces of files.",
)
@click.option(
    "--callers", type=click.IntRange(1, 10_000), default=256, show_default=True, help="Concurrent calls."
)
def main(keep_up: bool, json_wanted: bool, directory: Path | None, keys: int, callers: int) -> None:
    """Three nodes index the running Python's own files, lose their leader to SIGKILL, and lose no write.

    Exit code 0: every condition of the summary holds. 1: one does not. 2: bad options. 130: interrupted.
    """
    console = stderr_console()
    if directory is not None and directory.exists() and any(directory.iterdir()):
        raise click.UsageError(f"{directory} is not empty: the main job wants a directory of its own")
    home = directory or Path(tempfile.mkdtemp(prefix="raftlog-"))
    try:
        summary = asyncio.run(_run(home, console, keys, callers))
        console.print(summary_table(summary))
        _print_json(as_json(summary), wanted=json_wanted)
        if keep_up:
            supervisor = asyncio.run(keep(home))
            console.print(instructions(home, supervisor.pid, "stdlib/abc.py"), soft_wrap=True)
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("interrupted; the nodes are stopped", style="red")
        _leave(130, home, console, stays=directory is not None)
    except (*_EXPECTED, BaseExceptionGroup) as error:
        sentence = _sentence(error)
        console.print(f"The main job failed: {sentence}", style="red")
        _print_json(msgspec.json.encode({"ok": False, "error": sentence}).decode(), wanted=json_wanted)
        _leave(1, home, console, stays=True)
    _leave(0 if summary.ok else 1, home, console, stays=keep_up or directory is not None or not summary.ok)


async def _run(home: Path, console: Console, keys: int, callers: int) -> Summary:
    task = asyncio.current_task()
    assert task is not None, "runs as a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with shown(console) as scene:
        scene.say(f"three nodes start on this machine; they keep their data in {home}")
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_read_corpus(scene, keys))
            async with LocalCluster(home, nodes=3, on_event=scene.say) as cluster:
                corpus = await reading
                scene.begin("waiting for a leader")
                await cluster.until_serving()
                plan = Plan(callers=callers)
                return await Job(LocalNodes(cluster), open_store, corpus, scene, SystemClock(), plan).run()


async def _read_corpus(scene: Scene, keys: int) -> Corpus:
    """Read the files, beside the event loop."""

    def work() -> Corpus:
        chosen = pieces(standard_library(), site_packages(), keys)
        scene.begin("reading files", len(chosen))
        return read(chosen, scene.advance)

    corpus = await asyncio.to_thread(work)
    sources = ", ".join(f"{count:,} from {source}" for source, count in corpus.sources.items())
    scene.say(
        f"the corpus: {len(corpus.records):,} keys ({sources}), {corpus.bytes_read / 1e6:,.0f} MB of files"
    )
    return corpus


def _print_json(document: str, *, wanted: bool) -> None:
    if wanted:
        click.echo(document)


def _sentence(error: BaseException) -> str:
    """What the first cause says; a defect shows its type."""
    while isinstance(error, BaseExceptionGroup):
        expected = [leaf for leaf in error.exceptions if isinstance(leaf, _EXPECTED)]
        error = (expected or error.exceptions)[0]
    return str(error) if isinstance(error, _EXPECTED) else f"{type(error).__name__}: {error} (a defect)"


def _leave(code: int, home: Path, console: Console, *, stays: bool) -> Never:
    """End with an exit code; a temporary directory goes unless somebody may want to look into it."""
    if stays:
        console.print(f"The nodes' data and logs are in {home}")
    else:
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
