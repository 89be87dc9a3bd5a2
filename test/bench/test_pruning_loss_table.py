# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/pruning_loss.py tells of some looks."""
import numpy as np
import pruning_loss
import pytest

ERRORS, USUAL = np.array([3.0, 5.0, 1.0, 9.0]), np.array([1.0, 1.0, 2.0, 0.0])
CLIPS = np.array([7, 7, 8, 9])


def test_a_part_is_paired_and_clips_count_once():
    """Differences are 2 and 4 of clip 7, so 3, and -1 of clip 8."""
    error, difference, spread = pruning_loss.part(
        ERRORS, USUAL, CLIPS, np.array([True, True, True, False]))
    assert (error, difference) == (3.0, 1.0)
    assert spread == pytest.approx(np.std([3, -1], ddof=1) / 2 ** 0.5)


def test_one_clip_has_no_standard_error():
    assert pruning_loss.part(ERRORS, USUAL, CLIPS, CLIPS == 9) == [9.0, 9.0, None]
