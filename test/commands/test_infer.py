# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla infer` and `sqap-vla info` on all three formats."""
import errno
import json
import logging
from pathlib import Path
import re
import shutil

import golden_data
import golden_oft
import numpy as np
import pytest
from sqap_vla_ros.cli import main
from sqap_vla_ros.commands import infer
from sqap_vla_ros.control.action_space import DELTA_NAMES
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest.observer import ObserverOptions
from sqap_vla_ros.ingest.told_state import MAX_REACH_M, told_state
from sqap_vla_ros.observation import end_effector_state
from tiny_checkpoint import save_tiny_checkpoint

COMMON = {'pixel_values', 'input_ids', 'projected', 'hidden_states', 'normalized_actions',
          'actions'}
FUSED = COMMON | {'dino_features', 'siglip_features', 'logits_last'}
STAGES = {'openvla': FUSED | {'generated_ids'},
          'cogact': FUSED | {'cognition_feature', 'ddim_raw'},
          'own': COMMON | {'patch_features'}}


@pytest.fixture(scope='module')
def own(tmp_path_factory):
    """Return a checkpoint of this package's own format."""
    path = tmp_path_factory.mktemp('own') / 'tiny'
    save_tiny_checkpoint(path)
    return path


def arguments(kind, own, *more):
    """Return the command line of one inference."""
    checkpoint = {'openvla': golden_data.openvla, 'cogact': golden_data.cogact,
                  'own': lambda: own}[kind]()
    instruction = ('put the bowl on the stove' if kind == 'own'
                   else str(golden_data.expected('openvla_case0')['instruction']))
    options = {'openvla': ['--unnorm-key', 'bridge_orig'],
               'cogact': ['--unnorm-key', 'bridge_orig', '--tokenizer',
                          str(golden_data.openvla())],
               'own': ['--state', *'0.5 0 0.2 1 0 0 0 1'.split()]}[kind]
    return ['infer', str(checkpoint), '--image', str(golden_data.GOLDEN / 'case0.png'),
            '--instruction', instruction, *options, *map(str, more)]


@pytest.mark.parametrize('kind', STAGES)
def test_actions_and_timing_are_printed_and_stages_dumped(kind, own, tmp_path, capsys):
    dump = tmp_path / 'stages.npz'
    assert main(arguments(kind, own, '--precision', 'fp', '--dump', dump)) == 0
    printed = capsys.readouterr().out
    for text in ('precision fp', 'visual tokens', 'gripper', 'prefill_1', 'total', str(dump)):
        assert text in printed
    with np.load(dump) as stages:
        assert set(stages) == STAGES[kind]
        assert all(np.isfinite(stages[name]).all() for name in stages)


def test_the_dump_has_the_official_values(own, tmp_path, capsys):
    noise, dump = tmp_path / 'noise.npy', tmp_path / 'stages.npz'
    expected = golden_data.expected('cogact_case0')
    np.save(noise, expected['noise'])
    assert main(arguments('cogact', own, '--noise', noise, '--dump', dump, '--ddim-steps', 5)) == 0
    with np.load(dump) as stages:
        np.testing.assert_allclose(stages['logits_last'], expected['logits_last'], atol=1e-4)
        np.testing.assert_allclose(
            stages['actions'], expected['ddim5_cfg1.5_actions_bridge_orig'], atol=1e-4)
    printed = capsys.readouterr().out
    assert '(in the units of the data set; what they mean to a robot is not declared: ' in printed


def test_declared_actions_are_told_as_an_arm_would_be_told_them(own, tmp_path, capsys):
    checkpoint = golden_data.copy_of('openvla', tmp_path)
    (checkpoint / 'deployment.json').write_text(json.dumps({'action_space': 'libero'}))
    given = arguments('openvla', own)
    given[1] = str(checkpoint)
    assert main(given) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(row for row, line in enumerate(lines) if line.startswith('commands'))
    assert lines[start].split()[1:] == ['vx', 'vy', 'vz', 'wx', 'wy', 'wz', 'open']
    action, told = (np.array(lines[row].split(), float) for row in (start - 1, start + 1))
    np.testing.assert_allclose(told[:6], action[:6] * ([1] * 3 + [10] * 3), rtol=1e-5)
    assert told[6] == (action[6] > 0.5)


def test_stages_in_bfloat16_are_near_those_in_float32(own, tmp_path):
    found = {}
    for name in ('float32', 'bfloat16'):
        dump = tmp_path / f'{name}.npz'
        assert main(arguments('openvla', own, '--dtype', name, '--dump', dump)) == 0
        with np.load(dump) as stages:
            found[name] = stages['hidden_states']
    assert found['bfloat16'].dtype == np.float32
    gap = np.abs(found['bfloat16'] - found['float32']).mean()
    assert 0 < gap < 0.05 * np.abs(found['float32']).mean()


