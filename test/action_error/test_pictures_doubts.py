# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of another camera are told: there, looking brings no nearer to what was recorded."""
from dataclasses import replace

import numpy as np
import pytest
from sqap_vla_ros.action_error.asking import Answers, BLANK, FULL, REPEAT
from sqap_vla_ros.action_error.columns import columns_of, differences
from sqap_vla_ros.action_error.doubts import answers_doubts
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.samples.sample import Sample, Samples
from sqap_vla_ros.support.resources import model_directory

COUNT, SHAPE = 12, (8, 7)
DRAWN = np.random.default_rng(0).uniform(-0.1, 0.1, (COUNT, *SHAPE)).astype(np.float32)
FAR = 'it does not know these pictures. Are they of another camera or robot'


def told(full, blank, recorded, repeat=None):
    """Return the doubts about answers and what was recorded."""
    source = open_checkpoint(model_directory()).with_key(None)
    columns = columns_of(source.config, source.statistics())
    image = np.zeros((1, 6, 8, 3), np.uint8)
    samples = Samples('mine', tuple(Sample(image, 'x', action=action) for action in recorded))
    rows = {FULL: full, replace(FULL, control=BLANK): blank}
    answers = {row: Answers(row, actions, (), ((),) * COUNT) for row, actions in rows.items()}
    again = replace(FULL, control=REPEAT)
    found = {again: differences(columns, full, full if repeat is None else repeat)}
    return list(answers_doubts(samples, columns, answers, found))


@pytest.mark.parametrize('share, is_told', [
    (0.0, False), (0.55, False), (0.65, True), (1.0, True)])
def test_a_policy_that_is_no_nearer_than_without_eyes_does_not_know_the_pictures(share, is_told):
    """share: of a black image's distance to what was recorded, the limit is 0.6."""
    doubts = told(share * DRAWN, DRAWN, np.zeros_like(DRAWN))
    assert any(FAR in text for text in doubts) == is_told
    if is_told:
        seeing, blind = (float(text) for text in (
            doubts[0].split()[3], doubts[0].split('and ')[1].split()[0]))
        assert seeing == pytest.approx(share * blind, abs=2e-3)


def test_without_recorded_actions_of_their_shape_nothing_is_said_of_them():
    assert not any(FAR in text for text in told(DRAWN, DRAWN / 2, [None] * COUNT))
    assert not any(FAR in text for text in told(DRAWN, DRAWN / 2, [np.zeros((8, 6))] * COUNT))


def test_another_answer_to_the_same_question_is_told():
    doubts = told(DRAWN, 0 * DRAWN, DRAWN, repeat=DRAWN + 0.01)
    assert sum('answered otherwise the second time' in text for text in doubts) == 1
    assert not any('second time' in text for text in told(DRAWN, 0 * DRAWN, DRAWN))
