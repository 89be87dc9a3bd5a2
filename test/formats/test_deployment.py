# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What deployment.json and config.json say of actions, when a checkpoint is opened."""

import json
import logging
from pathlib import Path

import golden_data
import pytest

from sqap_vla_ros.commands.info import image_lines
from sqap_vla_ros.control.action_space import DELTA_NAMES
from sqap_vla_ros.errors import CheckpointError
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.formats.checkpoint import CheckpointConfig, config_from_dict, config_to_dict
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.loading.chosen_options import with_options
from sqap_vla_ros.options import PolicyOptions

KEY = golden_data.KEY
OLD_KEYS = ('kind', 'names', 'dt', 'frame', 'execute_steps', 'gripper_open', 'gripper_closed')
FRACTAL_Q99 = [0.17, 0.14, 0.17, 0.589, 0.353, 0.448, 1.0]


@pytest.fixture
def opened(tmp_path):
    """Return a function that opens a golden checkpoint with a deployment.json."""
    def open_it(head, space, **others):
        path = tmp_path / head
        if not path.exists():
            golden_data.copy_of(head, tmp_path)
        (path / 'deployment.json').write_text(
            json.dumps({'unnorm_key': KEY, 'action_space': space, **others}))
        return open_checkpoint(path)
    return open_it


def set_statistics(source, q99):
    """Give the data set other ranges, -q99..q99."""
    source.norm_stats[KEY]['action'] = {'q01': [-value for value in q99], 'q99': q99}
    return source


@pytest.mark.parametrize('head, space, others, steps', [
    ('openvla', 'bridge', {}, 1),
    ('cogact', {'preset': 'bridge', 'execute_steps': 16}, {}, 16),
    ('openvla', {'preset': 'bridge', 'execute_steps': 1}, {}, 1)])
def test_a_policy_of_one_row_executes_one(opened, head, space, others, steps):
    assert opened(head, space, **others).config.action_space.execute_steps == steps


@pytest.mark.parametrize('head, steps, others, message', [
    ('openvla', 4, {}, 'execute_steps is 4, .* 1 row: expected 1..1'),
    ('cogact', 17, {}, 'execute_steps is 17, .* 16 rows'),
    ('cogact', 8, {'ensemble': 7}, 'execute_steps is 8, .* 1 row: ')])
def test_more_rows_than_the_head_gives_are_refused(opened, head, steps, others, message):
    with pytest.raises(CheckpointError, match=f'deployment.json: action_space: {message}'):
        opened(head, {'preset': 'bridge', 'execute_steps': steps}, **others)


@pytest.mark.parametrize('steps, ensemble, options, settled', [
    (None, 0, {}, r'execute_steps is missing: .* 1\.\.16'),
    (None, 0, {'execute_steps': 16}, 16), (None, 0, {'ensemble': 7}, 1),
    (8, 0, {'ensemble': 7}, 1), (8, 0, {'execute_steps': 4}, 4),
    (8, 0, {'execute_steps': 17}, 'execute_steps is 17, .* 16 rows'),
    (8, 0, {'ensemble': 7, 'execute_steps': 2}, 'execute_steps is 2, .* 1 row: '),
    (None, 7, {}, 1), (None, 7, {'ensemble': 0}, r'execute_steps is missing: .* 1\.\.16')])
def test_options_settle_how_many_rows_are_executed(opened, steps, ensemble, options, settled):
    """What neither file nor option says is asked for, and no option is lost."""
    space = {'preset': 'bridge', **({} if steps is None else {'execute_steps': steps})}
    config = opened('cogact', space, ensemble=ensemble).with_key(KEY).config
    if isinstance(settled, str):
        with pytest.raises(CheckpointError, match=settled):
            with_options(config, PolicyOptions(**options))
    else:
        found = with_options(config, PolicyOptions(**options)).action_space.execute_steps
        assert found == settled


def test_a_preset_says_what_it_stands_for(opened, caplog):
    with caplog.at_level(logging.INFO, 'sqap_vla_ros'):
        opened('openvla', {'preset': 'bridge', 'dt': 0.1})
    said, = [record.getMessage() for record in caplog.records]
    for part in ('deployment.json: preset bridge stands for delta in frame base', 'rotation rpy',
                 'every 0.1 s', 'threshold 0.5'):
        assert part in said


def test_a_missing_scale_is_a_note_with_the_speed_it_would_mean(opened):
    forgetful = {'preset': 'libero', 'scale': [1] * 7}
    q99 = [0.94] * 3 + [0.3] * 3 + [1.0]
    notes = set_statistics(opened('openvla', forgetful), q99).with_key(None).notes
    assert 'q99 would be dx 18.8 m/s' in notes[-1] and 'is a scale missing' in notes[-1]
    notes = set_statistics(opened('openvla', 'libero'), q99).with_key(None).notes
    assert not any('scale' in note for note in notes)


