# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Blending chunks, against the official ensemble and by time."""
import golden_data
import numpy as np
import pytest
from sqap_vla_ros.control.blending import AdaptiveEnsemble
from sqap_vla_ros.errors import ConfigError


@pytest.mark.parametrize('horizon', [2, 7])
def test_blends_are_the_official_ones(horizon):
    expected = golden_data.expected('adaptive_ensemble')
    ensemble = AdaptiveEnsemble(horizon)
    for round_ in range(2):  # a reset forgets everything
        ensemble.reset()
        found = [ensemble.blend(chunk) for chunk in expected['chunks']]
        np.testing.assert_allclose(found, expected[f'h{horizon}'], rtol=0, atol=1e-12)


def test_a_skipped_step_takes_the_row_that_is_meant_for_now():
    ensemble = AdaptiveEnsemble(2, alpha=0.0)
    ensemble.blend(np.arange(1.0, 6.0)[:, None] * np.ones(3))
    found = ensemble.blend(np.full((5, 3), 10.0), steps=3)
    np.testing.assert_allclose(found, (4.0 + 10.0) / 2)


def test_a_chunk_that_has_run_out_has_no_say():
    ensemble = AdaptiveEnsemble(3)
    ensemble.blend(np.ones((4, 2)))
    np.testing.assert_allclose(ensemble.blend(np.full((4, 2), 9.0), steps=4), 9.0)


def test_a_horizon_below_one_is_refused():
    with pytest.raises(ConfigError, match='horizon is 0'):
        AdaptiveEnsemble(0)
