# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The files that make an OpenVLA directory one of OpenVLA-OFT: heads, and vision with FiLM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import re

from .joined import JoinedReader, MergedReader, unwrapped
from .oft_options import OFTOptions
from .pickles import StateReader
from .sizes import Shapes
from .tensors import RenamedReader, SafetensorsReader
from ..errors import CheckpointError

SUFFIXES = ('pt', 'pth', 'bin', 'safetensors')
PATTERNS = {'action_head': '*action_head*', 'proprio_projector': '*proprio_projector*',
            'noisy_action_projector': '*noisy_action_projector*',
            'vision_backbone': 'vision_backbone--*'}
BLOCKS = 2  # residual ones of every published action head; what lost one still has sizes that fit
TRUNKS = {'regression': 'action_head.model.',
          'diffusion': 'action_head.noise_predictor.mlp_resnet.'}
LAYERS = {'layer_norm1': 'norm1', 'fc1': 'fc1', 'layer_norm2': 'norm2', 'fc2': 'fc2'}
PROJECTORS = {
    'proprio_projector.fc1.': 'state_embed.0.', 'proprio_projector.fc2.': 'state_embed.2.',
    'noisy_action_projector.fc1.': 'head.noisy.0.',
    'noisy_action_projector.fc2.': 'head.noisy.2.'}
_BLOCK = re.compile(r'action_head\..*mlp_resnet_blocks\.(\d+)\.')
_USUAL_ALPHA = 16  # the trainer's lora_alpha is the smaller of this and the rank


def find_parts(directory: Path) -> dict[str, Path]:
    """Return the files by part; raise CheckpointError for two of one, or of different steps."""
    parts: dict[str, Path] = {}
    for part, pattern in PATTERNS.items():
        found = sorted(path for suffix in SUFFIXES
                       for path in directory.glob(f'{pattern}.{suffix}') if path.is_file())
        if len(found) > 1:
            raise CheckpointError(
                f'{directory} has {len(found)} files of its {part}, '
                f'{", ".join(path.name for path in found)}: leave the one that was saved with the '
                'weights, and move the others elsewhere')
        if found:
            parts[part] = found[0]
    _check_steps(directory, parts)
    return parts


def _check_steps(directory: Path, parts: Mapping[str, Path]) -> None:
    """Raise CheckpointError for files whose names tell different steps of the training."""
    steps = {path.name: match[1] for path in parts.values()
             if (match := re.search(r'--(.+)_checkpoint', path.name))}
    if len(set(steps.values())) > 1:
        raise CheckpointError(f'{directory}: {" and ".join(steps)} were saved at different steps '
                              'of the training: take all files of one')


def check_parts(directory: Path, parts: Mapping[str, Path], options: OFTOptions) -> None:
    """Raise CheckpointError where the files are not those that deployment.json tells of."""
    for part, flag in (('vision_backbone', options.film), ('proprio_projector', options.proprio)):
        name = 'film' if part == 'vision_backbone' else 'proprio'
        if flag is not None and flag != (part in parts):
            raise CheckpointError(
                f'{directory}: deployment.json says {name} {str(flag).lower()}, and '
                + (f'{part}--*_checkpoint.pt is missing: download it' if flag else
                   f'{parts[part].name} is there: take {name} out of deployment.json, or move the '
                   'file elsewhere'))
    if 'action_head' not in parts and options.head != 'tokens':
        raise CheckpointError(
            f'{directory} has {", ".join(path.name for path in parts.values()) or "no heads"} and '
            'no action_head--*_checkpoint.pt of an OpenVLA-OFT: download it, or, if it was '
            'trained to answer with tokens, write {"oft": {"head": "tokens"}} into '
            'deployment.json')
    if 'action_head' in parts and options.head == 'tokens':
        raise CheckpointError(f'{directory}: deployment.json says head "tokens", and '
                              f'{parts["action_head"].name} is there: take head out of '
                              'deployment.json, or move the file elsewhere')


def open_part(path: Path) -> StateReader | SafetensorsReader:
    """Open one of the files; raise CheckpointError unless it holds tensors, and nothing else."""
    if path.suffix == '.safetensors':
        return SafetensorsReader(path.parent, path.name)
    return StateReader(path)


