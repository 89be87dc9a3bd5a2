# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla eval` drives the simulated arm by checkpoints of the public formats."""
import json

import golden_data
from libero_scene import libero_env
import numpy as np
import pytest
from sqap_vla_ros.cli import main
from sqap_vla_ros.evaluate import evaluation, workers
from sqap_vla_ros.policy import Policy
from sqap_vla_ros.sim.options import INSTRUCTIONS
from sqap_vla_ros.sim.units import CONTROL_PERIOD_S

STEPS = 5
LIBERO = {'preset': 'libero'}


@pytest.fixture
def arm(monkeypatch):
    """Run episodes in this process; return what the policy answered and the arm was told."""
    env, answers, told = libero_env(), [], []
    infer, reset, step = Policy.infer, Policy.reset, env.step

    def run_episodes(jobs, scene, processes):
        monkeypatch.setattr(workers.Scene, 'environment', lambda scene: env)
        worker = workers._Worker(scene)
        for job in jobs:
            yield job, worker.run(job)
    monkeypatch.setattr(evaluation, 'run_episodes', run_episodes)
    monkeypatch.setattr(  # an episode begins with it, and the warm-up is over
        Policy, 'reset', lambda policy: answers.clear() or reset(policy))
    monkeypatch.setattr(Policy, 'infer', lambda *args, **options: answers.append(
        infer(*args, **options)) or answers[-1])
    monkeypatch.setattr(env, 'step', lambda twist, gripper: told.append(
        (env.command_scale.unit_action(twist), gripper)) or step(twist, gripper))
    return answers, told


def run(checkpoint, out, space, *more):
    """Evaluate one short episode and return the results."""
    (checkpoint / 'deployment.json').write_text(json.dumps(
        {'action_space': space, 'image': {'crop_area': 0.9, 'mirror': True}}))
    assert main(['eval', str(checkpoint), '--instructions', INSTRUCTIONS[0], '--variants', 'fp',
                 '--episodes-per-task', '1', '--max-steps', str(STEPS), '--out', str(out),
                 *more]) == 0
    return json.loads(out.read_text())


def test_an_openvla_checkpoints_unit_actions_reach_the_controller(arm, tmp_path):
    answers, told = arm
    found = run(golden_data.copy_of('openvla', tmp_path), tmp_path / 'table.json', LIBERO,
                '--unnorm-key', 'libero_spatial_no_noops')
    episode, = found['episodes']
    assert episode['steps'] == STEPS == len(answers) and not episode['fault']
    assert found['policy'] == {'unnorm_key': 'libero_spatial_no_noops'}
    for answer, (unit, gripper) in zip(answers, told, strict=True):
        np.testing.assert_allclose(unit, answer.actions[0, :6], atol=1e-6)
        assert gripper == (answer.actions[0, 6] > 0.5)


def test_a_cogact_checkpoints_chunk_is_executed_at_its_own_rate(arm, tmp_path):
    answers, told = arm
    space = {**LIBERO, 'dt': 0.1, 'scale': [1.0] * 7, 'execute_steps': 2}
    found = run(golden_data.copy_of('cogact', tmp_path), tmp_path / 'table.json', space,
                '--unnorm-key', 'bridge_orig', '--tokenizer', str(golden_data.openvla()))
    assert found['episodes'][0]['steps'] == STEPS and len(answers) == 2
    rows = [answers[0].actions[0], answers[0].actions[0], answers[0].actions[1],
            answers[0].actions[1], answers[1].actions[0]]
    for row, (unit, gripper) in zip(rows, told, strict=True):
        metres = row[:3] / 0.1 * CONTROL_PERIOD_S / 0.05
        np.testing.assert_allclose(unit[:3], metres, atol=1e-6)
        assert gripper == row[6]


@pytest.mark.parametrize('changes, message', [
    ({'frame': 'end_effector'}, 'base frame'), ({'dt': 0.08}, 'whole multiple')])
def test_actions_that_the_simulated_arm_cannot_follow_are_refused(arm, tmp_path, capsys, changes,
                                                                  message):
    checkpoint = golden_data.copy_of('openvla', tmp_path)
    deployment = {'action_space': {**LIBERO, **changes}}
    (checkpoint / 'deployment.json').write_text(json.dumps(deployment))
    assert main(['eval', str(checkpoint), '--unnorm-key', 'bridge_orig']) == 1
    assert message in capsys.readouterr().err
    assert not arm[0]


def test_a_checkpoint_that_does_not_say_what_its_actions_mean_is_refused(arm, capsys):
    assert main(['eval', str(golden_data.openvla()), '--unnorm-key', 'bridge_orig']) == 1
    assert 'declare action_space' in capsys.readouterr().err
