# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The overlay shows each patch where it is in the image, and why it was kept."""

from itertools import combinations

import numpy as np
import pytest
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.observation import (
    FILLED, PRESERVED, PROTECTED, ProtectedPoints, SAMPLED, TokenSelection)
from sqap_vla_ros.tokens.overlay import COLORS, DIMMED, draw_overlay, MARKERS

GREY = np.full((480, 640, 3), 200, np.uint8)


def selection(kept, reason, grid=(4, 4)):
    """Return a TokenSelection of these patches."""
    return TokenSelection(grid, np.array(kept), np.array(reason, np.uint8))


def centre(picture, patch):
    """Return a pixel a little off the centre of a patch of a 480 x 640 image and 4 x 4 grid."""
    return picture[(patch // 4) * 120 + 25, (patch % 4) * 160 + 25]


def test_kept_patches_are_bright_and_dropped_ones_dark():
    picture = draw_overlay(GREY, selection([0, 5, 15], [PRESERVED, PROTECTED, SAMPLED]),
                           ImageTransform((64, 64)))
    bright = [patch for patch in range(16) if (centre(picture, patch) == 200).all()]
    assert bright == [0, 5, 15]
    assert (centre(picture, 3) == int(200 * DIMMED)).all()


@pytest.mark.parametrize('changes, patch', [({}, 0), ({'rotate_180': True}, 15)])
def test_patches_lie_where_the_network_saw_them(changes, patch):
    picture = draw_overlay(GREY, selection([0], [FILLED]), ImageTransform((64, 64), **changes))
    assert [p for p in range(16) if (centre(picture, p) == 200).all()] == [patch]


def test_a_crop_leaves_dark_what_the_network_does_not_see():
    picture = draw_overlay(GREY, selection(range(16), [SAMPLED] * 16),
                           ImageTransform((64, 64), strategy='resize-crop'))
    seen = (picture[25, :, 0] == 200).nonzero()[0]
    assert 75 <= seen.min() < 80 and 550 < seen.max() < 558  # columns 10 to 73 of 85


def test_small_images_are_enlarged_and_all_reasons_are_in_the_legend():
    points = ProtectedPoints(np.array([[10.0, 10.0]]), np.zeros(1), ('tool',))
    small = draw_overlay(GREY[:48, :64], selection([0, 1, 2, 3], range(4)),
                         ImageTransform((64, 64)), points)
    assert small.shape[1] == 640 and small.shape[0] > 480
    legend = small[480:].reshape(-1, 3)
    for color in COLORS.values():
        assert (legend == color).all(axis=1).any()


def test_colours_differ_for_the_colour_blind_and_marks_differ_without_colour():
    # Viénot et al. 1999: what a person without red or without green cones sees (linear RGB).
    lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714],
                    [0.0299566, 0.184309, 1.46709]])
    protan = np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]])
    deutan = np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])
    for blindness in (protan, deutan):
        simulate = np.linalg.inv(lms) @ blindness @ lms
        seen = {reason: simulate @ ((np.array(color) / 255) ** 2.2)
                for reason, color in COLORS.items()}
        for one, other in combinations(seen, 2):
            assert np.abs(seen[one] - seen[other]).max() > 0.1, (one, other)
    assert len(set(MARKERS.values())) == len(COLORS) == 4
