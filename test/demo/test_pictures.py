# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's video and overview, of made-up records."""
import cv2
import numpy as np
import pytest
from sqap_vla_ros.demo import video as video_module
from sqap_vla_ros.demo.overview import shown_episodes, write_overview
from sqap_vla_ros.demo.pictures import FrameComposer, frames_of, right_title
from sqap_vla_ros.demo.session import Records
from sqap_vla_ros.demo.video import HOLD_S, picture_count, write_video
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.support.progress import Progress

PERIODS_S = {0: 0.2, 1: 0.13}  # of the images, by episode
LASTS_S = {0: 1.1, 1: 0.7}


@pytest.fixture(scope='module')
def records(tmp_path_factory):
    """Return the records of two episodes, the second of them a success."""
    folder, made = tmp_path_factory.mktemp('frames'), Records()
    image = np.random.default_rng(0).integers(60, 200, (64, 64, 3), np.uint8)
    for index, period_s in PERIODS_S.items():
        start_ns = 10**12 * (index + 1)
        for number in range(4):
            stamp = start_ns + round(number * period_s * 1e9)
            path = folder / f'{index}{number}.png'
            cv2.imwrite(str(path), image)
            made.frames.append({'stamp': stamp, 'path': str(path), 'episode': index})
            made.selections.append({
                'stamp': stamp, 'grid': [4, 4], 'kept': [1, 2, 9], 'reason': [0, 1, 2],
                'frames': ['hand'], 'pixels': [[20.0, 20.0]], 'radii_px': [0.0],
                'episode': index})
        made.final_frames.append({'stamp': stamp + 1, 'path': str(path), 'episode': index})
        made.episodes.append({
            'index': index, 'episodes': 2, 'seed': 40 + index, 'instruction': 'put it there',
            'success': bool(index), 'duration_s': LASTS_S[index]})
    return made


@pytest.fixture
def composer():
    return FrameComposer(ImageTransform((64, 64)), 'a caption')


def pictures_of(path):
    """Return [(picture, its time in s), ...] of a video."""
    capture, found = cv2.VideoCapture(str(path)), []
    while True:
        at_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        read, picture = capture.read()
        if not read:
            return found
        found.append((picture, capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3 or at_s))


def test_the_video_runs_at_true_speed_and_both_halves_are_named(records, composer, tmp_path):
    pytest.importorskip('av', reason='needs PyAV: pip install -e .[sim]')
    with Progress('video', total=picture_count(records, 6)) as progress:
        length_s = write_video(tmp_path / 'demo.mp4', records, composer, 6, progress)
    assert progress.done == progress.total == 10
    assert length_s == pytest.approx(sum(LASTS_S.values()) + 2 * HOLD_S)
    found = pictures_of(tmp_path / 'demo.mp4')
    times = [0, .2, .4, .6, 1.1, 2.1, 2.23, 2.36, 2.49, 2.8, 3.78]
    np.testing.assert_allclose([at_s for _, at_s in found], times, atol=0.002)
    capture = cv2.VideoCapture(str(tmp_path / 'demo.mp4'))
    assert int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, 'little') in (b'avc1', b'h264')
    left, right = np.array_split(found[0][0], 2, axis=1)
    for half in (left, right):  # white letters on the strip above the picture
        assert (half[84:108].max(axis=2) > 200).sum() > 50
    assert right[108:556].mean() < 0.9 * left[108:556].mean()  # most patches are dropped
    assert list(tmp_path.iterdir()) == [tmp_path / 'demo.mp4']


def test_the_right_half_says_what_it_shows(records):
    first, *_, last = frames_of(records, records.episodes[0])
    assert right_title(first) == 'what the policy keeps: 3 of 16 patches'
    assert right_title(last) == 'the end of the episode'


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError])
def test_a_video_that_is_interrupted_leaves_nothing_half_written(
        error, records, composer, tmp_path, monkeypatch):
    pytest.importorskip('av', reason='needs PyAV: pip install -e .[sim]')
    (tmp_path / 'demo.mp4').write_bytes(b'the one before')

    def stop(self, picture, at_s, add=video_module._Encoder.add):
        if at_s > 1:
            raise error
        add(self, picture, at_s)
    monkeypatch.setattr(video_module._Encoder, 'add', stop)
    with pytest.raises(error), Progress('video') as progress:
        write_video(tmp_path / 'demo.mp4', records, composer, 6, progress)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b'the one before']


def test_the_overview_shows_failures_first(records, composer, tmp_path):
    episodes = [{'index': index, 'success': index % 3 > 0} for index in range(9)]
    assert [e['index'] for e in shown_episodes(episodes)] == [0, 3, 6, 1, 2]
    drawn = []
    real = composer.overlay
    composer.overlay = lambda frame: (drawn.append(frame.episode['index']), real(frame))[1]
    flipped = Records(episodes=records.episodes[::-1], frames=records.frames,
                      final_frames=records.final_frames, selections=records.selections)
    with Progress('overview', total=2) as progress:
        write_overview(tmp_path / 'overview.png', flipped, composer, 'one of two', progress)
    assert drawn[:8] == [0] * 4 + [1] * 4 and progress.done == 2
    assert cv2.imread(str(tmp_path / 'overview.png')).shape[1] > 1000
