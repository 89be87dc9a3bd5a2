# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Run Triton kernels on the CPU: import this before anything that imports triton.

Triton decides when a kernel is defined whether it is compiled or interpreted, so a process that
has defined compiled ones cannot go back; the importing test module is skipped then.
"""
import os
import sys

import pytest

if 'triton' not in sys.modules:
    os.environ['TRITON_INTERPRET'] = '1'
elif os.environ.get('TRITON_INTERPRET') != '1':
    pytest.skip('triton was imported before without its interpreter: run these tests alone',
                allow_module_level=True)
triton = pytest.importorskip('triton', reason='the GPU kernels are written in triton, which is '
                             'not installed: pip install triton')
