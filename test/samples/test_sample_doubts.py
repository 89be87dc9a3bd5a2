# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Samples that a policy cannot take are refused; those that it should not are told."""
import dataclasses

import golden_data
import golden_oft
import numpy as np
import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.observation import STATE_NAMES
from sqap_vla_ros.samples.doubts import check_samples, doubts, few
from sqap_vla_ros.samples.sample import Sample, Samples
from sqap_vla_ros.support.resources import model_directory

TASK = 'put the bowl on the stove'
IMAGE = np.repeat(np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6, 1), 3, axis=2)
MIDDLE = np.array([0.6, 0.07, 0.16, 0.7, 0.7, -0.03, -0.02, 0.5])  # of the bundled statistics


def bundled():
    return open_checkpoint(model_directory()).with_key(None)


def sampled(*samples, images=1):
    return Samples('mine', tuple(
        Sample((IMAGE,) * images, text, state) for text, state in samples))


@pytest.mark.parametrize('text, state, why', [
    ('fly away', MIDDLE, "was not trained on the instruction 'fly away', the nearest is"),
    (' ', MIDDLE, 'the instruction is empty'),
    (TASK, None, r'needs the state \(.x.*found shape None'),
    (TASK, MIDDLE[:7], r'found shape \(7,\)'),
    (TASK, MIDDLE * np.nan, 'the state is not finite')])
def test_a_sample_that_cannot_be_taken_is_named(text, state, why):
    with pytest.raises(ConfigError, match=f'samples of mine: .*{why}.*sample 2 of 3, episode 0'):
        check_samples(sampled((TASK, MIDDLE), (text, state), (TASK, MIDDLE)), bundled())
    check_samples(sampled((TASK, MIDDLE)), bundled())


def test_actions_of_another_width_are_refused_with_both():
    good, other = (Sample(IMAGE[None], TASK, MIDDLE, action=np.zeros((8, width)))
                   for width in (7, 6))
    check_samples(Samples('mine', (good,)), bundled())
    with pytest.raises(ConfigError, match='its recorded actions have 6 numbers, and those of the '
                       'checkpoint 7.*sample 2 of 2'):
        check_samples(Samples('mine', (good, other)), bundled())


def test_a_text_longer_than_the_prompt_is_refused_with_both_lengths():
    source = bundled()
    source = dataclasses.replace(source, config=dataclasses.replace(
        source.config, instructions=()))
    with pytest.raises(ConfigError, match='the instruction has 12 tokens, the policy takes 11'):
        check_samples(sampled((f'{TASK} {TASK}', MIDDLE)), source)
    openvla = open_checkpoint(golden_data.openvla())  # of any data set
    with pytest.raises(ConfigError, match=r'has \d+ tokens with its question, the policy takes 1'):
        check_samples(sampled(('go ' * 2000, None)), openvla)


def test_states_are_doubted_by_share_and_range():
    usual = [(TASK, MIDDLE)] * 9
    assert not doubts(sampled(*usual, (TASK, MIDDLE + 9)), bundled())  # a tenth may be
    assert not doubts(sampled(*usual[:2], *[(TASK, MIDDLE + 9)] * 2), bundled())  # chance
    text, = doubts(sampled(*usual, *[(TASK, MIDDLE + np.eye(8)[2])] * 3), bundled())
    assert text.startswith('mine: states lie outside what the checkpoint was trained on: z in '
                           '25% of them (0.16 .. 1.16, trained on -0.181 .. 0.501, mean +-3 '
                           'deviations). Are they')
    assert STATE_NAMES[2] == 'z'


def test_bounds_of_the_statistics_count_where_there_are_some():
    source = open_checkpoint(golden_oft.directory('oft_tiny')).with_key(None)
    stats = source.statistics()
    inside = (stats['state_low'] + stats['state_high']) / 2
    outside = np.where(stats['state_mask'], stats['state_high'] + 1, inside)
    assert not doubts(sampled((TASK, inside), images=2), source)
    text, = doubts(sampled(*[(TASK, outside)] * 3, images=2), source)
    assert 'in 100% of them' in text and 'deviations' not in text


def test_images_of_several_sizes_are_counted():
    samples = sampled(*[(TASK, MIDDLE)] * 3).samples
    other = dataclasses.replace(samples[0], images=(np.resize(IMAGE, (8, 8, 3)),))
    text, = doubts(Samples('mine', (*samples, other)), bundled())
    assert text == ('mine: the images have 2 sizes, 3 of 6 x 4, 1 of 8 x 8: are all of one '
                    'camera?')


@pytest.mark.parametrize('level', [0, 120])
def test_images_that_show_nothing_are_counted(level):
    samples = sampled(*[(TASK, MIDDLE)] * 3, images=2).samples
    grey = dataclasses.replace(samples[0], images=(IMAGE, IMAGE // 128 + np.uint8(level)))
    text, = doubts(Samples('mine', (*samples, grey, grey)), bundled())
    assert text.startswith('mine: 2 of 5 have an image that shows nothing (a contrast below 3 '
                           'levels of 255), the first is sample 4: was')


def test_few_samples_are_told_with_what_would_do():
    assert few(sampled(*[(TASK, MIDDLE)] * 7), bundled()).startswith(
        'mine: 7 samples to round by, expected at least 8')
    assert not few(sampled(*[(TASK, MIDDLE)] * 8), bundled())
    config = bundled().config
    wide = dataclasses.replace(config, model=dataclasses.replace(
        config.model, llm=dataclasses.replace(config.model.llm, intermediate_size=11008)))
    source = dataclasses.replace(bundled(), config=wide)
    assert 'samples give 8192 visual tokens, and the widest layer has 11008 inputs: give ' \
        '--samples 43 or more' in few(sampled(*[(TASK, MIDDLE)] * 32), source)
    assert not few(sampled(*[(TASK, MIDDLE)] * 43), source)
