"""What talks with the worker: protocol, process, interpreter. The standard library alone, so that it runs and is tested without QGIS."""
