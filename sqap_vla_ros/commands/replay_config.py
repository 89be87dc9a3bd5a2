# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What `sqap-vla replay` is told: the robot's YAML as the node takes it, and what goes on top."""

from __future__ import annotations

from dataclasses import fields, replace
import re

from ..errors import ConfigError
from ..ingest.observer import ObserverOptions
from ..options import OPTIONS, plain_default, PolicyOptions
from ..ros.vla.config import NodeConfig, PARAMETERS
from ..support.requirements import missing_modules_as

MOST_NUMBERS = 100_000  # of a list
_SPAN = re.compile(r'(\d{1,15})(?:-(\d{1,15}))?', re.ASCII)
# options of a policy that the command line may lay over the YAML
POLICY = ('unnorm_key', 'tokenizer', 'device', 'dtype', 'vision_dtype', 'int8', 'threads',
          'ddim_steps', 'guidance', 'ensemble', 'execute_steps', 'prune_layer', 'preserve_top_k',
          'sample_ties', 'dropped', 'camera_budget', 'radius_patches')
# what of the node's parameters decides what it sees and answers
SEEN = ({item.name for item in fields(ObserverOptions)} & set(PARAMETERS)) | {
    'cameras', 'image_timeout', 'max_instruction_length', 'arm_joints'}


def node_config(args, checkpoint: str = '') -> NodeConfig:
    """
    Return what the files of --config say, later ones on top, and a checkpoint.

    checkpoint: of commands without an option for it.

    Raises ConfigError for what a node would not take.
    """
    values = {}
    if args.config:
        with missing_modules_as(ConfigError):
            from ..ros.launching.files import parameter_file
            from ..ros.vla.overrides import parameters_of
        for text in args.config:
            path = parameter_file('--config', text)
            values.update(parameters_of(path, '/' + args.node.strip('/'), PARAMETERS))
    known_names = set(PARAMETERS)
    values = {name: value for name, value in values.items()
              if name in known_names or '.' in name}
    if checkpoint or args.checkpoint:
        values['checkpoint'] = checkpoint or args.checkpoint
    config = NodeConfig.from_parameters(values)
    return replace(config, policy=_policy(args, config.policy))


def _policy(args, given: PolicyOptions) -> PolicyOptions:
    """Return the YAML's options with those of the command line that were given."""
    told = {item.name: getattr(args, item.name) for item in OPTIONS
            if item.name in POLICY and hasattr(args, item.name)
            and getattr(args, item.name) != plain_default(item)}
    return replace(given, precision=None, keep=None, **told)


def seen_values(config: NodeConfig) -> dict:
    """Return the parameters that decide what is seen, by name, JSON values."""
    values = {name: getattr(config, name) for name in sorted(SEEN)}
    return {**values, **{f'{camera}.{name}': value for camera, own in config.of_cameras.items()
                         for name, value in own.items()}}


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Return the whole numbers of a list such as 0,3-5; raise ConfigError for another text."""
    found: list[int] = []
    for part in filter(None, text.replace(' ', '').split(',')):
        span = _SPAN.fullmatch(part)
        if not span:
            raise ConfigError(f'{option} {text}: expected whole numbers, such as 0,3-5')
        first, last = int(span[1]), int(span[2] or span[1])
        if last < first:
            raise ConfigError(f'{option} {text}: {part} goes from {first} down to {last}, '
                              f'expected {last}-{first}')
        if last - first >= MOST_NUMBERS:
            raise ConfigError(f'{option} {text}: expected {MOST_NUMBERS} numbers at most')
        found += range(first, last + 1)
    if text and not found:
        raise ConfigError(f'{option} {text!r}: expected at least one whole number, such as 0,3-5')
    return tuple(dict.fromkeys(found))
