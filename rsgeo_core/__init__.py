"""Inference over whole scenes and the maps it writes."""

__version__ = "0.1.0"
