# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What `sqap-vla infer` is given: images of several cameras, states with numbers below 0."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from sqap_vla_ros.commands.infer import add_arguments
from sqap_vla_ros.commands.infer_inputs import (
    arranged, observation_of, shown_state, told_images)
from sqap_vla_ros.commands.parser import Parser
from sqap_vla_ros.control.states import STATES, undeclared
from sqap_vla_ros.errors import ConfigError

TWO, THREE = ('full', 'wrist'), ('full', 'left_wrist', 'right_wrist')


def parsed(*words):
    """Return what the command line of `sqap-vla infer` makes of words."""
    parser = Parser(prog='sqap-vla infer')
    add_arguments(parser)
    return parser.parse_args(['--image', 'a.png', '--instruction', 'go', *words])


@pytest.mark.parametrize('words', [
    ['DIR', '--state', '-0.02,3.14,-1e-3,0'], ['DIR', '--state=-0.02,3.14,-1e-3,0'],
    ['DIR', '--state', '-0.02', '3.14', '-1e-3', '0'],
    ['--state', '-.02', '3.14,-1E-3', '0', 'DIR'],
    ['--state', '-0.02,3.14,-1e-3,0', 'DIR'], ['DIR', '--state', '-0.02, 3.14, -1e-3, 0,'],
    ['DIR', '--state', '-0.02 3.14 -1e-3 0'], ['DIR', '--stat', '-0.02,3.14', '-1e-3,0'],
    ['DIR', '--state', '-0.02,', '3.14,', '-1e-3,', '0'],
    ['DIR', '--state=-0.02', '3.14', '-1e-3,0', '--precision', 'fp']])
def test_a_state_takes_commas_and_spaces_and_begins_with_a_minus(words):
    given = parsed(*words)
    assert given.state == (-0.02, 3.14, -1e-3, 0) and given.checkpoint == 'DIR'


def test_numbers_that_are_none_are_kept_to_be_told_by_name():
    assert np.isnan(parsed('DIR', '--state', '0', 'nan', '-inf').state[1])
    assert parsed('DIR', '--noise', 'n.npy', '--warm-up', '-1').warm_up == -1


@pytest.mark.parametrize('words, text', [
    (['DIR', '--state', 'open'], "--state: 'open': could not convert string to float: 'open'"),
    (['DIR', '--state', '-1,x,2'], "--state: '-1,x,2': could not convert string to float: 'x'"),
    (['DIR', '--state'], '--state: expected one argument'),
    (['DIR', '--state', ''], '--state: there is no number in it'),
    (['DIR', '--state', '1,,2'], "--state: '1,,2': there is no number before a comma"),
    (['DIR', '--state=,1,2'], "--state: ',1,2': there is no number before a comma"),
    (['DIR', '--state', '-1', '2, ,3'], "--state: '-1 2, ,3': there is no number before a comma"),
    (['DIR', '--stote', '-1'], 'there is no option --stote (did you mean')])
def test_a_state_without_numbers_is_one_line(words, text, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed(*words)
    told = capsys.readouterr().err
    assert ended.value.code == 2 and text in told and told.count('\n') == 1


@pytest.mark.parametrize('texts, cameras, paths', [
    (['full=F.png', 'wrist=W.png'], TWO, ['F.png', 'W.png']),
    (['wrist=W.png', 'full=F.png'], TWO, ['F.png', 'W.png']),
    (['F.png', 'W.png'], TWO, ['F.png', 'W.png']), (['W.png', 'F.png'], TWO, ['W.png', 'F.png']),
    (['right_wrist=R', 'full=F', 'left_wrist=L'], THREE, ['F', 'L', 'R']),
    (['F.png'], (), ['F.png']), (['any=F.png'], (), ['F.png']), (['F.png'], ('wrist',), ['F.png']),
    (['wrist=F=1.png'], ('wrist',), ['F=1.png']), (['./a=b.png'], (), ['./a=b.png'])])
def test_images_come_in_the_order_of_the_checkpoint(texts, cameras, paths):
    assert arranged(told_images(texts), cameras, max(1, len(cameras))) == paths


@pytest.mark.parametrize('texts, cameras, text', [
    (['a.png', 'b.png', 'c.png'], TWO, 'given 3 times, and the checkpoint takes 2 images, in this '
     'order: full, wrist: give --image full=FILE --image wrist=FILE, or, if it is an OpenVLA-OFT'),
    (['a.png', 'b.png'], THREE, 'given 2 times, and the checkpoint takes 3 images, in this order: '
     'full, left_wrist, right_wrist: give'),
    (['full=a.png'], TWO, 'given 1 time, and the checkpoint takes 2 images'),
    (['full=a', 'left_wrist=b', 'right_wrist=c'], TWO, "there is no camera 'left_wrist' .did you "
     "mean 'wrist'..: the checkpoint takes 2 images, in this order: full, wrist"),
    (['full=a', 'wrist=b'], THREE, "no camera 'wrist' .*the checkpoint takes 3 images"),
    (['full=a', 'b.png'], TWO, '--image b.png: of which camera is it'),
    (['full=a', 'full=b'], TWO, 'is given 2 times for the camera full, expected once'),
    (['full=a'], ('wrist',), "there is no camera 'full'.* takes 1 image of the camera wrist")])
def test_images_that_do_not_fit_are_told_with_what_is_expected(texts, cameras, text):
    with pytest.raises(ConfigError, match=text) as caught:
        arranged(told_images(texts), cameras, max(1, len(cameras)))
    assert '\n' not in str(caught.value)


def test_what_tells_the_number_of_images_is_told_where_the_checkpoint_does_not():
    with pytest.raises(ConfigError, match=r'takes 2 images \(by its name\), in this order: full'):
        arranged(told_images(['a']), TWO, 2, 'by its name')


def test_a_checkpoint_of_several_cameras_that_names_none_is_shown_nothing():
    with pytest.raises(ConfigError, match='takes 2 images, and does not say of which cameras'):
        arranged(told_images(['a', 'b']), (), 2)


def test_each_camera_shows_its_own_picture(tmp_path):
    paths = [str(tmp_path / f'{name}.png') for name in THREE]
    for level, path in enumerate(paths):
        cv2.imwrite(path, np.full((4, 6 + level, 3), 50 * level, np.uint8))
    seen = observation_of(paths, THREE, 'go', None)
    assert [seen.view(name).image[0, 0, 0] for name in THREE] == [0, 50, 100]
    assert seen.camera == 'full' and list(seen.views) == ['left_wrist', 'right_wrist']
    alone = observation_of(paths[:1], ('wrist',), 'go', None)
    assert alone.camera == '' and not alone.views and alone.view('wrist').image.shape == (4, 6, 3)
    named = Path(tmp_path / 'a=b.png')
    named.write_bytes(b'')
    assert told_images([str(named)]) == [('', str(named))]


def test_a_state_is_taken_raw_in_the_number_that_is_expected():
    values = (-0.02, 3.14, 40.0, 0.1, 0.2, 0.3, 0.4, -9.5)
    for names in (STATES['libero'], undeclared(8)):
        state = shown_state(values, names)
        assert state.dtype == np.float64 and tuple(state) == values
    assert shown_state(values, ()) is None
    with pytest.raises(ConfigError, match='--state with 14 numbers: state_0 state_1'):
        shown_state(None, undeclared(14))
    with pytest.raises(ConfigError, match=r'--state: the state has shape \[8\], expected 14 nu'):
        shown_state(values, undeclared(14))
