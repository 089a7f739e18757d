#!/bin/sh
# Makes .venv and installs facemask into it, under constraints.txt. Run by `make setup`; safe to run again.
# For each program or library that pip cannot install, it prints one line that says how to get it.
set -eu
python=${PYTHON:-python3.11}

need() { printf 'facemask: error: %s\n' "$1" >&2; exit 1; }

command -v git >/dev/null 2>&1 || need "git is not installed: run 'apt-get install -y git' (or your system's equivalent), then try again"
command -v "$python" >/dev/null 2>&1 || need "$python is not installed: install Python 3.11, or name yours, as in 'make setup PYTHON=python3.12'"
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' ||
    need "$python is $("$python" -V 2>&1): Python 3.11 or 3.12 is needed, as in 'make setup PYTHON=python3.11'"
"$python" -c 'import ensurepip' 2>/dev/null || need "$python has no venv: run 'apt-get install -y python3-venv', then try again"
"$python" - <<'PY' || need "libGL is missing, which OpenCV and MediaPipe need: run 'apt-get install -y libgl1 libegl1 libgles2 libglib2.0-0', then try again"
import ctypes, sys
for library in ("libGL.so.1", "libEGL.so.1", "libGLESv2.so.2", "libgthread-2.0.so.0") if sys.platform == "linux" else ():
    try:
        ctypes.CDLL(library)
    except OSError:
        sys.exit(1)
PY

# 6 GB installed, and 3 GB more for downloads while pip runs.
[ -x .venv/bin/python ] || [ "$(df -Pk . | awk 'NR == 2 { print int($4 / 1e6) }')" -ge 9 ] ||
    need "less than 9 GB are free here, and PyTorch with its CUDA libraries needs them: free some space, then try again"

echo "facemask: installing into .venv: about 6 GB with PyTorch, 2 to 5 minutes the first time"
[ -x .venv/bin/python ] || "$python" -m venv .venv
( seconds=0; while sleep 15; do seconds=$((seconds + 15)); echo "facemask: installing, $seconds s"; done ) &
ticker=$!
trap 'kill $ticker 2>/dev/null || true' EXIT
.venv/bin/python -m pip uninstall -qq -y facemask 2>/dev/null || true  # the earlier name: Prefect would find its plugin twice
# -qq: otherwise pip warns about every index that lacks a package, though another one has it. Errors are still shown.
.venv/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]' ||
    need "pip could not install the dependencies in pyproject.toml: see the lines above, then run 'make setup' again"
kill $ticker 2>/dev/null || true
.venv/bin/python -c 'import cv2, mediapipe' || need "OpenCV or MediaPipe does not load: the line above says which library is missing; install it, then run 'make setup' again"
echo "facemask: ready (.venv)"
