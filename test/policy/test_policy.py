# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy from files to SI actions, and what it refuses."""
import dataclasses
import shutil

import golden_data
import numpy as np
import pytest
from safetensors.torch import load_file
from sqap_vla_ros.errors import CheckpointError, ConfigError, ObservationError
from sqap_vla_ros.formats import checkpoint
from sqap_vla_ros.observation import end_effector_state, Observation, PROTECTED, ProtectedPoints
from sqap_vla_ros.policy import load_policy, STAGES
from tiny_checkpoint import save_tiny_checkpoint
import torch

INSTRUCTIONS = ('open the drawer', 'close the drawer')
LIMIT = 0.2


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
    """Write a small random checkpoint in the true format."""
    path = tmp_path_factory.mktemp('checkpoint') / 'tiny'
    save_tiny_checkpoint(path, INSTRUCTIONS, LIMIT)
    return path


def make_observation(seed=0, **changes):
    image = np.random.default_rng(seed).integers(0, 255, (120, 160, 3), np.uint8)
    state = end_effector_state([0.5, 0.0, 0.2], [1.0, 0.0, 0.0, 0.0], 0.5)
    return dataclasses.replace(
        Observation(image, 12_500_000_000, 'open the drawer', state=state), **changes)


@pytest.mark.parametrize('precision', ['fp', 'w4a4'])
def test_an_observation_is_answered_with_a_chunk_in_si_units(directory, precision):
    policy = load_policy(directory, precision=precision, keep=20)
    chunk = policy.infer(make_observation())
    assert chunk.actions.shape == (8, 7) and chunk.actions.dtype == np.float32
    assert np.isfinite(chunk.actions).all()
    assert chunk.stamp_ns == 12_500_000_000 and chunk.dt == 0.05 and chunk.names[0] == 'vx'
    assert set(chunk.timings) == set(STAGES)
    assert chunk.timings['total'] == pytest.approx(
        sum(value for name, value in chunk.timings.items() if name != 'total'))
    assert len(chunk.selection.kept) == 20


def test_un_normalising_maps_minus_one_and_one_to_q01_and_q99(directory):
    outputs = load_policy(directory)._outputs
    for value, expected in ((-1.0, [-LIMIT] * 6 + [0]), (1.0, [LIMIT] * 6 + [1])):
        np.testing.assert_allclose(
            outputs.actions(np.full((1, 7), value))[0], expected, atol=1e-7)


def test_the_same_observation_gives_the_same_actions_after_a_reset(directory):
    policy = load_policy(directory, keep=20, selection_method='random')
    first, other = policy.infer(make_observation()), policy.infer(make_observation())
    policy.reset()
    again = policy.infer(make_observation())
    np.testing.assert_array_equal(first.actions, again.actions)
    assert list(first.selection.kept) != list(other.selection.kept)


def test_patches_round_a_protected_point_are_kept(directory):
    policy = load_policy(directory, keep=20)
    point = ProtectedPoints(np.array([[80.0, 60.0]]), np.zeros(1), ('hand',))
    selection = policy.infer(make_observation(protected=point)).selection
    assert (selection.reason == PROTECTED).any()
    middle = {3 * 8 + 3, 3 * 8 + 4, 4 * 8 + 3, 4 * 8 + 4}
    assert middle <= set(selection.kept.tolist())
    rows, cols = np.divmod(selection.kept[selection.reason == PROTECTED], 8)
    assert np.hypot(rows - 3.5, cols - 3.5).max() < 2.6


@pytest.mark.parametrize('changes, message', [
    ({'instruction': ' '}, 'empty'), ({'instruction': 'open the fridge'}, 'fridge'),
    ({'state': None}, 'needs the state'), ({'state': np.full(8, np.nan)}, 'not finite'),
    ({'image': np.zeros((5, 5), np.uint8)}, '(?i)image'),
    ({'image': np.zeros((64, 64, 3), np.float32)}, 'uint8'),
])
def test_an_unusable_observation_is_refused_with_the_reason(directory, changes, message):
    with pytest.raises(ObservationError, match=message):
        load_policy(directory).infer(make_observation(**changes))


def test_actions_that_are_not_finite_never_leave_the_policy(directory):
    policy = load_policy(directory)
    policy._model.head.fc2.bias.data[0] = float('nan')
    with pytest.raises(ObservationError, match='non-finite actions'):
        policy.infer(make_observation())


def copy_of(directory, target):
    return shutil.copytree(directory, target / 'copy')


def edited(directory, tmp_path, file, change):
    path = copy_of(directory, tmp_path)
    golden_data.edit(path / file, change)
    return path


@pytest.mark.parametrize('change, message', [
    (lambda c: c.update(format='other/9'), "'other/9' is not"),
    (lambda c: c['model'].pop('llm'), 'llm'),
    (lambda c: c.update(surprise=1), 'surprise'),
    (lambda c: c['model']['vision'].update(stem='wavelet'), 'wavelet'),
    (lambda c: c['model']['llm'].update(intermediate_size=256), 'does not fit its config.json'),
    (lambda c: c['model']['head'].update(action_dim=6), 'head gives 6 values')])
