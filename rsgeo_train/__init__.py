"""Training, evaluation and export of remote-sensing models. Imports rsgeo_core; only commands import it."""
