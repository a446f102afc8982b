#!/usr/bin/env bash
# All systems on one accelerator in eight minutes, each figure written as it appears.
#
#     bash benchmarks/accelerator.sh --out accelerator.jsonl
#
# Again with the same file it measures what has no figure yet. --smoke: the smallest sizes, to try
# it on a CPU. PYTHON chooses the interpreter; all arguments are those of all.py.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
# JAX and PyTorch share the accelerator's memory.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
exec "${PYTHON:-python3}" -m benchmarks.all --accelerator "$@"
