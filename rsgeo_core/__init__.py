"""Inference over whole scenes and the maps it writes.

from rsgeo_core import infer
result = infer("scene.tif", "map.tif")
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["CancelToken", "InferRequest", "__version__", "infer"]


def __getattr__(name: str) -> Any:
    """Load the public names when they are used, so that importing a part does not load the inference engine."""
    if name == "infer":
        from rsgeo_core.inference import infer

        return infer
    if name == "InferRequest":
        from rsgeo_core.request import InferRequest

        return InferRequest
    if name == "CancelToken":
        from rsgeo_core.events import CancelToken

        return CancelToken
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
