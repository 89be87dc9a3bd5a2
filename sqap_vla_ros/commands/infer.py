# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One inference from the shell: `sqap-vla infer`, with every stage dumped if asked for."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from io import BytesIO
import logging
from pathlib import Path

import numpy as np

from .options import add_policy_arguments, policy_options
from ..control.action_space import TWIST_NAMES
from ..errors import ConfigError, ObservationError
from ..ingest.images import read_image
from ..observation import Observation, STATE_NAMES
from ..support.files import write_whole

POLICY = ('precision', 'device', 'dtype', 'int8', 'threads', 'unnorm_key', 'tokenizer',
          'ddim_steps', 'guidance', 'seed', 'keep', 'prune_layer', 'selection_method',
          'preserve_top_k', 'sample_ties', 'selection_seed')


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla infer`."""
    add = parser.add_argument
    add('checkpoint', help='checkpoint directory of OpenVLA, CogACT (or its .pt) or this package')
    add('--image', required=True, metavar='FILE', help='what the camera sees')
    add('--instruction', required=True, metavar='TEXT', help='what to do')
    add('--state', type=float, nargs=len(STATE_NAMES), metavar='X',
        help='for policies that take it: ' + ' '.join(STATE_NAMES))
    add('--noise', metavar='FILE.npy',
        help='noise [T, A] that a diffusion head begins with; [100, T, A] for DDPM')
    add('--warm-up', type=int, metavar='N', help='inferences before the timed one; None: 0, and 3 '
        'on a GPU, where the first compiles and tunes kernels and the second captures a graph')
    add('--dump', metavar='FILE.npz', help='write all stages; the timing then includes that')
    add_policy_arguments(parser, *POLICY)


def run(args) -> int:
    """Load, infer once, print actions and timing, and dump the stages if asked for."""
    check_dump(args.dump)
    with nullcontext() if args.device == 'cpu' else shown_log():
        return infer(args)


def infer(args) -> int:
    """Do what `run` does."""
    from ..policy import load_policy
    options = policy_options(args, capture=not args.dump)
    check_instruction(args)
    observation = Observation(
        shown_image(args.image), 0, args.instruction,
        state=None if args.state is None else np.asarray(args.state, np.float32))
    noise = None if args.noise is None else read_noise(args.noise)
    policy = load_policy(args.checkpoint, options)
    policy.check_instruction(args.instruction)
    if policy.state_names and args.state is None:
        raise ConfigError(f'this policy is told the state of the arm: give --state with '
                          f'{" ".join(policy.state_names)}')
    for _ in range(warm_up_rounds(args.warm_up, policy.device.type)):
        policy.infer(observation, noise)
    policy.reset()
    if args.dump:
        chunk = dump(policy, observation, noise, args)
    else:
        chunk = policy.infer(observation, noise)
    print_answer(args, policy, chunk)
    return 0


def check_instruction(args) -> None:
    """Raise ObservationError, before anything is loaded, for one that the policy was not told."""
    from ..formats import open_checkpoint
    from ..model.prompt import check_known
    source = open_checkpoint(args.checkpoint, args.tokenizer or None)
    check_known(args.instruction, source.config.instructions)


@contextmanager
def shown_log():
    """Print which kernels a GPU has, why, and how far they are with compiling and tuning."""
    package, handler = logging.getLogger('sqap_vla_ros'), logging.StreamHandler()
    before = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(before)


def shown_image(path) -> np.ndarray:
    """Return --image uint8 [H, W, 3]; raise ConfigError if it cannot be read."""
    try:
        return read_image(path)
    except ObservationError as error:
        raise ConfigError(f'--image {error}') from error


def warm_up_rounds(asked: int | None, device_type: str) -> int:
    """Return how many inferences come before the timed one."""
    if asked is not None:
        return asked
    return 3 if device_type == 'cuda' else 0


def read_noise(path) -> np.ndarray:
    """Return a .npy file's array; raise ConfigError if it is none."""
    try:
        noise = np.load(path, allow_pickle=False)
        return np.asarray(noise, np.float32)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise ConfigError(f'--noise {path} is no .npy file of numbers: {error}') from error


def check_dump(path) -> None:
    """Raise ConfigError, before anything is loaded, if the dump could not be written."""
    if path is not None and not Path(path).resolve().parent.is_dir():
        raise ConfigError(f'--dump {path}: the directory does not exist, make it first')


def dump(policy, observation, noise, args):
    """Infer with every stage recorded, write them, and return the chunk."""
    from ..inference.recording import StageRecorder
    with StageRecorder(policy) as recorder:
        chunk = policy.infer(observation, noise)
    stages = recorder.stages()
    if 'cognition_feature' in stages:
        stages.update(cogact_logits(stages['cognition_feature'], args.checkpoint))
    if chunk.selection is not None:
        stages['kept_tokens'] = chunk.selection.kept
    content = BytesIO()
    np.savez(content, **stages)
    try:
        write_whole(args.dump, content.getvalue())
    except OSError as error:
        raise ConfigError(f'--dump {args.dump} cannot be written: {error.strerror}') from error
    print(f'dumped         {args.dump}: ' + ', '.join(
        f'{name} {list(array.shape)}' for name, array in stages.items()))
    return chunk


def cogact_logits(cognition: np.ndarray, checkpoint) -> dict[str, np.ndarray]:
    """Return logits_last: CogACT's files have an output layer, though no action needs it."""
    from ..formats import open_checkpoint
    tensors = open_checkpoint(checkpoint).tensors
    if not tensors.has('lm_head.weight'):
        return {}
    return {'logits_last': tensors.read('lm_head.weight').float().numpy() @ cognition}


def print_answer(args, policy, chunk) -> None:
    """Print what was run, the actions, what they tell an arm, and the timing."""
    config = policy.config
    tokens = f'{policy.kept_tokens} of {policy.grid[0] * policy.grid[1]} visual tokens'
    if policy.selection is not None:
        tokens += f' from layer {config.model.prune_layer} on'
    print(f'checkpoint     {args.checkpoint}: {config.model.head.kind} head, precision '
          f'{policy.precision}, {tokens}, unnorm_key {config.unnorm_key}')
    print_rows('actions', chunk.names, chunk.actions)
    space = config.action_space
    if config.declares_actions and not space.needs:  # absolute ones tell where, not how fast
        commands = space.commands(chunk.actions)
        names = TWIST_NAMES if space.is_cartesian else space.arm_names
        print_rows('commands', (*names, 'open'), [
            [*command.velocity, np.nan if command.gripper is None else command.gripper]
            for command in commands])
        frame = f' in frame {space.frame}' if space.is_cartesian else ''
        print(f'               (m/s and rad/s{frame}, before any limit; open: 0 closed .. 1)')
    if not config.declares_actions:
        print('               (deltas a step, in the units of the data set; no action_space is '
              'declared, so no robot can be driven)')
    print('timing         ' + ', '.join(
        f'{stage} {value:.1f} ms' for stage, value in chunk.timings.items()))


def print_rows(title: str, names, rows) -> None:
    """Print a table of numbers [T, A] with a name a column."""
    print(f'{title:15}' + ' '.join(f'{name:>13}' for name in names))
    for row in rows:
        print(' ' * 15 + ' '.join(f'{value:13.6g}' for value in row))
