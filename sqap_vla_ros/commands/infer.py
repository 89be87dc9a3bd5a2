# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One inference from the shell: `sqap-vla infer`, with every stage dumped if asked for."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from io import BytesIO
import logging
import time

import numpy as np

from .infer_inputs import (
    arranged, observation_of, read_noise, shown_state, told_images)
from .options import add_policy_arguments, CHECKPOINT, policy_options
from .parser import numbers
from ..control.action_space import TWIST_NAMES
from ..errors import ConfigError
from ..ingest.state import state_of
from ..ingest.told_state import MAX_REACH_M
from ..observation import STATE_NAMES
from ..support.files import check_output, save_file
from ..support.progress import Progress
from ..support.resources import checkpoint_path

POLICY = ('precision', 'device', 'dtype', 'vision_dtype', 'int8', 'threads', 'unnorm_key',
          'tokenizer', 'ddim_steps', 'guidance', 'seed', 'keep', 'prune_layer', 'selection_method',
          'preserve_top_k', 'sample_ties', 'dropped', 'camera_budget', 'selection_seed')


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla infer`."""
    add = parser.add_argument
    add('checkpoint', help=CHECKPOINT)
    add('--image', required=True, action='append', metavar='[CAMERA=]FILE',
        help='what the camera sees; of a policy of several cameras once for each, by its name '
        '(full=a.png wrist=b.png), or without names in the order of the checkpoint')
    add('--instruction', required=True, metavar='TEXT', help='what to do')
    add('--state', type=numbers, metavar='X,X,...',
        help='state of the arm, for policies that take it, with commas or spaces between its '
        'numbers. Of our own checkpoints, checked as the node checks it: '
        f'{" ".join(STATE_NAMES)}; x y z of the end effector in the base frame, m, from 0 to '
        f'{MAX_REACH_M:g} m away; its quaternion, of length 1; gripper from 0 (closed) to 1 '
        '(open). Of others, such as OpenVLA-OFT: finite numbers as their data set has them, not '
        'normalised, as many and in the order that `sqap-vla info` tells')
    add('--noise', metavar='FILE.npy',
        help='noise [T, A] that a diffusion head begins with; [100, T, A] for DDPM')
    add('--warm-up', type=int, metavar='N',
        help='inferences before the one that is timed as warm, at least 0 (then there is none but '
        'the cold one); 1 unless given, and 3 on a GPU, where the first compiles and tunes '
        'kernels and the second captures a graph')
    add('--dump', metavar='FILE.npz', help='write all stages; the timing then includes that')
    add_policy_arguments(parser, *POLICY)


def run(args) -> int:
    """Load, warm up, infer, print actions and both timings, and dump the stages if asked for."""
    check_dump(args.dump)
    with nullcontext() if args.device == 'cpu' else shown_log():
        return infer(args)


def infer(args) -> int:
    """Do what `run` does."""
    args.checkpoint = checkpoint_path(args.checkpoint)
    options = policy_options(args, capture=not args.dump)
    check_count(args.warm_up)
    images = told_images(args.image)
    with Progress('reading the checkpoint'):
        observation = shown(args, images, options)
    noise = None if args.noise is None else read_noise(args.noise)
    begun = time.perf_counter()
    with Progress('loading the weights'):
        from ..policy import load_policy
        policy = load_policy(args.checkpoint, options)
    load_s = time.perf_counter() - begun
    policy.check_instruction(args.instruction)
    rounds = warm_up_rounds(args.warm_up, policy.device.type)
    cold, warm = answers(policy, observation, noise, rounds, args)
    print_answer(args, policy, warm or cold)
    print_timing(load_s, cold, warm, rounds)
    return 0


def shown(args, images, options):
    """Return the Observation of a command line; raise, before a weight is read, if it is none."""
    from ..model.prompt import check_known
    from ..policy import declared
    config = declared(args.checkpoint, options)
    check_known(args.instruction, config.instructions)
    names = state_of(config)
    if args.state is not None and not names:
        print('note           this policy takes no state of the arm: --state is not used')
    paths = arranged(images, config.cameras, config.model.images,
                     config.origins.get('images', ''))
    return observation_of(paths, config.cameras, args.instruction,
                          shown_state(args.state, names))


def answers(policy, observation, noise, rounds: int, args) -> tuple:
    """
    Return the first chunk, and the one behind so many warm-up rounds or None for 0 of them.

    Each is what the policy answers at the beginning of an episode; the last is dumped.
    """
    def infer(text: str, dumped: bool):
        policy.reset()
        with Progress(text):
            return dump(policy, observation, noise, args) if dumped else policy.infer(
                observation, noise)
    cold = infer('first inference (cold)', bool(args.dump) and not rounds)
    for number in range(1, rounds):
        infer(f'warm-up {number + 1} of {rounds}', False)
    return cold, infer('inference', bool(args.dump)) if rounds else None


def check_count(rounds: int | None) -> None:
    """Raise ConfigError for a number of warm-up rounds below 0."""
    if rounds is not None and rounds < 0:
        raise ConfigError(f'--warm-up is {rounds}, expected at least 0')


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


def warm_up_rounds(asked: int | None, device_type: str) -> int:
    """Return how many inferences come before the one that is timed as warm."""
    if asked is not None:
        return asked
    return 3 if device_type == 'cuda' else 1


def check_dump(path) -> None:
    """Raise ConfigError, before anything is loaded, if the dump could not be written."""
    if path is not None:
        check_output(path, '--dump')


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
    save_file(args.dump, content.getvalue(), '--dump')
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
    """Print what was run, the actions, and what they tell an arm."""
    config = policy.config
    tokens = f'{policy.kept_tokens} of {config.model.num_visual} visual tokens'
    if policy.selection is not None:
        tokens += f' from layer {config.model.prune_layer} on{by_camera(config, chunk.selection)}'
    print(f'checkpoint     {args.checkpoint}: {config.model.head.kind} head, precision '
          f'{policy.precision}, {tokens}, unnorm_key {config.unnorm_key}')
    if policy.precision_reason:
        print(f'precision      {policy.precision}, chosen by auto: {policy.precision_reason}')
    print(f'vision         {policy.vision_type}')
    print_rows('actions', chunk.names, chunk.actions)
    for doubt in chunk.doubts:
        print(f'note           {doubt}')
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
        print('               (in the units of the data set; what they mean to a robot is not '
              'declared: without an action_space none can be driven)')


def by_camera(config, selection) -> str:
    """Return how many tokens each of several cameras keeps, '' for one."""
    if selection.images == 1:
        return ''
    kept = [f'{name} {len(selection.of_image(image).kept)}'
            for image, name in enumerate(config.cameras)]
    return f' ({", ".join(kept)})'


def print_timing(load_s: float, cold, warm, rounds: int) -> None:
    """Print how long loading, the first inference and a warm one took, the latter by stage."""
    total_ms = cold.timings['total']
    print(f'cold           loaded in {load_s:.1f} s, first inference {total_ms:.1f} ms'
          + ('' if warm else ': ' + stages_text(cold)))
    if warm:
        print(f'timing         warm, behind {rounds} other{"s" if rounds > 1 else ""}: '
              + stages_text(warm))


def stages_text(chunk) -> str:
    """Return milliseconds by stage, the total last."""
    return ', '.join(f'{stage} {value:.1f} ms' for stage, value in chunk.timings.items())


def print_rows(title: str, names, rows) -> None:
    """Print a table of numbers [T, A] with a name a column."""
    print(f'{title:15}' + ' '.join(f'{name:>13}' for name in names))
    for row in rows:
        print(' ' * 15 + ' '.join(f'{value:13.6g}' for value in row))
