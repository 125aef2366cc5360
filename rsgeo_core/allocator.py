"""How the C library's allocator treats large blocks while a file is finished."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD in glibc's malloc.h
_LARGE = 1 << 17  # what glibc begins with; a block of one band of 256 pixels and floats is twice as large
_USUAL = 32 << 20  # where glibc's own threshold ends once blocks of that size have been freed (mallopt(3))


@contextmanager
def large_blocks_given_back() -> Iterator[None]:
    """What was freed before, and freed blocks of 128 kB and more from here on, go back to the system at once.

    For the whole process. glibc otherwise keeps such blocks in its heap once it has seen one freed. GDAL's COG driver
    allocates whole blocks of all bands and their compressed form in several threads; kept in the heap they leave gaps,
    and the peak grows with the file (`docs/findings.md`, "Gaps in the heap"). Other C libraries are left as they are.
    """
    library = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    if library is not None:
        library.malloc_trim(0)
        library.mallopt(_MMAP_THRESHOLD, _LARGE)
    try:
        yield
    finally:
        if library is not None:
            library.mallopt(_MMAP_THRESHOLD, _USUAL)