def test_what_earlier_versions_wrote_still_loads_and_asks_only_for_large_rotations(opened):
    source = opened('openvla', {'preset': 'bridge', 'rotation': 'rotvec'})
    content = json.loads(json.dumps(config_to_dict(source.config)))
    content['action_space'] = {key: content['action_space'][key] for key in OLD_KEYS}
    config = config_from_dict(content, 'config.json')
    assert config.action_space.rotation is None and config.action_space.scale == (1.0,) * 7
    object.__setattr__(source, 'config', config)
    assert source.with_key(None).config.action_space == config.action_space
    with pytest.raises(CheckpointError, match=f'{KEY}: .*rotation is missing'):
        set_statistics(source, FRACTAL_Q99).with_key(None)


def test_the_bundled_checkpoint_says_all_that_is_asked():
    path = Path(__file__).resolve().parents[2] / 'models' / 'libero_goal'
    source = open_checkpoint(path).with_key(None)
    assert source.config.action_space == CheckpointConfig().action_space
    assert source.notes == ()


@pytest.mark.parametrize('space, message', [
    ('brige', "preset 'brige' is unknown, there are .*'bridge'"), (7, 'found 7'),
    ({'preset': 'bridge', 'dt': 5.0}, 'did you mean 5 Hz, dt 0.2'),
    ({'preset': 'bridge', 'scales': []}, "unknown keys 'scales' .did you mean 'scale'"),
    ({'kind': 'delta', 'names': list(DELTA_NAMES), 'dt': 0.2, 'frame': 'base'},
     'rotation is missing')])
def test_what_is_wrong_with_an_action_space_is_told_with_its_file(opened, space, message):
    with pytest.raises(CheckpointError, match=f'deployment.json: action_space: .*{message}'):
        opened('openvla', space)


@pytest.mark.parametrize('given, expected', [
    ('libero', {'client': 'openvla', 'crop_area': 0.9, 'rotate_180': True}),
    ({'preset': 'libero', 'rotate_180': False, 'mirror': True},
     {'client': 'openvla', 'crop_area': 0.9, 'rotate_180': False, 'mirror': True}),
    ('aloha', {'client': 'openvla', 'crop_area': 0.9, 'first_size': (256, 256)})])
def test_an_image_preset_is_filled_in_said_and_written_with_the_checkpoint(
        opened, caplog, given, expected):
    with caplog.at_level(logging.INFO, 'sqap_vla_ros'):
        config = opened('openvla', 'bridge', image=given).config
    assert {name: config.image[name] for name in expected} == expected
    assert f'deployment.json: image {given} stands for' in caplog.text
    written = config_from_dict(json.loads(json.dumps(config_to_dict(config))), 'config.json')
    assert ImageTransform((8, 8), **written.image) == ImageTransform((8, 8), **config.image)
    said = ' '.join(text for _, text in image_lines(config))
    assert 'JPEG' in said and ('256 x 256' in said) == (given == 'aloha')


@pytest.mark.parametrize('image, message', [
    ('libera', r"image: preset 'libera' is unknown, there are \['libero', 'aloha'\]"),
    ({'preset': 3}, 'image: preset 3 is unknown'),
    ({'client': 'tf'}, "image: image client is 'tf'"),
    ({'client': 'openvla', 'first_size': 256}, 'image: first_size is 256'),
    ({'preset': 'libero', 'zoom': 2},
     'image is .*expected an object with preset, crop_area.*or the name'),
    (7, 'image is 7, expected an object with preset')])
def test_what_is_wrong_with_an_image_is_told_with_its_file(opened, image, message):
    with pytest.raises(CheckpointError, match=f'deployment.json: {message}'):
        opened('openvla', 'bridge', image=image)


def test_an_unknown_key_is_told_with_the_nearest(opened):
    with pytest.raises(CheckpointError, match="'unorm_key' .did you mean 'unnorm_key'"):
        opened('openvla', 'bridge', unorm_key='x')


@pytest.mark.parametrize('head', ['openvla', 'cogact'])
def test_a_checkpoint_may_name_the_camera_that_it_was_trained_on(opened, head):
    assert opened(head, 'bridge').config.cameras == ()
    config = opened(head, 'bridge', cameras=['wrist']).config
    assert config.cameras == ('wrist',)
    written = json.loads(json.dumps(config_to_dict(config)))
    assert config_from_dict(written, 'config.json').cameras == ('wrist',)
    del written['cameras']  # as earlier versions wrote it
    assert config_from_dict(written, 'config.json').cameras == ()


@pytest.mark.parametrize('cameras, message', [
    ('wrist', "cameras is 'wrist', expected a list of names"), ([''], 'expected a list of names'),
    ([1], 'expected a list of names'), (['left', 'right'], 'takes 1 image of a camera')])
def test_cameras_that_no_network_takes_are_refused(opened, cameras, message):
    with pytest.raises(CheckpointError, match=f'deployment.json: .*{message}'):
        opened('openvla', 'bridge', cameras=cameras)