def with_heads(body, parts: Mapping[str, Path], prefixes: Mapping[str, str]) -> RenamedReader:
    """
    Return the tensors of an OpenVLA and of its heads; those of FiLM's file replace its vision.

    body: the reader of the OpenVLA.  prefixes: for its names, see RenamedReader.
    """
    names = unwrapped(body)
    joined: list = [(body, names)]
    for part, path in parts.items():
        reader = open_part(path)
        if part == 'vision_backbone':
            vision = film_vision(reader)
            names = {name: theirs for name, theirs in names.items()
                     if not name.startswith('vision_backbone.')}
            joined = [(body, names), (vision, {name: name for name in vision.shapes})] + joined[1:]
        else:
            check_names(reader, part)
            joined.append((reader, {f'{part}.{ours}': theirs
                                    for ours, theirs in unwrapped(reader).items()}))
    reader = JoinedReader(body.path, joined)
    return RenamedReader(reader, {**prefixes, **PROJECTORS, **_head_prefixes(reader.shapes)})


def check_names(reader, part: str) -> None:
    """Raise CheckpointError for a file whose tensors are not those of a part of its name."""
    names = unwrapped(reader)
    wanted = tuple(trunk.partition('.')[2] for trunk in TRUNKS.values())
    fits = (any(name.startswith(wanted) for name in names) if part == 'action_head'
            else set(names) == {f'fc{n}.{leaf}' for n in (1, 2) for leaf in ('weight', 'bias')})
    if not fits:
        raise CheckpointError(
            f'{reader.files[0]} is no {part} of OpenVLA-OFT: it has {sorted(names)[:3]}, expected '
            + (f'names that begin with {" or ".join(wanted)}' if part == 'action_head' else
               'fc1 and fc2, weight and bias of each')
            + ': download it again, and leave it the name that it has there')


def _head_prefixes(names) -> dict[str, str]:
    """Return {prefix in the files: ours} for the layers of an action head."""
    prefixes = {}
    for trunk in TRUNKS.values():
        prefixes.update({f'{trunk}{theirs}.': f'head.{ours}.' for theirs, ours in LAYERS.items()})
        for index in {match[1] for match in map(_BLOCK.match, names) if match}:
            block = f'{trunk}mlp_resnet_blocks.{index}.ffn.'
            prefixes.update({f'{block}0.': f'head.blocks.{index}.norm.',
                             f'{block}1.': f'head.blocks.{index}.linear.'})
    return prefixes


def film_vision(reader) -> MergedReader:
    """
    Return FiLM's vision encoders under the names of a plain one, with their adapters merged.

    Raises CheckpointError for a file without FiLM layers.
    """
    if not any(re.search(r'\.blocks\.\d+\.scale\.weight$', name) for name in reader.shapes):
        raise CheckpointError(
            f'{reader.files[0]} has no FiLM layers (blocks.i.scale and blocks.i.shift), which are '
            'what such a file is for: copy it again, or move it elsewhere if the model was '
            'trained without FiLM')
    names = {re.sub(r'(\.blocks\.\d+)\.block\.', r'\1.', ours): theirs
             for ours, theirs in unwrapped(reader).items()}
    return MergedReader(JoinedReader(reader.files[0], [(reader, names)]),
                        lambda rank: min(rank, _USUAL_ALPHA) / rank)


def head_reading(tensors: RenamedReader, parts: Mapping[str, Path]) -> str:
    """Return how an action head answers; raise CheckpointError if a file does not fit that."""
    found = tensors.theirs('head.fc1.weight')
    reading = 'diffusion' if found.startswith(TRUNKS['diffusion']) else 'regression'
    if (reading == 'diffusion') != ('noisy_action_projector' in parts):
        raise CheckpointError(
            f'{parts["action_head"]} is a head that diffuses, and noisy_action_projector--*.pt, '
            'which embeds its noise, is missing: download it' if reading == 'diffusion' else
            f'{parts["action_head"]} is no head that diffuses, and '
            f'{parts["noisy_action_projector"].name} belongs to one: the files are of different '
            'checkpoints: download all files of one')
    return reading


def head_sizes(shapes: Shapes, path: Path) -> dict:
    """Return action_dim, width and blocks of an action head; CheckpointError if they don't fit."""
    width, inputs = shapes.of('head.fc1.weight', 2)
    action_dim = shapes.of('head.fc2.weight', 2)[0]
    hidden = shapes.of('llm.embed_tokens.weight', 2)[1]
    if inputs != action_dim * hidden:
        raise CheckpointError(
            f'{path} gives {action_dim} values from {inputs} inputs, and {action_dim} hidden '
            f'states of the decoder have {action_dim} x {hidden}: it is the head of another '
            'checkpoint: download the one that was saved with these weights')
    blocks = shapes.count('head.blocks')
    if blocks != BLOCKS:
        raise CheckpointError(f'{path} has {blocks} residual blocks, an action head of an '
                              f'OpenVLA-OFT has {BLOCKS}: tensors are missing, copy it again')
    return {'action_dim': action_dim, 'width': width, 'blocks': blocks}
