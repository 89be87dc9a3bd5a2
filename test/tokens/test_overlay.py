# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The overlay shows each patch where it is in the image, and why it was kept."""

from itertools import combinations

import numpy as np
import pytest
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.observation import (
    FILLED, PRESERVED, PROTECTED, ProtectedPoints, SAMPLED, TokenSelection)
from sqap_vla_ros.tokens import overlay
from sqap_vla_ros.tokens.overlay import (
    COLORS, DIMMED, draw_overlay, enlarged, LEGEND_PX, LEGEND_ROWS, MARKERS)
from sqap_vla_ros.tokens.view_overlay import draw_view

GREY = np.full((480, 640, 3), 200, np.uint8)


def selection(kept, reason, grid=(4, 4)):
    """Return a TokenSelection of these patches."""
    return TokenSelection(grid, np.array(kept), np.array(reason, np.uint8))


def centre(picture, patch):
    """Return a pixel a little off the centre of a patch of a 480 x 640 image and 4 x 4 grid."""
    return picture[(patch // 4) * 120 + 25, (patch % 4) * 160 + 25]


def test_kept_patches_are_as_they_were_and_dropped_ones_fade():
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    kept = [0, 5, 15]
    picture = draw_overlay(image, selection(kept, [PRESERVED, PROTECTED, SAMPLED]),
                           ImageTransform((64, 64)))
    for patch in range(16):
        rows = slice(patch // 4 * 120 + 15, patch // 4 * 120 + 50)
        columns = slice(patch % 4 * 160 + 15, patch % 4 * 160 + 70)
        here, before = picture[rows, columns], image[rows, columns]
        assert (here == before).all() == (patch in kept)
        if patch not in kept:  # less light, less colour, and what was there is still seen
            grey = before.mean(axis=2)
            assert here.mean() == pytest.approx(DIMMED * before.mean(), rel=0.05)
            assert np.ptp(here, axis=2).mean() < 0.5 * np.ptp(before, axis=2).mean()
            assert np.corrcoef(here.mean(axis=2).ravel(), grey.ravel())[0, 1] > 0.9


def test_a_dropped_patch_fades_softly_from_its_edge():
    picture = draw_overlay(GREY, selection(range(1, 16), [SAMPLED] * 15),
                           ImageTransform((64, 64)))
    line = picture[60, :180, 0].astype(int)
    assert line[170] == 200 and line[80] == int(200 * DIMMED)
    steps = np.abs(np.diff(line[100:170]))
    assert 0 < steps.max() < 20


def test_most_of_the_picture_is_left_alone():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (480, 640, 3), np.uint8)
    kept = np.sort(rng.choice(256, 154, replace=False))
    reasons = np.array([PRESERVED] * 32 + [PROTECTED] * 10 + [SAMPLED] * 112, np.uint8)
    picture = draw_overlay(image, selection(kept, rng.permutation(reasons), (16, 16)),
                           ImageTransform((224, 224)))[:480]
    unchanged = (picture == image).all(axis=2).mean()
    assert 0.4 < unchanged < 154 / 256


def test_what_is_preserved_or_protected_has_one_outline_as_a_region():
    pair = draw_overlay(GREY, selection([5, 6], [PRESERVED] * 2), ImageTransform((64, 64)))
    between = pair[130:170, 300:340]  # where both patches meet, above their marks
    assert (between == 200).all()
    assert (pair[120, 200:440] == COLORS[PRESERVED]).all()
    dashed = draw_overlay(GREY, selection([5], [PROTECTED]), ImageTransform((64, 64)))
    line = (dashed[120, 165:315] == COLORS[PROTECTED]).all(axis=1)
    assert 0.3 < line.mean() < 0.7


@pytest.mark.parametrize('changes, patch', [({}, 0), ({'rotate_180': True}, 15)])
def test_patches_lie_where_the_network_saw_them(changes, patch):
    picture = draw_overlay(GREY, selection([0], [FILLED]), ImageTransform((64, 64), **changes))
    assert [p for p in range(16) if (centre(picture, p) == 200).all()] == [patch]


def test_a_crop_leaves_dark_what_the_network_does_not_see():
    picture = draw_overlay(GREY, selection(range(16), [SAMPLED] * 16),
                           ImageTransform((64, 64), strategy='resize-crop'))
    seen = (picture[25, :, 0] == 200).nonzero()[0]
    assert 75 <= seen.min() < 80 and 550 < seen.max() < 558  # columns 10 to 73 of 85


def test_pixels_that_are_left_over_belong_to_no_patch():
    picture = draw_overlay(np.full((480, 480, 3), 200, np.uint8),
                           selection(range(9), [SAMPLED] * 9, (3, 3)), ImageTransform((64, 64)))
    seen = (picture[25, :480, 0] == 200).nonzero()[0]  # 3 patches of 21 of the 64 px
    assert seen.max() == 480 * 63 // 64 - 1


def test_small_images_are_enlarged_and_all_reasons_are_in_the_legend():
    points = ProtectedPoints(np.array([[10.0, 10.0]]), np.zeros(1), ('tool',))
    small = draw_overlay(GREY[:48, :64], selection([0, 1, 2, 3], range(4)),
                         ImageTransform((64, 64)), points)
    assert small.shape[1] == 640 and small.shape[0] > 480
    legend = small[480:].reshape(-1, 3)
    for color in COLORS.values():
        assert (legend == color).all(axis=1).any()


@pytest.mark.parametrize('shape', [(3, 4000, 3), (4000, 3, 3), (1, 9000, 3), (1, 1, 3)])
def test_a_narrow_image_is_drawn_and_stays_of_a_size_that_can_be_sent(shape):
    image = np.full(shape, 100, np.uint8)
    picture = draw_overlay(image, selection([0, 5], [PRESERVED, PROTECTED]),
                           ImageTransform((64, 64)))
    assert max(picture.shape) <= max(4096 + 200, *shape) and picture.shape[1] >= shape[1]


def texts_of(monkeypatch, *arguments):
    """Return the texts of the legend."""
    told = []
    monkeypatch.setattr(overlay.cv2, 'putText', lambda picture, text, *_: told.append(text))
    draw_overlay(*arguments)
    return told


def test_the_legend_explains_the_dark_and_the_ring_and_fits(monkeypatch):
    chosen = selection(np.arange(154), np.arange(154) % 4, (16, 16))
    points = ProtectedPoints(np.array([[10.0, 10.0]]), np.zeros(1), ('tool',))
    image, transform = GREY[:224, :224], ImageTransform((224, 224))
    told = texts_of(monkeypatch, image, chosen, transform, points)
    assert told == ['preserved 39: by attention', 'protected 39: at the robot',
                    'sampled 38: spread out', 'filled 38: to the budget',
                    'dark: dropped 102 of 256', 'ring: end effector']
    height = draw_overlay(image, chosen, transform, points).shape[0] - enlarged(image).shape[0]
    assert height == LEGEND_PX * LEGEND_ROWS
    assert 'ring: end effector' not in texts_of(monkeypatch, image, chosen, transform)


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


def test_the_uncertainty_of_a_point_is_a_thin_ring_where_it_is_wider_than_the_ring():
    image = np.full((480, 640, 3), 100, np.uint8)
    for draw in (draw_view, lambda image, protected: draw_overlay(
            image, selection(range(16), [SAMPLED] * 16), ImageTransform((64, 64)), protected)):
        narrow, wide = (draw(image, ProtectedPoints(
            np.array([[300.0, 200.0]]), np.array([radius]), ('hand',))) for radius in (3.0, 60.0))
        row = np.flatnonzero((narrow[200, :640] != wide[200, :640]).any(axis=1))
        assert {240, 361} <= set(row.tolist()) and len(row) <= 14
    lost = ProtectedPoints(np.full((1, 2), np.nan), np.array([np.inf]), ('hand',))
    np.testing.assert_array_equal(draw_view(image, lost), image)
