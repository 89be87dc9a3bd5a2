# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/known_pictures.py tells of shards."""
from dataclasses import replace
import json

import known_pictures
import numpy as np
import pytest
from sqap_vla_ros.convert.measured import BLACK
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.samples.reading import read_samples
from training_data import save_checkpoint_and_data


def test_errors_are_those_of_the_policys_answers_to_pictures_and_to_black_ones(tmp_path, capsys):
    checkpoint, data = save_checkpoint_and_data(tmp_path, 'put the bowl on the stove')
    out = tmp_path / 'found.json'
    known_pictures.main([str(data), '--checkpoint', str(checkpoint), '--frames', '6', '--out',
                         str(out)])
    found = json.loads(out.read_text())['folders'][data.name]
    policy = load_policy(checkpoint)
    source = open_checkpoint(checkpoint).with_key(None)
    samples = read_samples(data, 6, source.config).samples
    scale = 2 / (policy.statistics['high'] - policy.statistics['low'])

    def off(samples):
        return np.mean([np.abs((policy.infer(each.observation()).actions - each.action)
                               * scale)[:4] for each in samples])
    black = [replace(each, images=tuple(map(np.zeros_like, each.images))) for each in samples]
    assert found['seeing'] == pytest.approx(off(samples), rel=1e-3)
    assert found['blind'] == pytest.approx(off(black), rel=1e-3)
    assert found['ratio'] == pytest.approx(found['seeing'] / found['blind'])
    assert found['frames'] == 6 and found[f'of {BLACK} frames, 95 %'] == pytest.approx(
        [found['ratio']] * 2)  # every draw has all six
    assert f'{found["seeing"]:.3f} seeing' in capsys.readouterr().out
