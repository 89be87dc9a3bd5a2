# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""In which type the vision encoders behind a table's rows multiply, before a weight is read."""

from __future__ import annotations

from collections.abc import Iterable
import dataclasses
from functools import partial

from .converted import path_of
from .plan import Row
from ..options import PolicyOptions

RECORDED = 'vision_dtype'  # in a table's facts, where an encoder is rounded
NOT_ROUNDED = {RECORDED: 'float32'}  # what a table means that says nothing


def rounded_vision(checkpoint, policy: PolicyOptions, rows: Iterable[Row] = (),
                   quantized: str | None = None) -> dict:
    """
    Return {'vision_dtype': name} and print why, where a row's encoder is rounded; else nothing.

    rows: of a table, of which some take their weights from quantized, a directory or None; without
    rows it is the checkpoint that is asked about.  Raises ConfigError for a type that one of them
    cannot have.
    """
    from ..formats import open_checkpoint
    from ..inference.device import find_device, find_dtype
    from ..loading.encoder_error import read_encoder_error
    from ..loading.vision_type import vision_type
    device, found = find_device(policy.device), []
    for path in dict.fromkeys([path_of(row, checkpoint, quantized) for row in rows]
                              or [checkpoint]):
        source = open_checkpoint(path, policy.tokenizer)
        found.append(vision_type(policy, source.config.model, source.config.quantization, device,
                                 find_dtype(policy.dtype, device),
                                 partial(read_encoder_error, source)))
    rounded = [each for each in found if each.rounds]
    for each in dict.fromkeys(rounded):
        print(f'vision dtype {each}', flush=True)
    return {RECORDED: rounded[0].name} if rounded else {}


def unusual(policy: PolicyOptions) -> dict:
    """
    Return the options of a policy that are not the usual ones and decide its answers.

    vision_dtype is none of them: what it stands for is recorded by rounded_vision, whether it was
    asked for or was the rule of a processor.
    """
    usual = PolicyOptions()
    return {item.name: getattr(policy, item.name) for item in dataclasses.fields(PolicyOptions)
            if item.name != RECORDED and getattr(policy, item.name) != getattr(usual, item.name)}
