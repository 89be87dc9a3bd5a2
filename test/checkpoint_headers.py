# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of which only the header is known."""
from pathlib import Path

import golden_data


class HeadersOnly:
    """A reader of a file of which only the header is known."""

    files, notes = (), ()

    def __init__(self, shapes, dtype):
        self.path = Path('published')
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.dtypes = dict.fromkeys(shapes, dtype)


def action_shapes(depth, width):
    """Return {name: shape} of CogACT's action model behind a decoder of width 4096."""
    linear = golden_data.recipe().linear
    shapes = {'net.positional_embedding': [17, width], 'net.z_embedder.uncondition': [1, 4096]}
    for name, outputs, inputs in (
            ('history_embedder.linear', width, 7), ('x_embedder.linear', width, 7),
            ('t_embedder.mlp.0', width, 256), ('t_embedder.mlp.2', width, width),
            ('z_embedder.linear', width, 4096), ('final_layer.linear', 7, width)):
        shapes.update(linear(f'net.{name}', outputs, inputs))
    for index in range(depth):
        for name, outputs, inputs in (
                ('attn.qkv', 3 * width, width), ('attn.proj', width, width),
                ('mlp.fc1', 4 * width, width), ('mlp.fc2', width, 4 * width)):
            shapes.update(linear(f'net.blocks.{index}.{name}', outputs, inputs))
    return shapes