def test_on_a_gpu_the_log_is_shown_and_what_compiles_is_not_timed(capsys):
    log = logging.getLogger('sqap_vla_ros.kernels')
    with infer.shown_log():
        log.info('int8 wgmma: because')
    log.info('nobody looks')
    assert capsys.readouterr().err == 'int8 wgmma: because\n'
    assert [infer.warm_up_rounds(*case) for case in (
        (None, 'cpu'), (None, 'cuda'), (0, 'cuda'), (5, 'cpu'))] == [1, 3, 0, 5]


def test_pruning_leaves_early_layers_whole_and_says_what_it_kept(own, tmp_path):
    dump = tmp_path / 'stages.npz'
    options = ['--keep', 64, '--precision', 'w4a4', '--dump', dump]
    assert main(arguments('openvla', own, *options)) == 0
    with np.load(dump) as stages:
        length = len(stages['input_ids'][0]) + 256
        assert stages['hidden_states'].shape == (3, length, 64)
        assert stages['hidden_states_kept'].shape == (2, length - 192, 64)
        assert stages['kept_tokens'].shape == (64,)


def test_of_several_cameras_it_says_what_each_keeps(capsys):
    path, images = golden_oft.directory('oft_tiny'), []
    for name in golden_oft.CAMERAS['oft_tiny']:
        images += ['--image', f'{name}={golden_data.GOLDEN / f"oft_tiny_case0_{name}.png"}']
    values = golden_oft.expected('oft_tiny', 0)['state']
    state = ','.join(map(str, [99.0, *values[1:]]))
    assert main(['infer', str(path), *images, '--instruction', 'stack', f'--state={state}',
                 '--keep', '301', '--camera-budget', 'each', '--warm-up', '0',
                 '--precision', 'auto']) == 0
    told = capsys.readouterr().out
    assert '301 of 512 visual tokens from layer 3 on (full 151, wrist 150), ' in told
    assert re.search(r'\nprecision +\w+, chosen by auto: .*this CPU', told)
    assert re.search(r'\nnote +the state has \w+ 99, far outside the training data \(', told)


def test_what_is_pruned_at_another_layer_is_printed_with_that_layer(own, tmp_path, capsys):
    dump = tmp_path / 'stages.npz'
    assert main(arguments('openvla', own, '--keep', 64, '--prune-layer', 1, '--dump', dump)) == 0
    assert '64 of 256 visual tokens from layer 1 on, ' in capsys.readouterr().out
    with np.load(dump) as stages:
        assert len(stages['hidden_states']) == 2 and len(stages['hidden_states_kept']) == 3


@pytest.mark.parametrize('kind, options, message', [
    ('openvla', ['--prune-layer', '5'], 'prune_layer 5 must be in 1..4'),
    ('openvla', ['--image', 'nothing.png'], 'nothing.png does not exist'),
    ('openvla', ['--image', __file__], 'cannot be read as an image'),
    ('openvla', ['--image', 'a.png', '--image', 'b.png'],
     'given 2 times, and the checkpoint takes 1 image: give --image FILE, or, if it is an Op'),
    ('cogact', ['--noise', __file__], 'no .npy file'),
    ('openvla', ['--dump', 'no/such/directory/file.npz'], 'does not exist'),
    ('openvla', ['--unnorm-key', 'berkeley'], "'bridge_orig', 'libero_spatial_no_noops'"),
    ('openvla', ['--cfg-scale', '2'], 'diffusion head'),
    ('openvla', ['--keep', '300'], '1..256'),
    ('openvla', ['--precision', 'w2a2'], 'w2a2'), ('openvla', ['--device', 'gpu'], "'gpu'"),
    ('openvla', ['--device', 'cuda:99'], 'cuda:99'), ('openvla', ['--dtype', 'int8'], 'int8'),
    ('cogact', ['--cfg-scale', 'nan'], '--cfg-scale'),
    ('cogact', ['--seed', '-1'], 'seed is -1'),
    ('openvla', ['--threads', '-2'], 'is -2, expected'),
    ('openvla', ['--warm-up', '-2'], '--warm-up is -2, expected'),
    ('cogact', ['--ddim-steps', '11'], '--ddim-steps')])
def test_what_cannot_be_used_is_one_line_that_says_why(kind, options, message, own, capsys):
    given = arguments(kind, own)
    if options[0] == '--image':  # in place of the one that can be read
        at = given.index('--image')
        given[at:at + 2] = []
    assert main([*given, *options]) == 1
    printed = capsys.readouterr().err
    assert message in printed and printed.count('\n') == 1


def test_a_dump_for_which_there_is_no_room_leaves_nothing(own, tmp_path, capsys, monkeypatch):
    def full(self, content):
        with self.open('wb') as file:
            file.write(content[:1000])
        raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(Path, 'write_bytes', full)
    assert main(arguments('openvla', own, '--dump', tmp_path / 'stages.npz')) == 1
    told = capsys.readouterr().err
    assert f'--dump {tmp_path / "stages.npz"} cannot be written: No space left' in told
    assert re.search(r'\(\d+ bytes are needed, \d+ bytes are free\)', told)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('options, times, dumped', [
    ([], ['cold', 'timing'], 2), (['--warm-up', '0'], ['cold'], 1),
    (['--warm-up', '2'], ['cold', 'timing'], 3)])
