# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Samples of bags and data sets are what the node would have given the policy."""
import argparse

import golden_data
from libero_bag import INSTRUCTION, LIBERO_BAG
from made_data_set import Made, made_data_set, number, read_number, TASKS
import numpy as np
import pytest
from sqap_vla_ros.cli import main
from sqap_vla_ros.commands.sample_options import add_sample_arguments, samples_of
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.evaluate.simulated_robot import OBSERVER
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.geometry.patches import protected_distances
from sqap_vla_ros.ingest.observer import ObserverOptions
from sqap_vla_ros.observation import STATE_NAMES
from sqap_vla_ros.recordings.open import open_recording
from sqap_vla_ros.replay.looking import Looking, LookOptions
from sqap_vla_ros.replay.topics import topic_map
from sqap_vla_ros.samples.reading import read_samples
from sqap_vla_ros.samples.recorded import Recorded
from sqap_vla_ros.support.resources import model_directory
NODE = """
vla_node:
  ros__parameters: {min_contrast: 0.0, max_image_change: 0.0}
"""


def sampled(place, count, *options, checkpoint=None):
    parser = argparse.ArgumentParser()
    add_sample_arguments(parser, '--calibration')
    source = open_checkpoint(checkpoint or model_directory())
    source = source.with_key(golden_data.KEY if checkpoint else None)
    return samples_of(parser.parse_args(options), place, source, count, '--calibration')


def test_a_bag_gives_what_replay_gives_its_policy():
    found = sampled(LIBERO_BAG, 4, '--config', 'libero_sim')
    recording = open_recording(LIBERO_BAG)
    looks = [look for look in Looking(recording, topic_map(recording.topics), LookOptions(
        {'': OBSERVER}, state_names=STATE_NAMES)) if not look.problem]
    recording.close()
    images = [look.observation.image for look in looks]
    places = [next(index for index, image in enumerate(images)
                   if np.array_equal(image, sample.images[0])) for sample in found.samples]
    assert len(places) == 4 and places == sorted(places)
    assert places[0] < len(looks) / 4 and places[-1] > len(looks) * 3 / 4
    transform, grid = ImageTransform((224, 224)), (16, 16)
    for sample, look in zip(found.samples, (looks[place] for place in places)):
        seen = look.observation
        assert sample.instruction == seen.instruction == INSTRUCTION
        np.testing.assert_array_equal(sample.state, seen.state)
        np.testing.assert_allclose(sample.protected[0].pixels, seen.protected.pixels)
        expected = protected_distances(seen.protected.pixels, seen.protected.radii_px,
                                       images[0].shape[:2], transform, grid)
        np.testing.assert_allclose(sample.distance, expected, rtol=1e-5)
        assert np.isfinite(expected).any()


@pytest.mark.parametrize('version', ['v2.1', 'v3.0'])
def test_a_data_set_gives_its_images_and_tasks(tmp_path, version):
    place = made_data_set(tmp_path / 'set', Made(version))
    (tmp_path / 'node.yaml').write_text(NODE)
    found = sampled(place, 6, '--config', str(tmp_path / 'node.yaml'),
                    checkpoint=golden_data.openvla())
    assert (found.total, found.episodes, len(found.samples)) == (15, (0, 1), 6)
    assert {sample.instruction for sample in found.samples} == set(TASKS)
    for sample in found.samples:
        assert sample.instruction == TASKS[sample.episode] and sample.distance is None
    numbers = [read_number(sample.images[0]) for sample in found.samples]
    every = [number(episode, frame) for episode, length in ((0, 6), (1, 9))
             for frame in range(length)]
    assert numbers == [every[place] for place in (0, 2, 5, 8, 11, 14)]


def test_of_many_episodes_each_gives_one(tmp_path):
    place = made_data_set(tmp_path / 'set', Made('v3.0', lengths=(4,) * 8))
    (tmp_path / 'node.yaml').write_text(NODE)
    found = sampled(place, 2, '--config', str(tmp_path / 'node.yaml'), '--instruction', 'lift it',
                    checkpoint=golden_data.openvla())
    assert len(found.samples) == 2 and found.episodes == (0, 7)
    assert found.total == 4  # of 32 images: others are not even decoded
    assert {sample.instruction for sample in found.samples} == {'lift it'}


def test_images_that_cannot_be_used_are_counted_with_the_reason(tmp_path):
    def check(text):
        if text not in known:
            raise ObservationError(f'the policy does not know {text}')
    recording = open_recording(made_data_set(tmp_path / 'set', Made('v3.0')))
    source = Recorded(recording, topic_map(recording.topics), LookOptions(
        {'': ObserverOptions(needs_localization=False, min_contrast=0.0, max_image_change=0.0)}),
        check, ('a guess',))
    known = TASKS[:1]
    found = read_samples(source, 15)
    assert found.episodes == (0,) and len(found.samples) == 6
    assert found.notes[0] == 'a guess' and found.notes[1].startswith(
        '9 of 15 images that were looked at could not be used: 9 x ')
    known = ()
    with pytest.raises(ObservationError, match=r'none of 15 images could be answered: \d+ x .*'):
        read_samples(source, 15)


def test_a_recording_that_does_not_serve_is_refused_in_a_sentence(tmp_path, capsys):
    def refused(*options):
        assert main(['convert', 'libero_goal', str(tmp_path / 'out'), '--calibration',
                     str(LIBERO_BAG), *options]) == 1
        return capsys.readouterr().err.splitlines()[-1]
    assert 'fly away' in refused('--config', 'libero_sim', '--instruction', 'fly away')
    assert 'has no such topic' in refused('--config', 'libero_sim', '--topics', 'image=/none')
    assert not (tmp_path / 'out').exists()
