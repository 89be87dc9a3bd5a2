# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a caller chose, laid over what a checkpoint says of itself."""

from __future__ import annotations

import dataclasses

from ..errors import ConfigError
from ..formats import checkpoint
from ..model.dit import DiffusionHeadConfig
from ..model.oft import OFTHeadConfig
from ..options import PolicyOptions
from ..tokens.choice import SelectionConfig


def with_options(config: checkpoint.CheckpointConfig,
                 options: PolicyOptions) -> checkpoint.CheckpointConfig:
    """Return the config with what the caller chose; raise ConfigError if it does not fit."""
    chosen = {name: getattr(options, name) for name in ('ddim_steps', 'guidance')
              if getattr(options, name) is not None}
    model = config.model
    if odd := chosen.keys() - _sampling_options(model.head):
        raise ConfigError(f'{" and ".join(sorted(odd))} belong to a diffusion head, this '
                          f'checkpoint has {_head_name(model.head)}: leave them out')
    model = dataclasses.replace(
        model, head=dataclasses.replace(model.head, **chosen),
        prune_layer=options.prune_layer or model.prune_layer)
    config = dataclasses.replace(
        config, model=model, action_space=options.action_space or config.action_space,
        ensemble=config.ensemble if options.ensemble is None else options.ensemble)
    steps = options.execute_steps or (1 if options.ensemble else None)  # an ensemble has one row
    if steps and config.declares_actions:
        config = dataclasses.replace(config, action_space=dataclasses.replace(
            config.action_space, execute_steps=steps))
    if options.selection is not None:
        check_budget(config, options.selection)
    return checkpoint.check_actions(config, 'the checkpoint with these options', is_final=True)


def _sampling_options(head) -> frozenset[str]:
    """Return the options that say how a head samples."""
    if isinstance(head, DiffusionHeadConfig):
        return frozenset(['ddim_steps', 'guidance'])
    return frozenset(['ddim_steps'] if isinstance(head, OFTHeadConfig) and head.diffuses else [])


def _head_name(head) -> str:
    if isinstance(head, OFTHeadConfig):
        return f'an OpenVLA-OFT head that reads by {head.reads}'
    return f'a {head.kind!r} head'


def check_budget(config: checkpoint.CheckpointConfig, selection: SelectionConfig) -> None:
    """Raise ConfigError for more tokens to keep than there are."""
    total = config.model.num_visual
    if not 1 <= selection.keep <= total:
        raise ConfigError(f'keep must be in 1..{total} visual tokens, got {selection.keep}')