def test_a_config_that_is_not_ours_is_refused(directory, tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        load_policy(edited(directory, tmp_path, 'config.json', change))


@pytest.mark.parametrize('change, message', [
    (lambda s: s['action'].update(q01=[-1.0]), 'q01 must be 7'),
    (lambda s: s['action'].update(mask=[True]), 'mask must be 7'),
    (lambda s: s['action'].update(q99=[float('nan')] * 7), 'q99 must be 7 finite'),
    (lambda s: s['action'].update(q99=['fast'] * 7), 'no numbers'),
    (lambda s: s['action'].update(q99=[-9.0] * 7), 'must not exceed'),
    (lambda s: s['state'].update(std=[0.0] * 8), 'std must be above 0'),
    (lambda s: s['state'].update(mean=[0.0]), 'state mean must be 8'),
    (lambda s: s.pop('action'), 'action'), (lambda s: s.pop('state'), 'mean')])
def test_statistics_of_another_size_or_without_sense_are_refused(
        directory, tmp_path, change, message):
    path = edited(directory, tmp_path, 'norm_stats.json', lambda c: change(c['test']))
    with pytest.raises(CheckpointError, match=message):
        load_policy(path)


@pytest.mark.parametrize('file', checkpoint.FILES)
@pytest.mark.parametrize('damage', [
    lambda data: data[:len(data) // 2], lambda data: b'', lambda data: b'[1, 2]',
    lambda data: b'\xff\xfe' + data])
def test_any_damaged_file_is_named(directory, tmp_path, file, damage):
    path = copy_of(directory, tmp_path) / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=file):
        load_policy(path.parent)


def test_all_files_of_a_checkpoint_are_as_readable_as_any_other(directory, tmp_path):
    path, weights = tmp_path / 'new', load_file(directory / 'model.safetensors')
    checkpoint.save(path, checkpoint.read_config(directory), weights, {},
                    checkpoint.read_tokenizer(directory))
    (tmp_path / 'plain').touch()
    assert {file.stat().st_mode for file in path.iterdir()} == {
        (tmp_path / 'plain').stat().st_mode}


def test_an_interrupted_save_leaves_the_older_checkpoint_whole(directory, tmp_path):
    path = copy_of(directory, tmp_path)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    config, weights = checkpoint.read_config(path), load_file(path / 'model.safetensors')
    zeros = {name: tensor * 0 for name, tensor in weights.items()}
    (path / 'config.json.part').symlink_to('/dev/full')  # the last file meets a full disk
    with pytest.raises(OSError, match='No space left'):
        checkpoint.save(path, config, zeros, {}, checkpoint.read_tokenizer(path))
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_the_end_effector_state_has_one_sign_and_refuses_nonsense():
    state = end_effector_state([1, 2, 3], [0.0, 0.0, -2.0, -2.0], 1.7)
    np.testing.assert_allclose(state, [1, 2, 3, 0, 0, 0.70710678, 0.70710678, 1], atol=1e-6)
    down = [[-0.71, -0.70, 0.01, 0.01], [0.71, 0.70, 0.01, -0.01]]  # nearly one rotation
    first, second = (end_effector_state([0, 0, 0], q, 0.5) for q in down)
    assert np.abs(first - second).max() < 0.05
    for arguments in (([np.nan, 0, 0], [0, 0, 0, 1], 0), ([0, 0, 0], [0, 0, 0, 0], 0),
                      ([0, 0, 0], [0, 0, 0, 1], np.inf * 0)):
        with pytest.raises(ObservationError, match='not finite'):
            end_effector_state(*arguments)


def test_protected_points_must_agree_in_number():
    with pytest.raises(ObservationError, match='1 names'):
        ProtectedPoints(np.zeros((2, 2)), np.zeros(2), ('hand',))


def test_info_prints_what_a_checkpoint_holds(directory, capsys):
    from sqap_vla_ros.cli import main
    assert main(['info', str(directory)]) == 0
    printed = capsys.readouterr().out
    for text in ('8 x 8 = 64 visual tokens', 'open the drawer', 'precision      fp',
                 'auto would choose ', ' on cpu: ', 'vx'):
        assert text in printed


@pytest.mark.skipif(torch.cuda.is_available(), reason='this is about machines without CUDA')
def test_a_gpu_that_is_not_there_is_an_error_that_says_what_to_do(directory):
    for device in ('cuda', 'cuda:0', torch.device('cuda')):
        with pytest.raises(ConfigError, match='leave device out to run on the CPU'):
            load_policy(directory, device=device)
    assert load_policy(directory, device='auto').infer(make_observation()).actions.any()


def test_a_policy_is_warmed_up_for_the_images_and_the_prompt_that_will_come(directory):
    policy = load_policy(directory, keep=20)
    policy.warm_up(instruction='close the drawer', image_size=(120, 160))
    first = policy.infer(make_observation()).actions
    policy.reset()
    np.testing.assert_array_equal(policy.infer(make_observation()).actions, first)
    with pytest.raises(ObservationError, match='fridge'):
        policy.warm_up(instruction='open the fridge')
