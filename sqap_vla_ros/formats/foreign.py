# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Checkpoints that this engine cannot run, told by name: each kind is one line of SIGNS.

They are told by what is really published: the config.json of lerobot, openpi, GR00T, Octo and
Prismatic, and the files that peft, bitsandbytes, AutoAWQ, AutoGPTQ and llama.cpp write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import json
from pathlib import Path
import re

from ..errors import CheckpointError
from ..support.files import listing

SUPPORTED = ('this engine loads OpenVLA, OpenVLA-OFT, CogACT and its own checkpoints, see '
             'docs/checkpoints.md')
HEAD_FILES = tuple(
    f'{name}.{suffix}' for suffix in ('pt', 'pth', 'bin', 'safetensors') for name in (
        '*action_head*', '*proprio_projector*', '*noisy_action_projector*', 'vision_backbone--*'))
MERGE = ("merge it first, by peft's merge_and_unload() and save_pretrained(), into a directory of "
         'its own')
UNQUANTIZED = ('take the checkpoint in bfloat16, float16 or float32 that it was made of, and '
               'quantize that by `sqap-vla convert`')
ELSEWHERE = 'run it by {}'
Find = Callable[[Path, dict], list[str]]


@dataclass(frozen=True)
class Sign:
    """
    How a kind of checkpoint is told, what it is and what to do.

    found(directory, content of config.json) returns what gives it away, in words; empty if
    nothing does.  kind: in words, or a function of the same arguments that returns them.
    """

    found: Find
    kind: str | Callable[[Path, dict], str]
    advice: str

    def sentence(self, directory: Path, content: dict) -> str:
        """Return what was found, what it is and what to do; '' for a checkpoint without it."""
        found = self.found(directory, content)
        kind = self.kind if isinstance(self.kind, str) else self.kind(directory, content)
        return f'has {", ".join(found)}, so it is {kind}: {self.advice}' if found else ''


def files(*patterns: str) -> Find:
    """Return a finder of files or directories (with a / behind them) in the directory."""
    def find(directory: Path, content: dict) -> list[str]:
        return sorted({f'{path.relative_to(directory)}{"/" if path.is_dir() else ""}'
                       for pattern in patterns for path in directory.glob(pattern.rstrip('/'))
                       if path.is_dir() == pattern.endswith('/')})[:3]
    return find


def entry(content: dict, name: str):
    """Return an entry of config.json, such as vla.base_vlm, or None."""
    value = content
    for part in name.split('.'):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def says(name: str, pattern: str) -> Find:
    """Return a finder of a text in config.json; name: of the entry, such as vla.base_vlm."""
    def find(directory: Path, content: dict) -> list[str]:
        value = entry(content, name)
        text = ' '.join(map(str, value)) if isinstance(value, list) else value
        fits = isinstance(text, str) and re.search(pattern, text, re.IGNORECASE)
        return [f'{name} {value!r} in config.json'] if fits else []
    return find


def either(*finders: Find) -> Find:
    """Return a finder of what the first of some finders finds."""
    return lambda directory, content: next(
        filter(None, (find(directory, content) for find in finders)), [])


def without_config(find: Find) -> Find:
    """Return a finder that only looks where there is no config.json."""
    return lambda directory, content: [] if content else find(directory, content)


def without_weights(find: Find) -> Find:
    """Return a finder that only looks where there are no safetensors of a model."""
    return lambda directory, content: (
        [] if any(directory.glob('model*.safetensors')) else find(directory, content))


def entries(*names: str) -> Find:
    """Return a finder of entries in a config.json, all of them, without a model_type or vla."""
    def find(directory: Path, content: dict) -> list[str]:
        other = 'model_type' in content or 'vla' in content
        if other or any(entry(content, name) is None for name in names):
            return []
        return [f'{" and ".join(names)} in config.json']
    return find


def bare_adapter(directory: Path, content: dict) -> list[str]:
    """Find the adapter that OpenVLA-OFT's trainer leaves, where no head is and nobody said why."""
    try:
        told = json.loads((directory / 'deployment.json').read_text())
    except (OSError, ValueError):
        told = {}
    is_told = isinstance(told, dict) and 'oft' in told
    return [] if is_told or files(*HEAD_FILES)(directory, content) else files('lora_adapter/')(
        directory, content)


def openpi(directory: Path, content: dict) -> list[str]:
    """Find what openpi writes: parameters of JAX, or statistics below assets/."""
    found = files('assets/', 'params/', '*/params/', 'train_state/', '_CHECKPOINT_METADATA')(
        directory, content)
    return found if found != ['assets/'] else files('assets/**/norm_stats.json')(
        directory, content)


def lerobot(directory: Path, content: dict) -> list[str]:
    """Find the config.json of a lerobot policy, which names its type and no model."""
    return says('type', '.')(directory, content) if 'model_type' not in content else []


def lerobot_kind(directory: Path, content: dict) -> str:
    """Return what a lerobot policy is by its type."""
    name = str(content.get('type', ''))
    return f'the policy {NAMES.get(name, name)} of lerobot'


def quantized(directory: Path, content: dict) -> list[str]:
    """Find weights that another tool has quantized, by its entry in config.json."""
    for name in ('quantization_config', 'text_config.quantization_config', 'compression_config'):
        value = entry(content, name)
        if isinstance(value, dict) and value:
            return [f'{name} in config.json ({_scheme(value)})']
    return []


def _scheme(value: dict) -> str:
    """Return a quantization_config in words, such as 'bitsandbytes, 4 bits'."""
    bits = value.get('bits', value.get('w_bit', 4 if value.get('load_in_4bit') else 8))
    loads = value.get('load_in_4bit') or value.get('load_in_8bit')
    method = value.get('quant_method', 'bitsandbytes' if loads else 'of an unknown method')
    has_bits = loads or 'bits' in value or 'w_bit' in value
    return f'{method}, {bits} bits' if has_bits else str(method)


