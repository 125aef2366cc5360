"""One run of several threads, or several runs of one thread: bare onnxruntime on the benchmark's U-Net, all cores.

python benchmarks/threads.py
"""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import networks
import numpy as np
import onnxruntime


def main() -> None:
    cores = os.cpu_count() or 1
    model = Path(tempfile.mkdtemp(prefix="rsgeo-bench-")) / "u-net.onnx"
    networks.write_u_net(model, width=8)
    print("| tile | threads a run | runs at a time | MPix/s |\n|---:|---:|---:|---:|")
    for tile in (512, 768):
        values = np.random.default_rng(0).random((1, 3, tile, tile), np.float32) * 255
        for threads, runs in ((cores, 1), (1, cores)):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
            feed = {"rgb8": values}
            session.run(None, feed)
            count = round(20e6 / tile**2)
            start = time.perf_counter()
            with ThreadPoolExecutor(runs) as pool:
                for job in [pool.submit(session.run, None, feed) for _ in range(count)]:
                    job.result()
            speed = count * tile**2 / 1e6 / (time.perf_counter() - start)
            print(f"| {tile} | {threads} | {runs} | {speed:.2f} |", flush=True)


if __name__ == "__main__":
    main()
