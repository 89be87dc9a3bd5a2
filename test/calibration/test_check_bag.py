# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla check-camera` on bags: what it finds, prints, writes and refuses."""

from pathlib import Path
import re

from camera_bag import BagOfCamera, PERIOD_NS
from camera_check_scene import CAMERA, NOW_NS, pose
import numpy as np
import pytest
from sqap_vla_ros.calibration.bag import samples_of_bag
from sqap_vla_ros.calibration.mistakes import OPTICAL_IN_BODY
from sqap_vla_ros.cli import main
from sqap_vla_ros.ingest.observer import ObserverOptions
import yaml

BODY = np.eye(4)
BODY[:3, :3] = OPTICAL_IN_BODY.T
CONFIG = """/**:
  ros__parameters:
    base_frame: base
    end_effector_frames: [tool]
    calibration_error_px: 5
    max_linear_speed: 1e-1
"""
BOARD = ['--board', 'charuco', '--board-frame', 'board', '--squares', '5x7', '--square-size',
         '0.04', '--marker-size', '0.03']


def written(tmp_path):
    """Return what the file for the node's configuration holds."""
    return yaml.safe_load((tmp_path / 'out/calibration.yaml').read_text())


@pytest.fixture(scope='module')
def bag_without(tmp_path_factory):
    """Return a function that returns a bag of one image that lacks topics, written once."""
    made = {}

    def make(*topics):
        if topics not in made:
            made[topics] = tmp_path_factory.mktemp('bags') / 'bag'
            BagOfCamera(made[topics], images=1, without=topics)
        return made[topics]
    return make


@pytest.fixture
def check(tmp_path, capsys):
    """Return a function that runs the command on a bag: (status, stdout, stderr)."""
    config = tmp_path / 'my_arm.yaml'
    config.write_text(CONFIG)

    def run(*options, bag=tmp_path / 'bag', text=None):
        if text is not None:
            config.write_text(text)
        status = main(['check-camera', '--config', str(config), '--bag', str(bag), '--out',
                       str(tmp_path / 'out'), *map(str, options)])
        return (status, *capsys.readouterr())
    return run


@pytest.mark.parametrize('storage, compression, compressed', [
    ('SQLITE3', '', False), ('MCAP', '', False), ('SQLITE3', 'FILE', False),
    ('MCAP', 'MESSAGE', True)])
def test_a_bag_of_a_good_camera_gives_the_line_to_paste(
        check, tmp_path, storage, compression, compressed):
    BagOfCamera(tmp_path / 'bag', images=3, storage=storage, compression=compression,
                compressed=compressed)
    status, out, _ = check(*BOARD)
    assert status == 0 and 'FINE: camera is an optical frame' in out
    assert '72 points in 3 images' in out and 'calibration_error_px: 1.0' in out
    assert written(tmp_path)['/**']['ros__parameters'] == {'calibration_error_px': 1.0}
    report = (tmp_path / 'out/report.html').read_text()
    assert 'data:image/png;base64,' in report and not re.search(r'(src|href)="(?!data:)', report)
    assert (tmp_path / 'out/picture.png').stat().st_size > 10_000


def test_a_body_frame_is_told_with_the_transform_and_the_parameter_and_status_2(check, tmp_path):
    BagOfCamera(tmp_path / 'bag', told=CAMERA @ BODY, images=1)
    status, out, _ = check()
    assert status == 2 and 'camera is a body frame' in out
    assert '--frame-id camera --child-frame-id camera_optical_frame' in out
    assert 'camera_frame: camera_optical_frame' in out
    assert written(tmp_path) is None  # nothing that works unread


def test_a_point_is_measured_and_a_wrong_one_is_wrong(check, tmp_path):
    BagOfCamera(tmp_path / 'bag', images=2)
    status, out, _ = check('--point', '290.1,223')
    assert status == 0 and 'The median offset is 5.0 px' in out
    assert 'calibration_error_px: 5.0' in out or 'calibration_error_px: 6.0' in out
    status, out, _ = check('--point', '400,300')
    assert status == 2 and 'none of the known mistakes' in out
    status, out, _ = check()
    assert status == 1 and 'CANNOT BE JUDGED' in out and 'pixel (287.1, 219.0)' in out


