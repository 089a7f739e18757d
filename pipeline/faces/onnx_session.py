"""ONNX Runtime with its telemetry off.

From version 1.29 on it gives each machine an identifier and reports every process that loads it to its makers, unless
the variable ORT_DISABLE_TELEMETRY is set before it is loaded (its Privacy.md, "Disabling Telemetry").
"""

import os
from pathlib import Path
from typing import Any


def open_session(path: Path, threads: int = 0) -> Any:
    """An onnxruntime.InferenceSession on the CPU for the network in the file `path`; `threads` 0: one for each core."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime  # only now: it reads the variable as it is loaded

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
