"""Training, evaluation and export of remote-sensing models. May import rsgeo_core; is imported by nothing but the commands."""
