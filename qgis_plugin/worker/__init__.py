"""What talks with the worker: protocol, process, interpreter. The standard library alone, testable without QGIS."""
