# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Write the tiny OpenVLA-OFT checkpoints that the expected outputs in this folder belong to.

    python test/golden/recipe_oft.py OUT    # OUT/oft_tiny and OUT/oft_tiny_{aloha,diffusion}

Weights are drawn as in recipe.py, each file's with a seed of its own; what the published files
hold in bfloat16 is rounded to it.  Other sizes and variants have no expected outputs.
"""
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
import math
from pathlib import Path
import re
import sys

from safetensors.torch import save_file
import torch

STEP = 150000
RANK = 32
SEEDS = {'model': 1109, 'action_head': 2700, 'proprio_projector': 3301,
         'noisy_action_projector': 4409, 'vision_backbone': 5503, 'lora_adapter': 6607}
# so that rounding errors stay small over all steps of an untrained head
GAINS = {'noisy_action_projector': ('fc2.weight', 0.3),
         'action_head': ('noise_predictor.mlp_resnet.fc2.weight', 0.6)}
MEANS = {'mean': [0.484375, 0.455078125, 0.40625], 'std': [0.228515625, 0.2236328125, 0.224609375]}
ADAPTED = [f'language_model.model.layers.0.self_attn.{name}_proj' for name in 'kqvo']


@dataclass(frozen=True)
class Variant:
    """What makes a checkpoint one of OpenVLA-OFT; the defaults are those of oft_tiny."""

    statistics: str = 'oft_tiny'
    reads: str = 'regression'
    action_dim: int = 7
    state_dim: int = 8
    film: bool = False


VARIANTS = {'oft_tiny': Variant(), 'oft_tiny_diffusion': Variant(reads='diffusion'),
            'oft_tiny_aloha': Variant('oft_tiny_aloha', 'regression', 14, 14, film=True)}


def base_recipe():
    """Return the module recipe.py."""
    spec = spec_from_file_location('golden_recipe', Path(__file__).with_name('recipe.py'))
    module = sys.modules['golden_recipe'] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BASE = base_recipe()
SIZES = BASE.Sizes(dtype='bfloat16')


def draw(shapes, seed):
    """Draw a float32 tensor a name, in the order of the sorted names."""
    generator = torch.Generator().manual_seed(seed)
    return {name: _tensor(name, shape, generator) for name, shape in sorted(shapes.items())}


def _tensor(name, shape, generator):
    fan_in = math.sqrt(math.prod(shape[1:]))
    if 'lora_A' in name:
        return torch.randn(shape, generator=generator) / fan_in
    if 'lora_B' in name:
        return torch.randn(shape, generator=generator) * (0.6 / fan_in)
    if name.endswith(('.scale.weight', '.shift.weight')):
        return 6.0 * torch.randn(shape, generator=generator)
    if '.ffn.0.weight' in name:
        return 1 + 0.2 * torch.randn(shape, generator=generator)
    if len(shape) == 2 and shape[1] == 1:
        return torch.randn(shape, generator=generator)
    return BASE.draw_tensor(name, shape, generator)


def head_shapes(variant, sizes):
    """Return the shapes of the action head."""
    trunk = 'noise_predictor.mlp_resnet' if variant.reads == 'diffusion' else 'model'
    hidden, inputs = sizes.hidden, variant.action_dim * sizes.hidden
    shapes = {**BASE.linear(f'{trunk}.fc1', hidden, inputs),
              **BASE.linear(f'{trunk}.fc2', variant.action_dim, hidden)}
    norms = {'layer_norm1': inputs, 'layer_norm2': hidden}
    for index in range(2):
        block = f'mlp_resnet_blocks.{index}.ffn'
        norms[f'{block}.0'] = hidden
        shapes.update(BASE.linear(f'{trunk}.{block}.1', hidden, hidden))
    for name, width in norms.items():
        shapes.update({f'{trunk}.{name}.weight': [width], f'{trunk}.{name}.bias': [width]})
    return shapes


def projector_shapes(inputs, sizes):
    """Return the shapes of the projector of a state or of noisy actions."""
    return {**BASE.linear('fc1', sizes.hidden, inputs),
            **BASE.linear('fc2', sizes.hidden, sizes.hidden)}


def film_shapes(sizes):
    """Return the shapes of vision encoders with FiLM layers and adapters that are not merged."""
    shapes = {}
    for name, shape in BASE.openvla_shapes(sizes).items():
        if not name.startswith('vision_backbone.'):
            continue
        name = re.sub(r'(blocks\.\d+)\.', r'\1.block.', name)
        layer, _, leaf = name.rpartition('.')
        linear = leaf in ('weight', 'bias') and 'norm' not in layer
        shapes[f'{layer}.base_layer.{leaf}' if linear else name] = shape
        if linear and leaf == 'weight':
            ones = [1] * (len(shape) - 2)
            shapes[f'{layer}.lora_A.default.weight'] = [RANK, *shape[1:]]
            shapes[f'{layer}.lora_B.default.weight'] = [shape[0], RANK, *ones]
    for part, (width, depth, *_) in (('', sizes.dino), ('fused_', sizes.siglip)):
        for index in range(depth):
            for name in ('scale', 'shift'):
                shapes.update(BASE.linear(
                    f'vision_backbone.{part}featurizer.blocks.{index}.{name}', width,
                    sizes.hidden))
    return shapes


def part_shapes(variant, sizes):
    """Return {file: {name: shape}} of the files beside the shards."""
    parts = {'action_head': head_shapes(variant, sizes)}
    if variant.state_dim:
        parts['proprio_projector'] = projector_shapes(variant.state_dim, sizes)
    if variant.reads == 'diffusion':
        parts['noisy_action_projector'] = projector_shapes(1, sizes)
    if variant.film:
        parts['vision_backbone'] = film_shapes(sizes)
    return parts


def part_tensors(part, shapes, model):
    """Return the tensors of one file; those that the shards have too are the same."""
    names = {name: name.replace('.block.', '.').replace('.base_layer.', '.') for name in shapes}
    drawn = draw({name: shape for name, shape in shapes.items() if names[name] not in model},
                 SEEDS[part])
    loud, gain = GAINS.get(part, ('', 1.0))
    drawn = {name: tensor * gain if name == loud else tensor for name, tensor in drawn.items()}
    return {name: model[names[name]].clone() if name not in drawn
            else drawn[name].bfloat16() if part == 'action_head' or 'lora_' in name
            else drawn[name] for name in shapes}


def write_oft(directory, variant=Variant(), sizes=SIZES):
    """Write an OpenVLA-OFT directory."""
    directory.mkdir(parents=True, exist_ok=True)
    model = BASE.cast(draw(BASE.openvla_shapes(sizes), SEEDS['model']), sizes)
    BASE.save_shards(directory, model)
    for part, shapes in part_shapes(variant, sizes).items():
        prefix = '' if part == 'vision_backbone' else 'module.'
        torch.save({prefix + name: tensor for name, tensor in
                    part_tensors(part, shapes, model).items()},
                   directory / f'{part}--{STEP}_checkpoint.pt')
    BASE.write_json(directory / 'config.json', BASE.openvla_config(sizes))
    BASE.write_json(directory / 'dataset_statistics.json', BASE.statistics(variant.statistics))
    BASE.write_json(directory / 'preprocessor_config.json', preprocessor())
    BASE.write_tokenizer(directory)
    write_adapter(directory / 'lora_adapter', sizes)
    return directory


def preprocessor():
    """Return preprocessor_config.json, with means and deviations rounded as published."""
    halves = {'mean': [0.5] * 3, 'std': [0.5] * 3}
    return {'image_resize_strategy': 'resize-naive', 'interpolations': ['bicubic'] * 2,
            'means': [[0.485, 0.456, 0.406], [0.5] * 3],
            'stds': [[0.229, 0.224, 0.225], [0.5] * 3], 'tvf_normalize_params': [MEANS, halves]}


def write_adapter(directory, sizes=SIZES, rank=RANK, **config):
    """Write the adapter that the trainer leaves, whose values the weights hold already."""
    directory.mkdir(exist_ok=True)
    shapes = {}
    for name in ADAPTED:
        shapes[f'base_model.model.{name}.lora_A.weight'] = [rank, sizes.hidden]
        shapes[f'base_model.model.{name}.lora_B.weight'] = [sizes.hidden, rank]
    tensors = {name: tensor.bfloat16()
               for name, tensor in draw(shapes, SEEDS['lora_adapter']).items()}
    save_file(tensors, directory / 'adapter_model.safetensors', metadata={'format': 'pt'})
    BASE.write_json(directory / 'adapter_config.json', {
        'peft_type': 'LORA', 'r': rank, 'lora_alpha': 16, 'bias': 'none',
        'base_model_name_or_path': 'openvla/openvla-7b', **config})
    return directory


if __name__ == '__main__':
    for name, variant in VARIANTS.items():
        write_oft(Path(sys.argv[1]) / name, variant)
