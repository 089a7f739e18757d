"""What training does on a GPU, in one command: `python -m benchmarks.gpu [--out DIR] [--only PART,...] [--pack DIR]`.

Speed: variants of the step, each with its share of the card's bfloat16 peak, and where the time goes. Feeding: images/s
of the loader, alone and with the step. Resume: is a resumed training equal to an uninterrupted one? Large: 512 px.
Training: some minutes of the guided method on real faces, evaluated there (benchmarks/gpu_faces.py). Needs torch,
torchvision, numpy, SciPy, OpenCV, safetensors, pydantic and PyYAML; no network, no DVC, no MediaPipe, and data only for
`training`. --smoke runs everything tiny, on whatever device there is. Prints JSON last; --out also keeps it, after
every part, in gpu.json.

The parts that compile take two minutes each and run only where --only names them; the others but `training` take a
minute together.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import gpu_faces, gpu_speed, gpu_training
from benchmarks.gpu_speed import Bench
from benchmarks.train import paper_params
from models.training.device import training_device

COMPILED = ("ours", "guided")
PARTS: dict[str, Callable[[Bench], object]] = {
    "peak": gpu_speed.peak,
    "paper_float32": gpu_speed.paper_float32,
    "paper_tf32": gpu_speed.paper_tf32,
    "ours_eager": gpu_speed.ours_eager,
    "guided_eager": gpu_speed.guided_eager,
    "profile": gpu_speed.profile,
    "feeding": gpu_training.feeding,
    "resume": gpu_training.resume,
    "large": gpu_training.large,
    "training": gpu_faces.training,
    "ours": gpu_speed.ours,
    "guided": gpu_speed.guided_compiled,
}
"""name -> what it measures, as a value for JSON; in the order in which they run."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure training on a GPU.")
    parser.add_argument("--smoke", action="store_true", help="tiny, on any device: only to see that it runs")
    parser.add_argument("--only", type=_parts, help=f"parts, separated by commas, of: {', '.join(PARTS)}")
    parser.add_argument(
        "--pack", type=Path, help="packed faces, as JPEG or not: training needs them; feeding draws on them"
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="of part training (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for gpu.json and training/")
    options = parser.parse_args()
    # Deterministic cuBLAS (part resume) needs this before CUDA starts; it costs 8 MiB a stream.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    names = options.only or [name for name in PARTS if name not in COMPILED or options.smoke]
    with tempfile.TemporaryDirectory() as scratch:
        pack = gpu_faces.read_small_pack(options.pack, Path(scratch) / "unpacked") if options.pack else None
        bench = replace(_bench(options.smoke, Path(scratch)), pack=pack, minutes=options.minutes, out=options.out)
        found: dict[str, object] = {"device": bench.device.description, "torch": torch.__version__}
        found |= {"image_px": bench.params.image_px, "batch": bench.params.batch_size, "cores": os.cpu_count()}
        for name in names:
            started = time.monotonic()
            found[name] = PARTS[name](bench)
            print(f"{name} ({time.monotonic() - started:.0f} s)", json.dumps(found[name]), flush=True)
            bench.found[name] = found[name]
            _keep(found | gpu_speed.comparisons(bench.found), options.out)
    print(json.dumps(found | gpu_speed.comparisons(bench.found)))


def _parts(text: str) -> list[str]:
    """The names in `text`, in the order of PARTS."""
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"no part {', '.join(unknown)}: choose from {', '.join(PARTS)}")
    return [name for name in PARTS if name in names]


def _bench(smoke: bool, scratch: Path) -> Bench:
    px, batch, rounds = (32, 2, 1) if smoke else (256, 16, 10)
    params = paper_params(px, batch, "auto", False if smoke else "auto")
    if smoke:
        params = replace(params, width=8, blocks=1, discriminator_width=8)
    return Bench(params, training_device(params), rounds, scratch, smoke)


def _keep(found: dict[str, object], out: Path | None) -> None:
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
