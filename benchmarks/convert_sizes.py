# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a converted 7B model takes on disk and in a process, computed from its architecture.

    python benchmarks/convert_sizes.py         # the table of docs/convert.md

Disk: the sizes of all tensors.  Process: the weights that inference on this CPU holds (float32
where not quantized, else what the chosen backend holds); activations and Python come on top.
"""
from sqap_vla_ros.bench.sizes import FULL_VISION
from sqap_vla_ros.formats.tensor_file import layout_bytes
from sqap_vla_ros.loading.needs import memory_bytes
from sqap_vla_ros.loading.units import empty_model, make_layout, make_record
from sqap_vla_ros.model.dit import DiffusionHeadConfig
from sqap_vla_ros.model.heads import TokenHeadConfig
from sqap_vla_ros.model.llama import LlamaConfig
from sqap_vla_ros.model.oft import OFTHeadConfig
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.quant import QuantScheme, summary
import torch

GIB = 2 ** 30
COMMON = {'text_length': 0, 'projector_widths': (8704, 4096)}
MODELS = {
    'OpenVLA': VLAConfig(FULL_VISION, LlamaConfig(), TokenHeadConfig(), state_dim=0, **COMMON),
    'CogACT': VLAConfig(FULL_VISION, LlamaConfig(), DiffusionHeadConfig(
        16, 7, 768, 12, 12, 3072, gripper_index=6), state_dim=0, **COMMON),
    'OpenVLA-OFT': VLAConfig(FULL_VISION, LlamaConfig(), OFTHeadConfig(), state_dim=8,
                             state_hidden=4096, images=2, attention='full', **COMMON)}
INT8 = {'vision': 'w8a8', 'projector': 'w8a8', 'head': 'w8a8'}
SCHEMES = {
    'fp': QuantScheme('fp', False), 'w8a8': QuantScheme('w8a8'), 'w4a16': QuantScheme('w4a16'),
    'w4a8': QuantScheme('w4a8'), 'w4a4': QuantScheme('w4a4'),
    'w4a4, o/down w8a8': QuantScheme('w4a4', overrides={'o_proj': 'w8a8', 'down_proj': 'w8a8'}),
    'w4a4, vision w8a8': QuantScheme('w4a4', overrides={'vision': 'w8a8'}),
    'w4a4, vision, projector, head w8a8': QuantScheme('w4a4', overrides=INT8)}


def row(config, scheme):
    """Return GiB on disk, GiB in a process, bits a weight on disk and in memory."""
    model = empty_model(config, make_record(empty_model(config), scheme, False))
    counts = summary(model, on_cpu=True)
    return (layout_bytes(make_layout(model, torch.bfloat16)) / GIB,
            memory_bytes(model) / GIB, counts['bits_on_disk'], counts['bits_in_memory'] or 0)


def main():
    """Print the table."""
    print('| precision | bits a weight on disk / in memory | '
          + ' | '.join(f'{name}: disk GiB | {name}: process GiB' for name in MODELS) + ' |')
    print('|---' * (2 + 2 * len(MODELS)) + '|')
    for name, scheme in SCHEMES.items():
        cells = [row(config, scheme) for config in MODELS.values()]
        _, _, disk, memory = cells[0]
        bits = f'{disk:.2f} / {memory:.2f}' if disk else 'floats'
        print(f'| {name} | {bits} | '
              + ' | '.join(f'{cell[0]:.2f} | {cell[1]:.2f}' for cell in cells) + ' |')


if __name__ == '__main__':
    main()
