# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla eval` drives the simulated arm by checkpoints of the public formats."""
import json
import re
import shutil

import golden_data
from libero_scene import libero_env, need_libero
import numpy as np
import pytest
from sqap_vla_ros.cli import main
from sqap_vla_ros.evaluate import evaluation, workers
from sqap_vla_ros.policy import Policy
from sqap_vla_ros.sim.options import INSTRUCTIONS
from sqap_vla_ros.sim.units import CONTROL_PERIOD_S, gripper_to_unit

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


OFT = {'action_space': {**LIBERO, 'execute_steps': 3}, 'image': 'libero', 'state': 'libero'}


def run_oft(tmp_path, deployment):
    """Evaluate one short episode of an OpenVLA-OFT directory and return the results."""
    checkpoint, out = tmp_path / 'oft', tmp_path / 'table.json'
    if not checkpoint.exists():
        shutil.copytree(golden_data.oft('oft_tiny'), checkpoint)
    (checkpoint / 'deployment.json').write_text(json.dumps(deployment))
    code = main(['eval', str(checkpoint), '--instructions', INSTRUCTIONS[0], '--variants',
                 'prune', '--episodes-per-task', '1', '--max-steps', str(STEPS),
                 '--out', str(out)])
    return json.loads(out.read_text()) if code == 0 else None


def test_an_oft_checkpoint_sees_what_its_client_shows_and_plays_its_first_rows(
        arm, tmp_path, monkeypatch, capsys):
    answers, told = arm
    seen, infer = [], Policy.infer
    monkeypatch.setattr(Policy, 'infer', lambda policy, observation, *noise: seen.append(
        observation) or infer(policy, observation, *noise))
    found = run_oft(tmp_path, OFT)
    episode, = found['episodes']
    assert episode['steps'] == STEPS and not episode['fault'] and len(answers) == 2
    assert 'note:' not in capsys.readouterr().out
    first, second = (answer.actions for answer in answers)
    for row, (unit, gripper) in zip([*first[:3], *second[:2]], told, strict=True):
        np.testing.assert_allclose(unit, np.clip(row[:6], -1, 1), atol=1e-6)
        assert gripper_to_unit(gripper) == -np.sign(2 * row[6] - 1)
    env, begun = libero_env(), seen[-2]
    env.reset(0, INSTRUCTIONS[0])
    assert (begun.camera, *begun.views) == ('full', 'wrist')
    np.testing.assert_array_equal(begun.image, env.render()[::-1])  # upside down, as theirs
    np.testing.assert_array_equal(begun.view('wrist').image, env.render_wrist()[::-1])
    assert begun.state.shape == (8,) and 2 < begun.state[3] < 4
    selection = answers[0].selection
    assert selection.images == 2 and len(selection.kept) == 154
    for image in range(2):
        assert selection.of_image(image).counts()['protected'] > 0


def test_an_oft_checkpoint_without_its_clients_pictures_is_noted(tmp_path, capsys):
    need_libero()
    checkpoint = shutil.copytree(golden_data.oft('oft_tiny'), tmp_path / 'oft')
    (checkpoint / 'deployment.json').write_text(json.dumps({**OFT, 'image': {'crop_area': 0.9}}))
    evaluation._settled(evaluation.EvaluationOptions(str(checkpoint)))
    assert 'note: the simulated frames are upright' in capsys.readouterr().out


@pytest.mark.parametrize('changes, message', [
    ({'cameras': ['left', 'right']}, 'the simulator has two: one in front'),
    ({'action_space': LIBERO}, 'execute_steps is missing: how many of the 8 rows')])
def test_an_oft_checkpoint_that_lacks_a_convention_is_refused_before_any_episode(
        arm, tmp_path, capsys, changes, message):
    assert run_oft(tmp_path, {**OFT, **changes}) is None
    assert re.search(message, capsys.readouterr().err) and not arm[0]


def test_an_oft_checkpoint_of_another_data_set_has_to_say_what_its_state_is(
        arm, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluation, 'run_episodes', None)  # it is refused before one is begun
    shutil.copytree(golden_data.oft('oft_tiny'), tmp_path / 'oft')
    golden_data.edit(tmp_path / 'oft/dataset_statistics.json', lambda statistics: (
        statistics.update(mine=statistics.pop('libero_spatial_no_noops'))))
    deployment = {**OFT, 'oft': {'images': 2, 'chunk_length': 8, 'normalization': 'q01_q99'}}
    del deployment['state']
    assert run_oft(tmp_path, deployment) is None
    found = capsys.readouterr().err
    assert 'nothing says what they are' in found and '"state": "libero"' in found and not arm[0]


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
