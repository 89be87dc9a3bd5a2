# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`--episodes`: a data set's own numbers, a bag's places, and what cannot be replayed of them."""

from made_data_set import Made, made_data_set, number, read_number
from made_recording import MadeRecording
import pytest
from sqap_vla_ros.commands.replay_episodes import chosen_episodes, spans
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ingest.observer import ObserverOptions
from sqap_vla_ros.recordings.open import open_recording
from sqap_vla_ros.recordings.recording import Episode
from sqap_vla_ros.replay.dataset_robot import as_robot
from sqap_vla_ros.replay.looking import Looking, LookOptions
from sqap_vla_ros.replay.recorded_commands import CommandSettings
from sqap_vla_ros.replay.topics import topic_map

CAMERA = 'observation.images.front'
VIDEO = f'videos/chunk-000/{CAMERA}/episode_{{:06d}}.mp4'


@pytest.fixture(scope='module')
def data_set(tmp_path_factory):
    """Return one of seven episodes: 1 has no video, 2 no rows, 4 a video that is cut off."""
    root = made_data_set(tmp_path_factory.mktemp('sets') / 'picks', Made(lengths=(3,) * 7))
    (root / VIDEO.format(1)).unlink()
    (root / 'data/chunk-000/episode_000002.parquet').unlink()
    (root / VIDEO.format(4)).write_bytes(b'')
    return as_robot(open_recording(root), '', CommandSettings())[0]


def test_a_data_set_is_asked_by_its_own_numbers(data_set):
    chosen = chosen_episodes('5,3', data_set, CAMERA)
    assert [data_set.episodes[place].number for place in chosen] == [5, 3]
    looking = Looking(data_set, topic_map(data_set.topics), LookOptions(
        {'': ObserverOptions(camera_frame='camera', needs_localization=False, min_contrast=0.0,
                             max_image_change=0.0, require_localization=False)},
        episodes=chosen))
    looks = list(looking)
    assert [look.problem for look in looks] == [''] * 6
    assert [look.episode for look in looks] == [5] * 3 + [3] * 3
    assert [read_number(look.observation.image) for look in looks] == [
        number(episode, frame) for episode in (5, 3) for frame in range(3)]
    assert chosen_episodes('', data_set, CAMERA) is None


@pytest.mark.parametrize('asked, told', [
    ('0-1', r'--episodes has 1, of which picks has no observation\.images\.front that can be read '
            r'\(1: .*episode_000001\.mp4 is not there\): give --episodes 0$'),
    ('2,3', r'--episodes has 2, of which .* \(2: no rows in Parquet .*\): give --episodes 3$'),
    ('4', r'--episodes has 4, .*episode_000004\.mp4 is empty .*: give --episodes 0,3,5-6$'),
    ('0-6', r'--episodes has 1-2,4, of which .*: give --episodes 0,3,5-6$'),
    ('7-9,0', r'--episodes has 7-9, but picks has 6 episodes: 0-1,3-6$'),
])
def test_what_cannot_be_replayed_is_told_with_what_can(asked, told, data_set):
    with pytest.raises(ConfigError, match=told):
        chosen_episodes(asked, data_set, CAMERA)


def test_a_bag_is_asked_by_places_whatever_it_is_called():
    bag = MadeRecording([], tuple(Episode(name, at, at) for at, name in enumerate(('2026', '7'))))
    assert chosen_episodes('1', bag, '/image') == (1,)
    with pytest.raises(ConfigError, match='--episodes has 7, but .* has 2 episodes: 0-1'):
        chosen_episodes('7', bag, '/image')


def test_numbers_are_written_as_they_are_asked_for():
    assert spans([7, 0, 3, 4, 5]) == '0,3-5,7' and spans([]) == ''
