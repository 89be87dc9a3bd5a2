# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded observations are what the policy would have been given, evenly chosen."""
import dataclasses
import json

from calibration_data import write_calibration
import numpy as np
import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.formats.checkpoint import CheckpointConfig
from sqap_vla_ros.inference.outputs import normalise
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.observation import Observation, ProtectedPoints
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.samples.answers import action_errors, answers, executed_rows
from sqap_vla_ros.samples.reading import read_samples
from sqap_vla_ros.samples.sample import Sample, Samples
from sqap_vla_ros.support.resources import model_directory
from sqap_vla_ros.train.shards import load_shards, read_shard, write_shard
from training_data import write_data


@pytest.fixture(scope='module')
def shards(tmp_path_factory):
    """Return a folder of shards whose points lie apart."""
    folder = write_data(tmp_path_factory.mktemp('shards'))
    for path in folder.glob('*.npz'):
        arrays = read_shard(path)
        arrays['points_px'] += np.arange(3, dtype=np.float32)[:, None]
        write_shard(path, arrays)
    return folder


@pytest.fixture(scope='module')
def policy():
    return load_policy(model_directory(), prepare=False)


def test_shards_give_what_was_collected(shards):
    found, data = read_samples(shards, 5), load_shards(shards)
    assert (found.source, found.total) == ('shards of sqap-vla collect', len(data))
    assert len(found.samples) == 5 and len(found.episodes) == 5
    for sample, index in zip(found.samples, (0, 59, 119, 179, 239)):
        assert np.array_equal(sample.images[0], data.frame(index))
        assert np.array_equal(sample.state, data.state[index])
        assert sample.instruction == data.instructions[data.instruction[index]]
        assert np.array_equal(sample.action, data.chunks([index])[0])
        np.testing.assert_array_equal(sample.protected[0].pixels[0], data.points_px[index, 2])


def test_tokens_are_as_far_from_the_hand_as_for_the_policy(shards, policy):
    found = read_samples(shards, 3, policy.config).samples
    for sample in found:
        view = sample.observation().view()
        assert np.isfinite(sample.distance).any() and not np.isfinite(sample.distance).all()
        np.testing.assert_array_equal(sample.distance, policy._distance(view))
    wider = read_samples(shards, 3, policy.config, radius_patches=5.0).samples
    assert np.isfinite(wider[0].distance).sum() > np.isfinite(found[0].distance).sum()


def test_a_list_knows_no_hand_and_may_tell_episodes(tmp_path):
    directory = write_calibration(tmp_path / 'data', states=True)
    plain = read_samples(directory, 4)
    assert [sample.distance for sample in plain.samples] == [None] * 4
    assert plain.episodes == (0, 1, 2, 3)
    path = directory / 'instructions.jsonl'
    lines = [{**json.loads(line), 'episode': index // 2}
             for index, line in enumerate(path.read_text().splitlines())]
    path.write_text('\n'.join(map(json.dumps, lines)))
    assert [sample.episode for sample in read_samples(directory, 4).samples] == [0, 0, 1, 1]


def test_a_sample_is_an_observation_by_the_names_of_its_cameras():
    points = [ProtectedPoints(np.full((1, 2), 9.0 * index), np.zeros(1), ('hand',))
              for index in range(2)]
    images = tuple(np.full((4, 6, 3), index, np.uint8) for index in range(2))
    sample = Sample(images, 'go', np.ones(3), tuple(points))
    seen = sample.observation(('full', 'wrist'))
    assert isinstance(seen, Observation) and seen.instruction == 'go'
    for image, point, view in zip(images, points, seen.views_of(('full', 'wrist'))):
        assert view.image is image and view.protected is point
    assert sample.observation().view().image is images[0]


def made(episodes):
    return Samples('made', tuple(Sample((), 'go', episode=number) for number in episodes))


@pytest.mark.parametrize('episodes, count, held', [
    (range(12), 4, {1, 4, 7, 10}), ([0, 0, 1, 1, 2, 2, 3, 3], 2, {2}),
    ([0, 0, 0, 1], 2, {1}), ([0, 1], 9, {1}), ([5], 3, set()), (range(3), 0, set())])
def test_what_is_held_out_shares_no_episode(episodes, count, held):
    rest, out = made(episodes).split(count)
    assert set(out.episodes) == held
    assert not set(rest.episodes) & held and rest.samples
    assert len(rest.samples) + len(out.samples) == len(list(episodes))


def test_of_one_episode_the_end_is_held_out():
    samples = made([7] * 6)
    rest, out = samples.split(2)
    assert rest.samples == samples.samples[:4] and out.samples == samples.samples[4:]


@pytest.mark.parametrize('count, text', [
    (0, '0 samples: take at least one'), (3, 'holds shards of one camera')])
def test_shards_that_do_not_serve_are_refused(count, text, shards):
    model = dataclasses.replace(VLAConfig(), images=2)
    with pytest.raises(ConfigError, match=text):
        read_samples(shards, count, CheckpointConfig(model))


def test_the_option_that_named_a_source_is_in_the_message(tmp_path):
    with pytest.raises(ConfigError, match=r'--data .* holds neither instructions.jsonl'):
        read_samples(tmp_path, 1, flag='--data')
    with pytest.raises(ConfigError, match=r'--data .*none is no directory'):
        read_samples(tmp_path / 'none', 1, flag='--data')


def test_answers_are_in_the_units_of_the_network(shards, policy):
    samples = read_samples(shards, 2, policy.config).samples
    samples = [dataclasses.replace(sample, instruction=policy.instructions[0])
               for sample in samples]
    found = answers(policy, samples)
    assert found.shape == (2, 8, 7)
    raw = policy.model.head.normalised(policy.runner(
        samples[1].images, policy.inputs.token_ids(samples[1].instruction),
        policy.inputs.state(samples[1].state)).raw)
    np.testing.assert_allclose(found[1], raw, atol=1e-5)
    other = found.copy()
    other[0, 3, 2] += 0.7
    other[1, 4] += 9.0  # a row that nobody executes
    assert executed_rows(policy.config) == 4
    np.testing.assert_allclose(action_errors(found, other, 4), [0.7 / 28, 0])


def test_a_constant_value_has_no_units():
    stats = {'low': np.array([2.0, 0.0]), 'high': np.array([2.0, 4.0]),
             'mask': np.array([True, True])}
    np.testing.assert_array_equal(normalise(np.array([[2.0, 3.0]]), stats), [[0, 0.5]])