def test_a_hand_that_moves_meanwhile_is_looked_up_at_each_images_time(check, tmp_path):
    BagOfCamera(tmp_path / 'bag', images=2)
    _, out, _ = check('--samples', 1)
    assert '1 image of /cam/image' in out and 'TF 0.0 ms off' in out


@pytest.mark.parametrize('options, without, words', [
    (['--image', '/cam/imag'], (), 'topics of images: /cam/image. Name one by --image'),
    (['--camera-info', '/cam/info'], (), 'topics of camera_info: /cam/camera_info'),
    ([], ('/cam/image',), 'no topic of images, but there are topics: '),
    ([], ('/tf',), "frame 'tool' was never heard of; there are frames in TF: board, base, camera"),
    ([], ('/tf_static',), "frame 'camera' was never heard of; there are frames in TF: "),
    (['--frames', 'tol'], (), 'there are frames in TF: tool, '),
    (['--point', '700,10'], (), 'off the image of 640 x 480'),
    (['--point', '1,1', '--click'], (), 'three ways'),
    (['--board', 'aruco'], (), '--board-frame'),
    (['--board', 'aruco', '--board-frame', 'board', '--dictionary', '6X6_250'], (),
     'there are markers of 4X4_50'),
    (['--camera', 'wrist'], (), 'cameras of --config: []'),
    (['--samples', '0'], (), '--samples is 0')])
def test_what_is_missing_is_told_with_what_is_there(check, bag_without, options, without, words):
    status, _, err = check(*options, bag=bag_without(*without))
    assert status == 1 and words in err, err


