"""Several processes that train together on one machine: started, listened to, ended. Knows no networks.

Started by `torchrun` instead, every process runs the whole command and this module only says which one it is.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from rsgeo_core.errors import RsgeoError
from rsgeo_core.events import CancelToken
from rsgeo_train.errors import ProcessError
from rsgeo_train.keeper import Audience

Rank = Callable[..., None]


def is_launched() -> bool:
    """Whether something else, such as torchrun, started the processes."""
    return "LOCAL_RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_first() -> bool:
    """Whether this is the process that writes and speaks."""
    return int(os.environ.get("RANK", "0")) == 0 if is_launched() else True


def run_together(
    function: Rank, arguments: tuple[Any, ...], count: int, audience: Audience, cancel: CancelToken
) -> None:
    """Run `function(*arguments, audience)` in processes of their own, and wait.

    What the first one tells reaches `audience` here; a cancelled token reaches all of them.

    Args:
        function: a function of a module, which the processes import.
        arguments: what it gets first; must be picklable.
        count: processes.
        audience: who is told.
        cancel: ends the run after a step.

    Raises:
        RsgeoError: the first that one of the processes raised.
        ProcessError: one of them ended otherwise.
    """
    context = mp.get_context("spawn")
    news, stop = context.SimpleQueue(), context.Event()
    cancel.on_cancel(stop.set)
    told = threading.Thread(target=_listen, args=(news, audience, failures := []), daemon=True)
    told.start()
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(count)}
    ranks = [
        context.Process(target=_rank, args=(rank, place, function, arguments, news, stop), daemon=False)
        for rank in range(count)
    ]
    try:
        for process in ranks:
            process.start()
        _wait(ranks)
    finally:
        for process in ranks:
            if process.is_alive():
                process.terminate()
                process.join(5)
                process.kill()
                process.join()
        news.put(None)
        told.join()
        news.close()
    if failures:
        raise failures[0]
    broken = [(rank, process.exitcode) for rank, process in enumerate(ranks) if process.exitcode]
    if broken:
        rank, code = broken[0]
        raise ProcessError(
            f"Process {rank} of {count} ended with code {code}; its own words are above.",
            "Go on with --resume; with less memory: a smaller --set data.batch_size, or --set trainer.devices=1",
        )


def _wait(ranks: list[Any]) -> None:
    """Until all are done, or one has failed: the others would wait for it for ever."""
    while any(process.is_alive() for process in ranks):
        if any(process.exitcode for process in ranks):
            for process in ranks:
                process.join(2)  # all of them end by themselves when all of them found the failure
            return
        for process in ranks:
            process.join(0.05)


def _listen(news: Any, audience: Audience, failures: list[RsgeoError]) -> None:
    while (message := news.get()) is not None:
        kind, content = message
        if kind == "line":
            audience.tell(content)
        elif kind == "event":
            audience.on_event(content)
        else:
            failures.append(content)


def _rank(rank: int, place: dict[str, str], function: Rank, arguments: tuple[Any, ...], news: Any, stop: Any) -> None:
    """One of the processes; set up as torchrun does, which the training loop knows."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent hears them, and says when to stop
    parent = mp.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    own = {"RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": place["WORLD_SIZE"], "GROUP_RANK": 0}
    os.environ.update(place | {key: str(value) for key, value in own.items()})
    os.environ["TORCHELASTIC_RUN_ID"] = "rsgeo"

    def send(kind: str) -> Callable[[Any], None]:
        return lambda content: news.put((kind, content)) if rank == 0 else None

    try:
        function(*arguments, Audience(send("line"), send("event"), stop.is_set))
    except RsgeoError as error:
        news.put(("failure", error))
        os._exit(error.exit_code)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
