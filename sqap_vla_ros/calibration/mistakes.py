# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What people get wrong about a camera, each as something that can be tried.

A mistake changes one thing: the way from the base to the camera (`chain`), the axes of the camera
(`turn`), the base, the intrinsics (`model`) or the pixels (`image`). What a candidate, of one or
two mistakes, makes of points of the base frame is compared with where the image shows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .sample import chained, Link, Sample
from ..errors import ConfigError
from ..geometry.camera import CameraModel, project
from ..geometry.poses import invert_pose, points_in_camera, quaternion_matrix

# Columns: where x (right), y (down) and z (forward) of the optical frame point in a body frame of
# x forward, y left, z up.
OPTICAL_IN_BODY = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
OPTICAL_IN_BODY_QUATERNION = (-0.5, 0.5, -0.5, 0.5)
SCALES = (0.25, 1 / 3, 0.5, 2 / 3, 0.75, 4 / 3, 1.5, 2.0, 3.0, 4.0)
MILLIMETRES_FROM_M = 10.0  # no camera is mounted so far away
ROLLS = {'right': 90.0, 'left': -90.0}


def unchanged(value):
    """Return what is given."""
    return value


@dataclass(frozen=True, eq=False)
class Mistake:
    """
    One way in which what TF and camera_info say may be wrong.

    key: short name.  title: what is wrong; cure: what to change.  chain(links) -> links;
    base, turn: 4x4 before and behind the pose; model(Sample) -> CameraModel or None;
    image(pixels, (width, height)) -> pixels.
    """

    key: str
    title: str
    cure: str
    slot: str
    chain: Callable = unchanged
    base: np.ndarray = None
    turn: np.ndarray = None
    model: Callable = None
    image: Callable = None


@dataclass(frozen=True)
class Candidate:
    """Mistakes, at most one of each slot, that are made at once; () is: as it is."""

    mistakes: tuple[Mistake, ...] = ()

    @property
    def key(self) -> str:
        """Return the mistakes' names, 'as_is' for none."""
        return '+'.join(mistake.key for mistake in self.mistakes) or 'as_is'

    @property
    def title(self) -> str:
        """Return what is wrong, in words."""
        return ', and '.join(mistake.title for mistake in self.mistakes) or (
            'as TF and camera_info say')

    @property
    def cure(self) -> str:
        """Return what to change."""
        return ' '.join(mistake.cure for mistake in self.mistakes)

    def camera_pose(self, sample: Sample) -> np.ndarray:
        """Return where the optical frame would be in the base [4, 4]."""
        links = sample.links
        for mistake in self.mistakes:
            links = mistake.chain(links)
        pose = chained(links)
        for mistake in self.mistakes:
            pose = pose if mistake.base is None else mistake.base @ pose
            pose = pose if mistake.turn is None else pose @ mistake.turn
        return pose

    def camera(self, sample: Sample) -> CameraModel | None:
        """Return the model of the image, None where there is none."""
        models = [mistake.model for mistake in self.mistakes if mistake.model is not None]
        return models[0](sample) if models else sample.camera

    def project(self, sample: Sample, points_base):
        """
        Return where the image would show points [M, 3] of the base frame.

        Pixels float64 [M, 2], NaN where there are none, and depths [M], m.
        """
        camera = self.camera(sample)
        points = points_in_camera(points_base, self.camera_pose(sample))
        if camera is None:
            return np.full((len(points), 2), np.nan), points[:, 2]
        pixels, _ = project(camera, points)
        for mistake in self.mistakes:
            if mistake.image is not None:
                pixels = mistake.image(pixels, sample.size)
        return pixels, points[:, 2]


AS_IS = Candidate()


def single_mistakes(sample: Sample) -> list[Mistake]:
    """Return the mistakes that can have been made, of the frames and sizes of a sample."""
    frame = sample.camera_frame
    return [*_of_axes(frame), *_of_the_way(sample), *_of_pixels(), *_of_intrinsics(sample)]


def pairs(mistakes) -> list[Candidate]:
    """Return all candidates of two mistakes that can be made at once."""
    return [Candidate((first, second)) for number, first in enumerate(mistakes)
            for second in mistakes[number + 1:] if first.slot != second.slot]