def test_bags_that_are_missing_or_cut_off_are_told(check, tmp_path):
    status, _, err = check(bag=tmp_path / 'bga')
    assert status == 1 and 'does not exist; ' in err and 'holds my_arm.yaml' in err
    BagOfCamera(tmp_path / 'bag', images=5, storage='MCAP', compression='STORAGE')
    file, = (tmp_path / 'bag').glob('*.mcap')
    whole = file.read_bytes()
    file.write_bytes(whole[:len(whole) // 2])  # one chunk is whole, and its images can be used
    status, out, err = check('--point', '290.1,223')
    assert status == 0 and 'bag.mcap: it was cut off' in err and '2 images' in out, (out, err)
    file.write_bytes(whole[:60])
    status, out, err = check()
    assert status == 1 and 'holds no message that can be read' in err and '60 bytes' in err
    (tmp_path / 'empty').mkdir()
    status, _, err = check(bag=tmp_path / 'empty')
    assert status == 1 and 'is no bag: it holds nothing' in err


@pytest.mark.parametrize('text, words', [
    (CONFIG.replace('base_frame', 'base_frme'), 'did you mean base_frame'),
    (CONFIG.replace('/**', 'other_node'), 'is for this node: its sections are for'),
    ('a: [', 'it is no YAML'), ('a: 1', 'stands outside of ros__parameters'),
    (CONFIG.replace('[tool]', '7'), 'end_effector_frames')])
def test_configurations_that_cannot_be_used_are_refused(check, bag_without, text, words):
    status, _, err = check(text=text, bag=bag_without())
    assert status == 1 and words in err, err


def test_later_configurations_are_laid_over_earlier_ones_and_shipped_ones_have_names(
        check, bag_without, tmp_path):
    top = tmp_path / 'top.yaml'
    top.write_text('/**: {ros__parameters: {end_effector_frames: [board]}}')
    _, out, err = check('--config', top, bag=bag_without())
    assert 'board is on the image' in out, err
    _, _, err = check('--config', 'gazebo', '--config', 'panda', bag=bag_without())
    assert 'panda_hand' in err and 'camera_optical_frame' not in err
    _, _, err = check('--config', 'panda', '--config', 'gazebo', '--base-frame', 'base',
                      '--frames', 'tool', '--camera-frame', 'camera', bag=bag_without())
    assert not err
    _, _, err = check('--config', 'gazebo', bag=bag_without())
    assert "frame 'camera_optical_frame' was never heard of" in err


@pytest.mark.parametrize('text, words', [
    ('pnada', 'did you mean panda?'), ('top.yml', 'did you mean '), ('', 'is empty'),
    ('~/none_of_that.yaml', 'is no file'), ('gz_bridge', 'is no file')])
def test_a_configuration_that_is_not_there_is_told_with_the_nearest(
        check, bag_without, tmp_path, text, words):
    (tmp_path / 'top.yaml').write_text(CONFIG)
    given = tmp_path / text if text.endswith('yml') else text
    status, _, err = check('--config', given, bag=bag_without())
    assert status == 1 and f'--config {given}' in err and words in err, err


def test_frames_that_are_protected_instead_are_looked_up_and_judged(check, bag_without):
    status, out, err = check(text=CONFIG + '    protected_frames: [board]\n', bag=bag_without())
    assert status == 1 and 'board is on the image' in out, err


def test_samples_are_evenly_over_the_bag(tmp_path):
    BagOfCamera(tmp_path / 'bag', images=7)
    options = ObserverOptions(base_frame='base', end_effector_frames=('tool',))
    for count, wanted in ((4, [0, 2, 4, 6]), (1, [3]), (9, [0, 1, 2, 3, 4, 5, 6])):
        told = []
        samples, _, _ = samples_of_bag(tmp_path / 'bag', ('', ''), options, (), count, told.append)
        assert [(item.stamp_ns - NOW_NS) // PERIOD_NS for item in samples] == wanted
        assert told[-1] == f'image {len(wanted)} of {len(wanted)}'


def test_one_of_several_cameras_has_its_own_topics_and_parameters(check, tmp_path):
    BagOfCamera(tmp_path / 'bag', images=1, topics='/wrist')
    text = CONFIG + ('    cameras: [front, wrist]\n    camera_frame: elsewhere\n'
                     '    wrist:\n      camera_frame: camera\n      calibration_error_px: 2.0\n')
    status, out, err = check('--camera', 'wrist', '--point', '290.1,223', text=text)
    assert status == 0 and 'wrist.calibration_error_px: ' in out, err
    name, value = written(tmp_path)['/**']['ros__parameters'].popitem()
    assert name == 'wrist.calibration_error_px' and value in (5.0, 6.0)
    status, _, err = check('--camera', 'wrst', text=text)
    assert status == 1 and "did you mean 'wrist'" in err


def test_a_camera_that_is_not_calibrated_is_told(check, tmp_path):
    BagOfCamera(tmp_path / 'bag', images=1, k=[0.0] * 9)
    status, _, err = check()
    assert status == 1 and 'the camera is not calibrated' in err


def test_a_place_for_results_that_cannot_be_one_is_told_before_anything_is_looked_at(
        check, tmp_path):
    for out in ('out', 'out/below'):
        Path(tmp_path / 'out').write_text('')
        status, _, err = check('--out', tmp_path / out, bag=tmp_path / 'none')
        assert status == 1 and 'cannot be a directory for results' in err
    status, _, err = check('--out', '/proc/out', bag=tmp_path / 'none')
    assert status == 1 and '--out /proc/out cannot be written' in err
    (tmp_path / 'out').unlink()
    status, _, err = check(bag=tmp_path / 'none')
    assert 'does not exist' in err and not (tmp_path / 'out').exists()


def test_a_camera_upside_down_in_its_place_is_told_and_how_its_picture_is_turned(check, tmp_path):
    down = CAMERA @ pose((0, 0, 0), (0, 0, 180))
    BagOfCamera(tmp_path / 'bag', told=down, images=1)
    _, out, _ = check()
    assert 'set rotate_image_180: true' in out
    _, out, _ = check(text=CONFIG + '    rotate_image_180: true\n')
    assert 'rotate_image_180' not in out
