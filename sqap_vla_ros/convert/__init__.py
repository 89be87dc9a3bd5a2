# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Convert a checkpoint of any format into this package's own, quantized: `sqap-vla convert`.

    from sqap_vla_ros.convert.conversion import convert, Task
    convert(Task(open_checkpoint('openvla-7b'), QuantScheme('w4a4')), 'openvla-7b-w4a4')

units.py cuts the network into parts; stream.py reads, rotates and quantizes one at a time; work.py
keeps the unfinished directory; calibration.py makes of recorded observations (samples/) what GPTQ
learns from.
"""
