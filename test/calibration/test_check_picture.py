# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is drawn lies where it is projected to; a click is a point."""

from functools import partial

from camera_check_scene import CAMERA, K, pose, sample, TOOL
import cv2
import numpy as np
import pytest
from sqap_vla_ros.calibration import clicking
from sqap_vla_ros.calibration.mistakes import AS_IS, Candidate, single_mistakes
from sqap_vla_ros.calibration.picture import AXES, draw_check, OTHERWISE, Patches, PROTECTED
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.geometry.poses import invert_pose

GREY = np.full((480, 640, 3), 120, np.uint8)
SCALE = 2  # of a picture 640 pixels wide


def seen(points):
    """Return the pixels [M, 2] of points of the base frame, by OpenCV."""
    place = invert_pose(CAMERA)
    return cv2.projectPoints(np.float64(points), cv2.Rodrigues(place[:3, :3])[0], place[:3, 3],
                             K, None)[0][:, 0]


def near(picture, pixel, color):
    """Return whether a colour is within 3 pixels of one of the image."""
    u, v = (SCALE * (np.asarray(pixel) + 0.5) - 0.5).round().astype(int)
    part = picture[max(v - 3, 0):v + 4, max(u - 3, 0):u + 4].reshape(-1, 3).astype(int)
    return bool((np.abs(part - color).max(axis=1) < 40).any())


def test_axes_and_protected_patches_lie_where_the_frame_is():
    here = sample(image=GREY, frames=(), calibration_error_px=25.0, min_contrast=0.0)
    picture = draw_check(here, ('tool',), Patches())
    assert picture.shape[1] == 640 * SCALE and picture.shape[0] > 480 * SCALE
    for axis, (_, color) in enumerate(AXES):
        along, = seen([TOOL[:3, 3] + 0.03 * TOOL[:3, axis]])
        assert near(picture, along, color), AXES[axis]
        assert not near(picture, along + (60, 60), color)
    (u, v), = seen([TOOL[:3, 3]])
    radius, = here.protected.radii_px
    assert radius >= 25 and near(picture, (u + radius, v), PROTECTED)
    left, top = 40 * (u // 40), 30 * (v // 30)  # 16 x 16 patches
    inside = SCALE * np.array([left + 4, top + 4])
    tint = picture[int(inside[1]), int(inside[0])].astype(float)
    np.testing.assert_allclose(tint, 0.75 * 120 + 0.25 * np.array(PROTECTED), atol=1.5)
    np.testing.assert_array_equal(picture[30, 30], (120, 120, 120))


def test_a_frame_off_the_image_is_pointed_at_and_where_it_would_be_is_shown():
    body = sample(image=GREY, told=CAMERA @ invert_pose(
        next(item for item in single_mistakes(sample(image=GREY)) if item.key == 'body_frame'
             ).turn), frames=())
    mended = Candidate((next(item for item in single_mistakes(body)
                             if item.key == 'body_frame'),))
    picture = draw_check(body, ('tool',), Patches(), otherwise=mended)
    (u, v), = seen([TOOL[:3, 3]])
    assert near(picture, (u + 7, v), OTHERWISE)
    far, = AS_IS.project(body, TOOL[:3, 3])[0]
    assert far[0] > 640
    assert (picture[:480 * SCALE, -120 * SCALE:] == 255).all(axis=2).any()  # the arrow


def test_a_camera_that_looks_away_is_drawn_without_a_word_too_much():
    away = sample(image=GREY, told=CAMERA @ pose((0, 0, 0), (0, 180, 0)), frames=())
    assert draw_check(away, ('tool',), Patches()).shape[1] == 640 * SCALE


@pytest.fixture
def window(monkeypatch):
    """Return what happens in a window: a list of (mouse events, key) a round."""
    rounds, told = [], {}
    monkeypatch.setattr(clicking, 'why_no_window', lambda: '')
    for name in ('namedWindow', 'destroyAllWindows', 'imshow'):
        monkeypatch.setattr(cv2, name, lambda *_: None)
    monkeypatch.setattr(cv2, 'setMouseCallback', lambda _, call: told.update(call=call))
    monkeypatch.setattr(cv2, 'getWindowProperty', lambda *_: 1.0)

    def wait_key(_):
        clicks, key = rounds.pop(0)
        for place in clicks:
            told['call'](cv2.EVENT_LBUTTONDOWN, *place, 0, None)
        return key
    monkeypatch.setattr(cv2, 'waitKey', wait_key)
    return rounds


def test_the_last_click_before_enter_is_the_point(window):
    window += [([], 13), ([(3, 4), (30, 40)], -1), ([], 13)]  # Enter before a click: goes on
    point = clicking.clicked_point(GREY, 'tool')
    assert (point.frame, point.u, point.v) == ('tool', 30.0, 40.0) and not window


def test_escape_and_no_display_are_told(window, monkeypatch):
    window += [([(3, 4)], 27)]
    with pytest.raises(ConfigError, match='without a point'):
        clicking.clicked_point(GREY, 'tool')
    monkeypatch.setattr(clicking, 'why_no_window', lambda: 'there is no display')
    with pytest.raises(ConfigError, match='report.html'):
        clicking.check_window()


def test_why_there_is_no_window(monkeypatch):
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    assert 'DISPLAY is not set' in clicking.why_no_window()
    monkeypatch.setenv('DISPLAY', ':0')
    built = partial('  GUI:                           {}\n'.format)
    for told, words in ((built('NONE'), 'without windows'), (built('QT5'), '')):
        monkeypatch.setattr(cv2, 'getBuildInformation', lambda told=told: told)
        assert words in clicking.why_no_window() and bool(words) == bool(clicking.why_no_window())
