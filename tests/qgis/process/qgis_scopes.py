"""Looks up names of QGIS in a real QGIS: which are not there, which are enums without their scope.

Reads from standard input a JSON list of [module, name, rest of the chain]; writes a list of messages, empty where all
is well. Run by the Python of QGIS.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys


def verdict(module: str, name: str, chain: list[str]) -> str:
    """What is wrong with a chain; empty if nothing is."""
    owner = importlib.import_module(module)
    path = module
    for attribute in [name, *chain]:
        if not hasattr(owner, attribute):
            return f"{path} has no {attribute}"
        found = getattr(owner, attribute)
        kind = type(found)
        is_flat = inspect.isclass(owner) and kind is not owner and getattr(owner, kind.__name__, None) is kind
        if is_flat:
            return f"{path}.{attribute}: write {path}.{kind.__name__}.{attribute}"
        if not inspect.isclass(found):
            return ""
        owner, path = found, attribute if path == module else f"{path}.{attribute}"
    return ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps([verdict(*chain) for chain in json.load(sys.stdin)]))
