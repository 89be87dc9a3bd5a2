# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Checkpoints on disk, of three formats, behind one `Source`.

    source = open_checkpoint('openvla-7b').with_key('bridge_orig')
    model = load_network(source, precision='w4a4')

detect.py tells the formats apart; own.py, openvla.py and cogact.py open one each; tensors.py
reads files tensor by tensor; sizes.py reads a network's sizes off the tensors' shapes.
"""
from .detect import open_checkpoint
from .network import load_network
from .source import Source

__all__ = ['load_network', 'open_checkpoint', 'Source']