def _of_axes(frame) -> list[Mistake]:
    body, twice = _turned(OPTICAL_IN_BODY), _turned(OPTICAL_IN_BODY.T)
    found = [
        Mistake('body_frame', f'{frame} is a body frame (x forward, y left, z up), not an optical '
                'one (x right, y down, z forward)',
                f'Set camera_frame to the optical frame below {frame}, or add one with the '
                'static transform below.', 'turn', turn=body),
        Mistake('turned_twice', f'{frame} was turned from body to optical axes twice',
                f'Take one of the two rotations out of what publishes {frame}.', 'turn',
                turn=twice),
        Mistake('upside_down', f'the camera is rolled by 180 degrees: mounted upside down, while '
                f'TF has {frame} upright (or the other way round)',
                f'Turn {frame} by 180 degrees about its z axis where it is published; and set '
                'rotate_image_180 if the picture is upside down.', 'turn',
                turn=_turned(_about_z(180.0)))]
    found += [
        Mistake(f'rolled_{side}', f'the camera is rolled by 90 degrees to the {side} of what TF '
                'says', f'Turn {frame} by {angle:g} degrees about its z axis where it is '
                'published.', 'turn', turn=_turned(_about_z(angle)))
        for side, angle in ROLLS.items()]
    return found


def _of_the_way(sample) -> list[Mistake]:
    links, found = sample.links, []
    for number, link in enumerate(links):
        name, where = link.name, 'where it is published'
        parent, child = name.split(' -> ')
        found.append(Mistake(
            'inverted', f'{name} is inverted: it holds the pose of {parent} in {child}',
            f'Publish the inverse of {name}.', 'chain', chain=_with_link(number, invert_pose)))
        found += [Mistake(
            key, f'the quaternion of {name} is in another order ({told})',
            f'Give {name} as x y z w {where}.', 'chain',
            chain=_with_link(number, _reordered(order)))
            for key, order, told in (
                ('quaternion_wxyz', (1, 2, 3, 0), 'w first'),
                ('quaternion_xyzw', (3, 0, 1, 2), 'w last, read as w first'))]
        if np.linalg.norm(link.matrix[:3, 3]) > MILLIMETRES_FROM_M:
            found.append(Mistake(
                'millimetres', f'{name} is in millimetres', f'Give {name} in metres {where}.',
                'chain', chain=_with_link(number, _in_metres)))
    if len(links) > 1:
        name = f'{sample.base_frame} -> {sample.camera_frame}'
        found.append(Mistake(
            'inverted', f'{name} is inverted as a whole', f'Publish the inverse of {name}.',
            'chain', chain=_inverted_whole))
    found.append(Mistake(
        'base_turned', f'{sample.base_frame} is turned by 180 degrees about z against the base '
        "that the camera was calibrated in (as UR's base and base_link are)",
        'Publish the camera in the base that it was calibrated in.', 'base',
        base=_turned(_about_z(180.0))))
    return found


def _of_pixels() -> list[Mistake]:
    return [
        Mistake('image_turned', 'the picture is turned by 180 degrees by the driver, but '
                'camera_info and TF are of the camera as it hangs',
                "Turn the driver's rotation off and set rotate_image_180: true, or turn the "
                'camera frame and camera_info with it.', 'image', image=_turned_pixels),
        Mistake('mirrored', 'the picture is mirrored (left and right exchanged)',
                'Turn mirroring off in the camera driver.', 'image', image=_mirrored_pixels),
        Mistake('flipped', 'the picture is flipped (top and bottom exchanged)',
                'Turn flipping off in the camera driver.', 'image', image=_flipped_pixels)]


def _of_intrinsics(sample) -> list[Mistake]:
    kind, other = (('rectified', 'raw') if sample.rectified else ('raw', 'rectified'))
    wanted = str(not sample.rectified).lower()
    found = [Mistake(
        'rectification', f'the image is {other}, but taken as {kind} '
        + ('(K and D belong to it, not P)' if sample.rectified else '(P belongs to it, not K, D)'),
        f'Set camera_rectified: {wanted}, or take the topic of the {kind} image.', 'model',
        model=_rectified_otherwise)]
    found += [Mistake(
        'resolution', f'camera_info was calibrated at {1 / scale:.3g} times the resolution of the '
        f'image ({sample.size[0]} x {sample.size[1]})',
        'Calibrate at the resolution that is published, or publish the camera_info of it.',
        'model', model=_scaled_by(scale)) for scale in SCALES]
    return found + _of_other_aspect(sample)