def test_the_cold_time_and_the_warm_one_are_told_apart(
        options, times, dumped, own, capsys, monkeypatch):
    asked = []
    from sqap_vla_ros.policy import Policy
    real = Policy.infer
    monkeypatch.setattr(Policy, 'infer', lambda self, seen, noise=None: (
        asked.append(self._step), real(self, seen, noise))[1])
    assert main(arguments('own', own, *options)) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown if line.split()[0] in ('cold', 'timing')] == times
    assert asked == [0] * dumped  # each begins anew, so that the answer is one of a first image
    assert any(re.match(r'cold +loaded in [\d.]+ s, first inference [\d.]+ ms', line)
               for line in shown)
    assert 'prefill_1' in shown[-1] and 'total' in shown[-1]


@pytest.mark.parametrize('state, told', [
    ('500 0 200 1 0 0 0 1', 'x y z 538.5.* m from the base.*are they metres'),
    ('0.5 0 nan 1 0 0 0 1', 'z nan, expected a finite number'),
    ('0.5 0 0.2 1 1 0 0 1', 'of length 1.41, expected 1'),
    ('0.5 0 0.2 0 0 0 0 1', 'of length 0, expected 1'),
    ('0.5 0 0.2 1 0 0 0 40', 'gripper 40, expected 0'),
    ('0.5 0 0.2 1 0 0 0 -0.1', 'gripper -0.1, expected 0')])
def test_a_state_that_no_arm_has_is_refused_before_anything_is_loaded(
        state, told, own, capsys, monkeypatch):
    monkeypatch.setattr('sqap_vla_ros.policy.load_policy', lambda *args: pytest.fail('loaded'))
    given = arguments('own', own)
    given[given.index('--state') + 1:given.index('--state') + 9] = state.split()
    assert main(given) == 1
    printed = capsys.readouterr().err
    assert re.search(f'--state: the state has .*{told}', printed) and printed.count('\n') == 1


def test_a_told_state_is_built_as_the_node_builds_one():
    values = [0.4, -0.1, 0.3, 0.0, -0.7071, 0.0, -0.7071, 0.5]
    np.testing.assert_array_equal(
        told_state(values), end_effector_state(values[:3], values[3:7], values[7]))
    with pytest.raises(ObservationError, match='shape .7., expected 8'):
        told_state(values[:7])
    with pytest.raises(ObservationError, match='expected numbers'):
        told_state([*values[:7], 'open'])
    assert MAX_REACH_M == ObserverOptions.max_reach


def test_a_policy_that_needs_the_state_asks_for_it(own, capsys):
    given = arguments('own', own)
    place = given.index('--state')
    assert main(given[:place]) == 1
    assert '--state' in capsys.readouterr().err


@pytest.mark.parametrize('kind, texts', [
    ('openvla', ('DINOv2 of 3 blocks of width 64', 'SigLIP of 4 blocks of width 72',
                 '7 decoded tokens, 256 bins', '4 blocks of width 64, 4 heads', 'float32',
                 'choose one of bridge_orig, libero_spatial_no_noops', 'resize-naive')),
    ('cogact', ('diffusion transformer of 3 blocks of width 96', 'DDIM 10 steps, guidance 1.5',
                'choose one of bridge_orig, fractal20220817_data', '--tokenizer', 'step-000'))])
def test_info_shows_what_a_foreign_checkpoint_holds_and_needs(kind, texts, capsys):
    directory = golden_data.openvla() if kind == 'openvla' else golden_data.cogact()
    assert main(['info', str(directory)]) == 0
    printed = capsys.readouterr().out
    for text in (*texts, '16 x 16 = 256 visual tokens', 'declare action_space', 'llm', 'head'):
        assert text in printed


def test_info_shows_the_ranges_of_a_data_set_and_the_declared_actions(tmp_path, capsys):
    path = shutil.copytree(golden_data.openvla(), tmp_path / 'copy')
    (path / 'deployment.json').write_text(json.dumps({'action_space': {
        'kind': 'delta', 'names': [*DELTA_NAMES, 'gripper'], 'dt': 0.2, 'frame': 'end_effector',
        'rotation': 'rpy', 'gripper_open': 1.0, 'gripper_closed': 0.0}}))
    assert main(['info', str(path), '--unnorm-key', 'bridge_orig']) == 0
    printed = capsys.readouterr().out
    for text in ('delta in frame end_effector', 'rotation rpy', 'every 0.2 s (5 Hz)', '1 executed',
                 'gripper 1 open, 0 closed, continuous', 'as the head gives it', '-0.0309',
                 '-0.154 .. 0.171 m/s', '-0.126 .. 0.197 rad/s'):
        assert text in printed


def test_an_instruction_is_refused_before_the_weights_are_read(own, monkeypatch, capsys):
    monkeypatch.setattr('sqap_vla_ros.policy.load_policy', lambda *args: pytest.fail('loaded'))
    given = arguments('own', own)
    given[given.index('--instruction') + 1] = 'the stove put the bowl on'
    assert main(given) == 1
    assert "the nearest is 'put the bowl on the stove'" in capsys.readouterr().err
