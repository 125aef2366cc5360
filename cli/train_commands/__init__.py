"""The commands of `rsgeo-train`, one per file."""
