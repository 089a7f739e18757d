"""ONNX Runtime with its telemetry off.

From 1.29 on it gives each machine an identifier and tells its makers of every process that loads it, unless this
variable says otherwise before it is loaded (its Privacy.md, "Disabling Telemetry").
"""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime


def open_session(path: Path, threads: int = 0) -> Any:
    """A session on the CPU for the network in the file `path`; `threads` 0: one for each core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