def adapter_kind(directory: Path, content: dict) -> str:
    """Return what a LoRA adapter is, with its base model where adapter_config.json names it."""
    try:
        config = json.loads((directory / 'adapter_config.json').read_text())
        base = config.get('base_model_name_or_path')
    except (OSError, ValueError, AttributeError):
        base = None
    whole = directory.parent / 'config.json'
    return (f'a LoRA adapter{f" of {base}" if base else ""}, which is not a checkpoint without '
            'its base model' + (f' (if {directory.parent} is the whole checkpoint, name that)'
                                if whole.is_file() else ''))


NAMES = {'smolvla': 'SmolVLA', 'act': 'ACT', 'diffusion': 'Diffusion Policy', 'pi05': 'pi0.5',
         'pi0_fast': 'pi0-FAST', 'pi0fast': 'pi0-FAST', 'groot': 'GR00T', 'vqbet': 'VQ-BeT',
         'tdmpc': 'TD-MPC', 'xvla': 'X-VLA', 'wall_x': 'WALL-X', 'sac': 'SAC'}
LEROBOT, OPENPI = ELSEWHERE.format('lerobot itself'), ELSEWHERE.format('openpi itself')
NO_LLAMA = ('its decoder is a Qwen, and this engine runs Llama 2: take a checkpoint on Llama 2, '
            'such as openvla-7b')
# the first that is found is told
SIGNS = (
    Sign(bare_adapter, 'what the trainer of OpenVLA-OFT leaves, without its heads',
         'download action_head--*_checkpoint.pt and the files like it too; one that was trained '
         'with action tokens has none: write "oft": {"head": "tokens"} into deployment.json; and '
         'if it is a plain OpenVLA whose adapter is merged, move lora_adapter/ elsewhere'),
    Sign(files('adapter_config.json', 'adapter_model.safetensors', 'adapter_model.bin'),
         adapter_kind, MERGE + ' (and if it is merged already, move these files elsewhere)'),
    Sign(either(quantized, without_weights(
        files('quantize_config.json', 'quant_config.json'))),
         'quantized by another tool', UNQUANTIZED),
    Sign(without_weights(files('*.gguf')), 'for llama.cpp', UNQUANTIZED),
    Sign(either(says('model_type', 'gr00t'), says('architectures', 'gr00t'),
                without_config(files('experiment_cfg/'))),
         'a GR00T policy', ELSEWHERE.format('Isaac-GR00T itself')),
    Sign(either(says('llm_backbone_id', 'qwen'), says('vla.base_vlm', 'qwen')), 'a MiniVLA',
         NO_LLAMA),
    Sign(lerobot, lerobot_kind, LEROBOT),
    Sign(either(entries('input_features', 'output_features'),
                entries('input_shapes', 'output_shapes')), 'a policy of lerobot', LEROBOT),
    Sign(without_config(files('pretrained_model/', 'train_config.json', 'training_state/',
                              'checkpoints/*/pretrained_model/')), 'a run of lerobot', LEROBOT),
    Sign(without_config(files('meta/info.json')), 'a data set of lerobot, and no policy',
         'name a checkpoint here, and the data set to `sqap-vla replay`'),
    Sign(files('action_decoder*.pt'), 'a UniVLA, whose action decoder this engine does not run',
         ELSEWHERE.format('UniVLA itself')),
    Sign(entries('paligemma_variant'), 'an openpi checkpoint (pi0), for PyTorch', OPENPI),
    Sign(without_config(files('_METADATA', 'manifest.ocdbt')),
         'a folder of parameters of JAX (orbax), as of openpi or octo',
         ELSEWHERE.format('the code that they came with')),
    Sign(without_config(openpi), 'an openpi checkpoint (pi0)', OPENPI),
    Sign(either(entries('text_processor', 'window_size'), files('example_batch.msgpack')),
         'an Octo', ELSEWHERE.format('octo itself')),
    Sign(without_weights(files('saved_model.pb')), 'a model of TensorFlow (as RT-1-X)',
         ELSEWHERE.format('TensorFlow')),
    Sign(either(entries('model.vision_backbone_id'), says('model_type', '^prismatic$')),
         'a vision-language model of Prismatic, which answers with words and moves nothing',
         'take a checkpoint that was trained on actions, such as openvla-7b'),
    Sign(without_config(files('*.ckpt', 'dataset_stats.pkl')),
         'a run of ACT or of Diffusion Policy', ELSEWHERE.format('the code that it came with')))


def check_known(directory: Path, content: dict) -> None:
    """
    Raise CheckpointError for a checkpoint of a kind in SIGNS, or a directory that is none.

    content: of config.json, empty if there is none.
    """
    for sign in SIGNS:
        sentence = sign.sentence(directory, content)
        if sentence:
            raise CheckpointError(f'{directory} {sentence}; {SUPPORTED}')
    if not content and (directory / 'config.json').is_file():
        raise CheckpointError(f'{directory / "config.json"} says nothing: copy it again')
    if not content:
        raise CheckpointError(f'{directory} is not a checkpoint: it holds {listing(directory)} '
                              f'and no config.json{_nearby(directory)}; {SUPPORTED}')


def _nearby(directory: Path) -> str:
    """Return what to name: which directories below or above hold a config.json, if any does."""
    below = sorted(str(path.parent) for pattern in ('*/config.json', 'snapshots/*/config.json')
                   for path in directory.glob(pattern))
    if not below and (directory.parent / 'config.json').is_file():
        below = [str(directory.parent)]
    return (f', name the one that you mean: {", ".join(below[:3])}' if below else
            ': download a checkpoint into it, or name the directory of one')
