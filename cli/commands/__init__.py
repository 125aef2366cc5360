"""The commands of `rsgeo`, one per file."""
