# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers of tokens in /diagnostics, of one camera and of several."""
from types import SimpleNamespace

import numpy as np
import pytest
from sqap_vla_ros.observation import ProtectedPoints, TokenSelection
from sqap_vla_ros.ros.vla.figures import Answers


@pytest.mark.parametrize('images, total, by_camera', [(1, 16, None), (3, 48, '4 0 2')])
def test_tokens_are_counted_over_all_cameras_and_told_for_each(images, total, by_camera):
    kept = np.array([0, 3, 9, 15, 32, 47][:6 if images > 1 else 4])
    selection = TokenSelection((4, 4), kept, np.full(len(kept), 2, np.uint8), images)
    answers = Answers()
    answers.add(SimpleNamespace(
        chunk=SimpleNamespace(selection=selection), warnings=[],
        observation=SimpleNamespace(protected=ProtectedPoints())), {})
    _, text, values = answers.tokens()
    assert text == f'keeps {len(kept)} of {total}'
    assert (values['kept'], values['of'], values['sampled']) == (len(kept), total, len(kept))
    assert values.get('kept_by_camera') == by_camera
