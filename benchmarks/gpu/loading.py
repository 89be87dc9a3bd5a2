# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How long checkpoints of full size take to load, and how much memory."""

from __future__ import annotations

from pathlib import Path
import shutil
import sys
import tempfile
import time

from sqap_vla_ros.formats.checkpoint import CheckpointConfig, read_tokenizer, save
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.observation import Observation
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import packed_state
import torch

from .engine import Given
from .floors import weight_bytes
from .golden import TESTS
from .models import GIB, Memory, random_model, release
from .shapes import Plan, Variant

PRECISION, _KEY = 'w4a4', 'random'
# by name: (precision in the file, of its encoders, precision to load it with)
KINDS = {'packed': (PRECISION, 'fp', None), 'full precision': ('fp', 'fp', PRECISION),
         'packed, int8 vision': (PRECISION, 'w8a8', None)}
_SPARE = 1.5  # times the time and the room that a checkpoint is expected to take


def measure(plan: Plan, device: torch.device, dtype: torch.dtype, seconds: float, keep) -> dict:
    """
    Return by kind what `loaded` found, or why it was skipped.

    A CogACT with random weights is written to a temporary directory and loaded as a user does:
    packed, packed with int8 encoders, and in full precision, which is quantized on the way.  A
    kind that would take more time or disk than is left is skipped.  keep(content): saves what is
    known so far.
    """
    config, found, end = plan.models['cogact'], {}, time.perf_counter() + seconds
    speed = 0.0  # seconds a byte, of writing and loading the one before
    for name, (stored, vision, _) in KINDS.items():
        size = weight_bytes(config, Variant(name, stored, vision=vision))
        left, room = end - time.perf_counter(), shutil.disk_usage(tempfile.gettempdir()).free
        if _SPARE * speed * size > left or _SPARE * size > room:
            found[name] = {'skipped': f'{left:.0f} s and {room / GIB:.0f} GiB of disk were left: '
                           f'about {speed * size:.0f} s and {size / GIB:.0f} GiB are needed'}
        else:
            found[name] = loaded(name, config, plan.keep, device, dtype)
            speed = (found[name]['write_s'] + found[name]['load_s']) / size
            release(device)
        keep({'kinds': found})
    return {'kinds': found}


def loaded(name: str, config: VLAConfig, keep: int, device, dtype) -> dict:
    """
    Return seconds, and GiB of the device: when loaded, at most while loading, at most afterwards.

    The last is what capturing and replaying take, all weights included; what the first inference
    takes, which tunes, has been given back.  See Memory.gib for what is in these figures.
    """
    stored, vision, precision = KINDS[name]
    with tempfile.TemporaryDirectory(prefix='sqap_gpu_') as directory:
        begun = time.perf_counter()
        size = write_checkpoint(Path(directory), config, stored, vision, device, dtype)
        release(device)
        memory, start = Memory(device), time.perf_counter()
        written = start - begun
        policy = load_policy(directory, precision=precision, keep=keep, device=str(device),
                             dtype=dtype)
        seconds, when_loaded = time.perf_counter() - start, memory.gib()
    image = Given.random(policy.config.model).image
    for number in range(3):
        chunk = policy.infer(Observation(image, 0, 'pick up the cup'))
        if number == 0:
            memory.forget_peak()
    running = memory.gib()
    return {'precision': precision or stored, 'vision': vision, 'file_gib': size / GIB,
            'write_s': written, 'load_s': seconds, 'loaded_gib': when_loaded['allocated'],
            'load_peak_gib': when_loaded['peak'], 'peak_gib': running['peak'],
            'reserved_gib': running['reserved'], 'timings_ms': chunk.timings}


def write_checkpoint(directory: Path, config: VLAConfig, precision: str, vision: str, device,
                     dtype) -> int:
    """Write a network with random weights, quantized or not; return the bytes of its weights."""
    sys.path.insert(0, str(TESTS))
    import golden_data
    model, record = random_model(config, precision, vision, device, dtype)
    weights = {name: tensor.cpu() for name, tensor in packed_state(model).items()}
    del model
    release(device)
    golden_data.recipe().write_tokenizer(directory)
    tokenizer = read_tokenizer(directory)
    width, channels = config.head.action_dim, config.vision.channels
    statistics = {_KEY: {'action': {'q01': [-1.0] * width, 'q99': [1.0] * width}}}
    save(directory, CheckpointConfig(
        model=config, prompt='cogact', unnorm_key=_KEY, quantization=record,
        pixel_mean=(0.5,) * channels, pixel_std=(0.5,) * channels), weights, statistics, tokenizer)
    return (directory / 'model.safetensors').stat().st_size
