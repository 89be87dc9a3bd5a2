# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Checkpoints that this engine cannot run, told by name: each kind is one line of SIGNS.

Some would load and answer all the same: an OpenVLA-OFT directory has the very tensors of an
OpenVLA, and an arm would move by words that were never trained to be actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import re

from ..errors import CheckpointError
from ..support.files import listing, nearest_path
from ..support.resources import bundled_models
from ..support.validation import nearest

SUPPORTED = 'this engine loads OpenVLA, CogACT and its own checkpoints, see docs/checkpoints.md'
OFT = ('OpenVLA-OFT, which this engine does not run: its actions come from heads beside the '
       'language model, which was not trained to give them as tokens, and it takes several '
       'images, the state and parallel decoding')
OFT_FILES = tuple(
    f'{name}.{suffix}' for suffix in ('pt', 'pth', 'bin', 'safetensors') for name in (
        '*action_head*', '*proprio_projector*', '*noisy_action_projector*', 'vision_backbone--*'))
MERGE = ("merge it first, by peft's merge_and_unload() and save_pretrained(), into a directory of "
         'its own')


@dataclass(frozen=True)
class Sign:
    """
    How a kind of checkpoint is told, what it is and what to do.

    found(directory, content of config.json) returns what gives it away, in words; empty if
    nothing does.
    """

    found: Callable[[Path, dict], list[str]]
    kind: str
    advice: str = ''


def files(*patterns: str) -> Callable[[Path, dict], list[str]]:
    """Return a finder of files or directories (with a / behind them) beside config.json."""
    def find(directory: Path, content: dict) -> list[str]:
        return sorted(f'{path.name}/' if path.is_dir() else path.name
                      for pattern in patterns for path in directory.glob(pattern.rstrip('/'))
                      if path.is_dir() == pattern.endswith('/'))
    return find


def says(name: str, pattern: str) -> Callable[[Path, dict], list[str]]:
    """Return a finder of a text in config.json; name: of the entry, such as vla.base_vlm."""
    def find(directory: Path, content: dict) -> list[str]:
        value = content
        for part in name.split('.'):
            value = value.get(part) if isinstance(value, dict) else None
        text = ' '.join(map(str, value)) if isinstance(value, list) else value
        fits = isinstance(text, str) and re.search(pattern, text, re.IGNORECASE)
        return [f'{name} {value!r} in config.json'] if fits else []
    return find


def without_config(find: Callable[[Path, dict], list[str]]) -> Callable[[Path, dict], list[str]]:
    """Return a finder that only looks where there is no config.json."""
    return lambda directory, content: [] if content else find(directory, content)


def lerobot(directory: Path, content: dict) -> list[str]:
    """Find the config.json of a lerobot policy, which names its type and no model."""
    return says('type', '.')(directory, content) if 'model_type' not in content else []


# the first that is found is told
SIGNS = (
    Sign(files(*OFT_FILES), OFT),
    Sign(files('lora_adapter/'), 'what the trainer of OpenVLA-OFT leaves',
         'an OpenVLA-OFT is not run by this engine, and if it is a plain OpenVLA whose adapter is '
         'merged into the weights, move lora_adapter/ elsewhere'),
    Sign(files('adapter_config.json', 'adapter_model.safetensors', 'adapter_model.bin'),
         'a LoRA adapter, which is not a checkpoint without its base model',
         MERGE + ' (and if it is merged already, move these files elsewhere)'),
    Sign(says('model_type', 'gr00t'), 'a GR00T policy'),
    Sign(says('architectures', 'gr00t'), 'a GR00T policy'),
    Sign(says('llm_backbone_id', 'qwen'), 'a MiniVLA',
         'its decoder is a Qwen, and this engine runs Llama 2'),
    Sign(says('vla.base_vlm', 'qwen'), 'a MiniVLA',
         'its decoder is a Qwen, and this engine runs Llama 2'),
    Sign(lerobot, 'a policy of lerobot (SmolVLA, pi0, ACT ...)'),
    Sign(without_config(files('pretrained_model/', 'train_config.json')), 'a run of lerobot'),
    Sign(without_config(files('params/', 'assets/')), 'an openpi checkpoint (pi0)'))


def check_known(directory: Path, content: dict) -> None:
    """
    Raise CheckpointError for a checkpoint of a kind in SIGNS, or a directory that is none.

    content: of config.json, empty if there is none.
    """
    for sign in SIGNS:
        found = sign.found(directory, content)
        if found:
            advice = f': {sign.advice}' if sign.advice else ''
            raise CheckpointError(f'{directory} has {", ".join(found)}, so it is {sign.kind}'
                                  f'{advice}; {SUPPORTED}')
    if not content:
        below = sorted(str(path.parent) for pattern in ('*/config.json', 'snapshots/*/config.json')
                       for path in directory.glob(pattern))
        advice = f', name the one that you mean: {", ".join(below[:3])}' if below else ''
        raise CheckpointError(f'{directory} is not a checkpoint: it holds {listing(directory)} '
                              f'and no config.json{advice}')


def check_place(path: Path) -> None:
    """Raise CheckpointError for a path that is no directory, nor a .pt in its run directory."""
    if path.is_dir() or path.is_file() and path.suffix == '.pt' and (
            path.parent.parent / 'config.json').is_file():
        return
    if path.is_file() and any(path.match(pattern) for pattern in OFT_FILES):
        reason = f'belongs to an {OFT}; {SUPPORTED}'
    elif path.is_file() and path.suffix == '.pt':
        reason = ('is a .pt file outside its run directory, which says what its tensors are: '
                  'download the config.json and dataset_statistics.json of its repository too, '
                  'put the file into checkpoints/ beside them and name it there')
    elif path.is_file():
        reason = 'is a file, expected a directory: name the one that it is in'
    else:
        known = bundled_models() if len(path.parts) == 1 else []
        near = nearest_path(path) or nearest(path, known)
        reason = f'does not exist{near}'
        hub = re.fullmatch(r'((https:/huggingface\.co|hf:)/)?([\w.-]+/[\w.-]+)', str(path))
        if hub and not near and not path.parent.is_dir():
            reason += ('; if it is the name of a Hugging Face repository, download that first: '
                       f'hf download {hub[3]} --local-dir {path.name}, and name this directory')
    raise CheckpointError(f'{path} {reason}')


def lfs_advice(path: Path) -> str:
    """Return what to do about a file that git left a pointer to, or '' if it is none."""
    try:
        with path.open('rb') as file:
            is_pointer = file.read(40).startswith(b'version https://git-lfs')
    except OSError:
        return ''
    return ': it is a git-lfs pointer, get the file itself by git lfs pull' if is_pointer else ''
