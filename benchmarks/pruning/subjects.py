# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The policies whose answers are compared, none of which is an OpenVLA-OFT that somebody trained.

oft_tiny: golden checkpoints with weights from several seeds, on pictures of a simulated kitchen.
halves: the bundled policy, which is trained, on the same pictures; the upper and the lower half
of its one image stand for those of two cameras.  drawn: see task.py and training.py.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
import sys
from tempfile import TemporaryDirectory

import numpy as np
from sqap_vla_ros.commands import replay
from sqap_vla_ros.commands.parser import Parser
from sqap_vla_ros.commands.replay_config import node_config
from sqap_vla_ros.commands.replay_plan import planned
from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.observation import Observation
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.recordings.open import open_recording
from sqap_vla_ros.support.resources import named_checkpoint
import torch

from . import task
from .measure import Subject

TEST = Path(__file__).resolve().parents[2] / 'test'
APART = 24  # images between those that stand for two cameras'


def observations(stride: int) -> list[Observation]:
    """Return what the bundled policy would see in the recording of the tests."""
    bag, parser = TEST / 'data' / 'libero_bag', Parser()
    replay.add_arguments(parser)
    args = parser.parse_args([
        str(bag), '--checkpoint', 'libero_goal', '--config', 'libero_sim', '--out', str(bag),
        '--stride', str(stride)])
    with closing(open_recording(bag)) as recording:
        looks = list(planned(args, node_config(args), recording).replay.new_looking())
    return [look.observation for look in looks if look.observation is not None]


@torch.inference_mode()
def halves(seen: list[Observation]) -> Subject:
    """Return the bundled policy, one image of which stands for two."""
    policy = load_policy(named_checkpoint('libero_goal'))
    model, inputs = policy.model, policy.inputs
    rows, columns = policy.grid
    return Subject(model, 2, (rows // 2, columns), [
        model.embed(model.encode_image(inputs.pixels(one.image)),
                    inputs.token_ids(one.instruction), inputs.state(one.state)) for one in seen])


@torch.inference_mode()
def oft_tiny(seed: int, seen: list[Observation]) -> Subject:
    """Return a golden checkpoint of random weights; the second camera's image is a later one."""
    with TemporaryDirectory() as folder:
        policy = load_policy(_written(Path(folder), seed))
    model, inputs = policy.model, policy.inputs
    states = torch.rand(len(seen), 1, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return Subject(model, 2, policy.grid, [
        model.embed(model.encode_image(inputs.pixels(one.image, other.image)),
                    inputs.token_ids(one.instruction), state)
        for one, other, state in zip(seen, np.roll(np.array(seen, object), -APART), states)])


def _written(folder: Path, seed: int) -> Path:
    """Return a directory in the true format; its weights are of other seeds than the goldens'."""
    sys.path.insert(0, str(TEST))
    import golden_data
    recipe = golden_data.recipe_oft()
    seeds = dict(recipe.SEEDS)
    recipe.SEEDS.update({name: number + 10007 * seed for name, number in seeds.items()})
    try:
        return recipe.write_oft(folder, recipe.VARIANTS['oft_tiny'], recipe.SIZES)
    finally:
        recipe.SEEDS.update(seeds)


@torch.inference_mode()
def drawn(model: VLA, count: int) -> Subject:
    """Return a policy that was trained on drawn scenes, and others of these."""
    scenes = task.batch(count, np.random.default_rng(task.TEST_SEED))
    return Subject(model, 2, model.config.vision.grid, list(model.embed(
        model.encode_image(scenes.pixels), scenes.ids, scenes.state).split(1)))
