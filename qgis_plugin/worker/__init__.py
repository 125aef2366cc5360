"""What talks with the worker: protocol, process, interpreter. The standard library alone, so it is tested without QGIS."""
