#!/usr/bin/env bash
# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
#
# Check every GPU kernel, then time OpenVLA-7B, CogACT and OpenVLA-OFT: eleven minutes at most.
#
#   benchmarks/gpu/run.sh [--tiny] [--only SECTION ...] [--seconds S] [--out FILE.json]
#
# Needs python3 (PYTHON names another) with torch, triton, safetensors and tokenizers, a C compiler
# and Python's headers (Triton builds a module with them; not for --tiny), and this source tree;
# nothing is installed. Writes benchmarks/gpu/results/DEVICE-DATE.json after each
# section. docs/performance.md tells what is measured and how.
set -euo pipefail

source_tree=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
export PYTHONPATH="$source_tree:$source_tree/benchmarks${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONUNBUFFERED=1

lacking=$("$python" -c '
from importlib.util import find_spec
needed = ("torch", "triton", "numpy", "safetensors", "tokenizers")
print(*(name for name in needed if find_spec(name) is None))')
if [ -n "$lacking" ]; then
    echo "missing: $lacking. Install them for $python, or name another Python in PYTHON" >&2
    exit 2
fi
# as triton/runtime/build.py looks for them
lacking=$("$python" -c '
import os, shutil, sys, sysconfig
compilers = (os.environ.get("CC", ""), "gcc", "clang")
scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")
header = os.path.join(sysconfig.get_paths(scheme)["include"], "Python.h")
if not any(name and shutil.which(name) for name in compilers):
    print("a C compiler (apt-get install gcc, or name one in CC)", end="")
if not os.path.exists(header):
    print("", header, "(apt-get install python%d.%d-dev)" % sys.version_info[:2])')
if [ -n "$lacking" ] && [[ " $* " != *" --tiny "* ]]; then
    echo "missing for Triton: $lacking" >&2
    exit 2
fi
# the program ends by itself; this is for a kernel that never does
exec timeout --signal=INT --kill-after=5 535 "$python" -m gpu "$@"
