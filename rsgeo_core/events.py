"""What a run tells while it runs: typed events, and the token that cancels it.

The same events feed the progress bar, `--json` lines and the plugin's worker.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    def line(self, scene: str | None = None) -> str:
        """The event as one line of JSON, with the scene that it belongs to where there are several."""
        named = {} if scene is None else {"scene": scene}
        return json.dumps({**self.model_dump(mode="json", exclude_none=True), **named}, ensure_ascii=False)


class Hello(_Event):
    """Who speaks: versions, device and process."""

    type: Literal["hello"] = "hello"
    protocol: int = 1
    rsgeo: str
    python: str
    onnxruntime: str
    providers: list[str]
    device: str
    pid: int


class Stage(_Event):
    """A stage begins; weight is its share of the whole run, 0..1."""

    type: Literal["stage"] = "stage"
    name: str
    index: int
    count: int
    weight: float


class Progress(_Event):
    """How far the stage is; `note` is what else is worth a glance, such as the loss."""

    type: Literal["progress"] = "progress"
    done: float
    total: float
    unit: str
    eta_s: float | None = None
    note: str | None = None


class Log(_Event):
    """Something worth knowing: which model was chosen, how bands were matched."""

    type: Literal["log"] = "log"
    level: Literal["debug", "info"] = "info"
    text: str


class Warn(_Event):
    """Something the user should look at; the run goes on."""

    type: Literal["warning"] = "warning"
    code: str
    text: str


class WrittenFile(BaseModel):
    """A file that the run wrote."""

    role: str
    path: str
    kind: str
    classes: list[str] | None = None
    nodata: float | None = None
    bands: int | None = None


class Result(_Event):
    """The run is done; `was_finished`: --resume found the map as it is, and the figures are those of its run."""

    type: Literal["result"] = "result"
    was_finished: bool = False
    outputs: list[WrittenFile]
    stats: dict[str, Any]
    provenance: dict[str, Any]


class Failure(_Event):
    """The run failed."""

    type: Literal["error"] = "error"
    code: str
    text: str
    hint: str = ""
    traceback: str | None = None


class CancelledRun(_Event):
    """The run was cancelled."""

    type: Literal["cancelled"] = "cancelled"


class Summary(_Event):
    """All scenes of a batch are through."""

    type: Literal["summary"] = "summary"
    scenes: int
    failed: list[str]


Event = Hello | Stage | Progress | Log | Warn | Result | Failure | CancelledRun | Summary
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""


class CancelToken:
    """A flag that one thread raises and every stage of a run looks at."""

    def __init__(self) -> None:
        self._flag = threading.Event()
        self._actions: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Ask the run to stop; safe from any thread and from signal handlers, any number of times."""
        self._flag.set()
        for action in list(self._actions):
            action()

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked the run to stop."""
        return self._flag.is_set()

    def on_cancel(self, action: Callable[[], None]) -> None:
        """Have `action` called on cancelling: at once if that has happened already."""
        with self._lock:
            self._actions.append(action)
        if self.is_cancelled:
            action()
