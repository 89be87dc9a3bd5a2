# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Checkpoints on disk, of four formats, behind one `Source`.

    source = open_checkpoint('openvla-7b').with_key('bridge_orig')

detect.py tells the formats apart; openvla.py, oft.py and cogact.py open one each; tensors.py and
pickles.py read files tensor by tensor, and joined.py several as one; sizes.py reads a network's
sizes off the tensors' shapes.
"""
from .detect import open_checkpoint
from .source import Source

__all__ = ['open_checkpoint', 'Source']
