"""The commands `rsgeo` and `rsgeo-train`: one command per file, no logic."""
