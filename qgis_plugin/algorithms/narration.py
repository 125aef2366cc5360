"""What the worker says, as Processing shows it: one true progress over all stages, time left, notes and warnings."""

from __future__ import annotations

import time
from typing import Callable

from qgis.core import QgsProcessingFeedback

from ..translation import tr

_TOLD_EVERY_S = 5.0


class Narration:
    """Listens to a worker's messages and tells them to a feedback.

    Args:
        feedback: Processing's.
        words: puts what the worker says into the words of the algorithm.
    """

    def __init__(self, feedback: QgsProcessingFeedback, words: Callable[[str], str] = str) -> None:
        self._feedback, self._words = feedback, words
        self._before = self._weight = 0.0
        self._told = 0.0
        self._device = ""

    def __call__(self, message: dict) -> None:
        """Tell one message."""
        hear = getattr(self._feedback, "hear", None)
        if hear is not None:  # a dialog's feedback wants the stages and the figures as they are
            hear(message)
        kind = message["type"]
        if kind == "stage":
            self._before, self._weight = self._before + self._weight, float(message.get("weight", 0.0))
        elif kind == "progress":
            self._progress(message)
        elif kind == "log" and message.get("level") != "debug":
            self._feedback.pushInfo(self._words(message["text"]))
        elif kind == "warning":
            self._feedback.pushWarning(self._words(message["text"]))
        elif kind == "hello":
            self._hello(message)
        elif kind == "result":
            self._feedback.setProgress(100.0)
            self._closing(message.get("stats", {}))

    def _hello(self, message: dict) -> None:
        device = message.get("device", "")
        if not self._device:
            self._feedback.pushDebugInfo(
                f"rsgeo {message.get('rsgeo')}, Python {message.get('python')}, onnxruntime "
                f"{message.get('onnxruntime')} ({', '.join(message.get('providers', []))})"
            )
        elif device:  # the run's own greeting: what really runs
            self._feedback.pushInfo(tr("Running on {device}.").format(device=device))
        self._device = device

    def _progress(self, message: dict) -> None:
        total = float(message.get("total") or 1.0)
        done = self._before + self._weight * min(1.0, float(message.get("done", 0.0)) / total)
        self._feedback.setProgress(100.0 * done)
        now, left = time.monotonic(), message.get("eta_s")
        if left is not None and now - self._told >= _TOLD_EVERY_S:
            self._told = now
            self._feedback.setProgressText(
                tr("{done:.1f} of {total:.1f} {unit}, {left:.0f} s left").format(
                    done=float(message["done"]), total=total, unit=message.get("unit", ""), left=left
                )
            )

    def _closing(self, stats: dict) -> None:
        if "megapixels_per_second" not in stats:
            return
        self._feedback.pushInfo(
            tr("{seconds:.1f} s, {speed:.2f} megapixels per second on {device}.").format(
                seconds=stats["seconds"], speed=stats["megapixels_per_second"], device=stats["device"]
            )
        )