def _of_other_aspect(sample) -> list[Mistake]:
    """Return what may have become of an image of another aspect than camera_info's."""
    (width, height), info = sample.size, sample.info
    if not info.width or not info.height or sample.camera is not None:
        return []
    ratios = width / info.width, height / info.height
    sizes = f'{info.width} x {info.height} of camera_info to {width} x {height}'
    cure = 'Publish the camera_info of this image.'
    return [
        Mistake('stretched', f'the image was stretched from {sizes}', cure, 'model',
                model=_resized(*ratios)),
        Mistake('cropped', f'the image was scaled and cropped about its centre from {sizes}',
                cure + ' roi tells what was cropped.', 'model',
                model=_resized(*[max(ratios)] * 2)),
        Mistake('padded', f'the image was scaled and padded about its centre from {sizes}',
                cure, 'model', model=_resized(*[min(ratios)] * 2)),
        Mistake('cut_out', f'the image was cut out of the middle of {sizes}',
                cure + ' roi tells what was cut.', 'model', model=_resized(1.0, 1.0))]


def _turned(rotation) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    return matrix


def _about_z(degrees) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _with_link(number, change):
    def chain(links):
        link = links[number]
        changed = link.republished(change(link.published))
        return (*links[:number], changed, *links[number + 1:])
    return chain


def _inverted_whole(links):
    whole = invert_pose(chained(links))
    return (Link(links[0].parent, links[-1].child, whole, False),)


def _reordered(order):
    def change(matrix):
        quaternion = quaternion_of(matrix[:3, :3])[list(order)]
        return np.block([[quaternion_matrix(quaternion), matrix[:3, 3:]], [matrix[3:]]])
    return change


def _in_metres(matrix):
    changed = matrix.copy()
    changed[:3, 3] /= 1000.0
    return changed


def quaternion_of(rotation) -> np.ndarray:
    """Return the quaternion [4] (x, y, z, w), w >= 0, of a rotation matrix [3, 3]."""
    m = np.asarray(rotation, np.float64)
    squares = np.array([1 + m[0, 0] - m[1, 1] - m[2, 2], 1 - m[0, 0] + m[1, 1] - m[2, 2],
                        1 - m[0, 0] - m[1, 1] + m[2, 2], 1 + m[0, 0] + m[1, 1] + m[2, 2]])
    x, y, z = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    xy, xz, yz = m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    rows = np.array([[squares[0], xy, xz, x], [xy, squares[1], yz, y], [xz, yz, squares[2], z],
                     [x, y, z, squares[3]]])
    row = rows[int(squares.argmax())]
    return row / np.linalg.norm(row) * (1.0 if row[3] >= 0 else -1.0)


def _turned_pixels(pixels, size):
    return np.array(size) - 1 - pixels


def _mirrored_pixels(pixels, size):
    return np.column_stack([size[0] - 1 - pixels[:, 0], pixels[:, 1]])


def _flipped_pixels(pixels, size):
    return np.column_stack([pixels[:, 0], size[1] - 1 - pixels[:, 1]])


def _rectified_otherwise(sample):
    try:
        other = sample.model(not sample.rectified)
    except ConfigError:  # P is often left empty
        return None
    width, height = sample.size
    return None if sample.camera is None else other.for_image(width, height)


def _scaled_by(scale):
    def model(sample):
        camera = sample.camera
        return None if camera is None else _rescaled(camera, scale, scale, (0.0, 0.0))
    return model


def _resized(x, y):
    """Return the model of an image that was resized and lies centred in the whole."""
    def model(sample):
        camera = sample.model(sample.rectified)
        border = [(length - full * scale) / 2 for length, full, scale in zip(
            sample.size, (camera.width, camera.height), (x, y))]
        width, height = sample.size
        return replace(_rescaled(camera, x, y, border), width=width, height=height)
    return model


def _rescaled(camera, x, y, border) -> CameraModel:
    """Return intrinsics scaled about the image's corner, then shifted by a border, px."""
    K = camera.K * np.array([x, y, 1.0])[:, None]
    K[:2, 2] += 0.5 * np.array([x, y]) - 0.5 + border
    return replace(camera, K=K)
