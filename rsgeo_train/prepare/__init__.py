"""Datasets on disk to one catalog, one adapter per file."""
