# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether the evidence, or geometry alone, says that the camera is described as it is.

A candidate is named when it puts the points where they are seen and what TF and camera_info
say does not, by a margin; what the evidence cannot tell apart is said to be so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mistakes import AS_IS, Candidate, single_mistakes
from .offset import Offset
from .sample import Sample
from .trials import all_trials, BOARD_POINTS, limit_px, places, Trial

FINE, UNJUDGED, WRONG = range(3)  # exit statuses
WORDS = {FINE: 'FINE', UNJUDGED: 'CANNOT BE JUDGED', WRONG: 'WRONG'}
BETTER = 3.0  # times nearer than as it is, and by as many times the noise
UP_DEGREES = 60.0  # within which an axis points up or down
GEOMETRY = ('body_frame', 'turned_twice', 'inverted', 'quaternion_wxyz', 'quaternion_xyzw',
            'millimetres', 'base_turned')


@dataclass(frozen=True, eq=False)
class Verdict:
    """
    What came out.

    status: FINE, UNJUDGED or WRONG.  headline: one sentence.  reasons: sentences with numbers.
    offset: of what TF and camera_info say, None without evidence.  trials: as it is first.
    cause: the trial that explains it, None if none or several do.
    """

    status: int
    headline: str
    reasons: tuple[str, ...] = ()
    offset: Offset | None = None
    trials: tuple[Trial, ...] = ()
    cause: Trial | None = None
    candidate: Candidate = AS_IS

    @property
    def calibration_error_px(self) -> float | None:
        """Return the parameter to use, None unless the camera was found to be fine."""
        return self.offset.margin_px if self.status == FINE and self.offset else None


def judged(evidence, noise_px: float) -> Verdict:
    """Return the verdict of evidence whose pixels are known to noise_px."""
    as_is, *others = trials = all_trials(evidence, noise_px)
    sample, limit = evidence[0].sample, limit_px(evidence[0].sample)
    offset, fitting = as_is.offset, min(limit, max(3 * noise_px, limit / 2))
    better = [trial for trial in others if trial.offset.median_px <= fitting
              and trial.offset.p95_px * BETTER < offset.p95_px
              and offset.p95_px - trial.offset.p95_px > BETTER * noise_px]
    reasons = [_numbers(offset, len(evidence), limit)]
    if better:
        return _explained(better, reasons, offset, trials, noise_px)
    reasons += _kind_of(offset, sample, noise_px)
    if offset.median_px <= limit:
        return Verdict(
            FINE, f'{sample.camera_frame} is an optical frame and fits the image: frames lie '
            f'within {offset.p95_px:.1f} px (p95) of where they are seen.',
            (*reasons, *_not_told(trials, evidence, noise_px)), offset, tuple(trials))
    return Verdict(
        WRONG, f'{sample.camera_frame} does not fit the image, and none of the known mistakes '
        'explains it: calibrate the camera again.',
        (*reasons, *(f'The nearest leaves {trial.offset.median_px:.1f} px: {trial.title}.'
                     for trial in others[:1] if places(evidence) >= BOARD_POINTS
                     and 2 * trial.offset.median_px < offset.median_px)),
        offset, tuple(trials))


def _numbers(offset, images, limit) -> str:
    told = f'{offset.count} points in {images} image' + 's' * (images > 1)
    if not np.isfinite(offset.median_px):
        return f'As TF and camera_info say, {told} would not be seen at all.'
    return (f'The median offset is {offset.median_px:.1f} px, p95 {_px(offset.p95_px)}, of '
            f'{told} (limit: {limit:.0f} px).')


def _px(length) -> str:
    return f'{length:.1f} px' if np.isfinite(length) else 'infinite'


def _kind_of(offset, sample, noise_px):
    """Say what kind of offset it is, where it is one and the camera is roughly right."""
    if not np.isfinite(offset.p95_px) or sample.camera is None or offset.median_px < noise_px:
        return []
    return [f'It is {offset.kind(sample.camera.focal_px)}.']


def _explained(better, reasons, offset, trials, noise_px) -> Verdict:
    best = better[0]
    rivals = [trial for trial in better[1:]
              if trial.offset.p95_px <= max(2 * best.offset.p95_px,
                                            best.offset.p95_px + 2 * noise_px)
              and len(trial.candidate.mistakes) == len(best.candidate.mistakes)]
    if rivals:
        reasons += [f'{trial.title}: {_puts(trial)}' for trial in (best, *rivals)]
        return Verdict(WRONG, 'The camera is described wrongly; the points leave more than one '
                       'explanation: give more points, away from the middle, or use a board.',
                       tuple(reasons), offset, tuple(trials))
    reasons.append(f'With that mended {_puts(best)}')
    if best.alike:
        reasons.append('The points cannot tell these apart. For each, in turn:')
    reasons += [candidate.cure for candidate in (best.candidate, *best.alike)]
    return Verdict(WRONG, f'{best.title}.', tuple(reasons), offset, tuple(trials), best,
                   best.candidate)


def _puts(trial) -> str:
    return (f'the points would lie within {trial.offset.median_px:.1f} px of where they are seen '
            f'(p95 {trial.offset.p95_px:.1f} px).')


def _not_told(trials, evidence, noise_px):
    """Name the common mistakes that these points could not have shown."""
    shown = {mistake.key for trial in trials for candidate in (trial.candidate, *trial.alike)
             for mistake in candidate.mistakes}
    hidden = sorted({mistake.title for mistake in single_mistakes(evidence[0].sample)
                     if mistake.key in ('image_turned', 'upside_down', 'mirrored', 'flipped')
                     and mistake.key not in shown})
    return [f'These points cannot tell whether {title}: give others, away from the middle.'
            for title in hidden]


def judged_by_geometry(samples, frames) -> Verdict:
    """
    Return what can be told without knowing where anything is seen.

    frames: those of the robot that the image should show.
    """
    sample = samples[-1]
    as_is, behind = _shown(AS_IS, samples, frames)
    if sample.camera is None:
        return Verdict(WRONG, f'camera_info is not of this image: {sample.refusal}.',
                       ('With --point or --board it can be told what became of the image.',))
    far = [candidate for candidate in _of_geometry(sample) if candidate.key == 'millimetres']
    if far:
        away_m = np.linalg.norm(sample.camera_pose[:3, 3])
        return Verdict(WRONG, f'{sample.camera_frame} is {away_m:.0f} m from {sample.base_frame}: '
                       f'{far[0].title}.', (far[0].cure,), candidate=far[0])
    shown = [candidate for candidate in _of_geometry(sample)
             if _shown(candidate, samples, frames)[0]]
    tool = frames[0]
    pixels, depths = AS_IS.project(sample, _places(sample, frames))
    if as_is:
        return Verdict(UNJUDGED, f'{tool} is on the image at pixel {_pixel(pixels[0])}, as it '
                       'should be, but nothing tells where it is seen.', (
                           *_optical(sample, shown), 'Look at the picture. To measure, give '
                           '--point u,v (where the tool is seen) or --board.'))
    where = (f'{tool} lies {-depths[0]:.3f} m behind the lens' if behind else
             f'{tool} is projected to {_pixel(pixels[0])}, off the image of {sample.size[0]} x '
             f'{sample.size[1]}')
    return _without(sample, where, behind, shown, frames)


def _without(sample, where, behind, shown, frames) -> Verdict:
    """Return the verdict of a camera that does not see the robot as it is described."""
    told = [f'{candidate.title}: that would put {frames[0]} at pixel '
            f'{_pixel(candidate.project(sample, _places(sample, frames))[0][0])}.'
            for candidate in shown]
    body = [candidate for candidate in shown if candidate.key == 'body_frame']
    if body and (len(shown) == 1 or is_like_a_body(sample)):
        others = [text for candidate, text in zip(shown, told) if candidate not in body]
        return Verdict(WRONG, f'{where}: {body[0].title}.', (
            told[shown.index(body[0])], body[0].cure, *others), candidate=body[0])
    if len(shown) == 1:
        return Verdict(WRONG, f'{where}: {shown[0].title}.', (told[0], shown[0].cure),
                       candidate=shown[0])
    if behind:
        return Verdict(WRONG, f'{where}: the camera is described wrongly.', tuple(
            told or ['None of the known mistakes puts it on the image: calibrate the camera '
                     'again, or name other end_effector_frames.']))
    return Verdict(UNJUDGED, f'{where}: move the arm to where the camera sees it, or the camera '
                   'is described wrongly.', tuple(told))


def _of_geometry(sample) -> list[Candidate]:
    return [Candidate((mistake,)) for mistake in single_mistakes(sample)
            if mistake.key in GEOMETRY]


def _shown(candidate, samples, frames):
    """Return whether all frames are on most images, and whether one is behind the lens."""
    shown = behind = 0
    for sample in samples:
        pixels, depths = candidate.project(sample, _places(sample, frames))
        shown += bool(is_on(pixels, sample.size).all())
        behind += bool((depths <= 0).any())
    return 2 * shown > len(samples), 2 * behind > len(samples)


def is_on(pixels, size) -> np.ndarray:
    """Return bool [M]: which pixels lie on an image (width, height)."""
    return ((pixels >= -0.5) & (pixels < np.array(size) - 0.5)).all(axis=1)  # NaN: False


def _places(sample, frames) -> np.ndarray:
    return np.array([sample.frames[frame][:3, 3] for frame in frames])


def _pixel(pixel) -> str:
    return f'({pixel[0]:.1f}, {pixel[1]:.1f})' if np.isfinite(pixel).all() else 'none'


def is_like_a_body(sample: Sample) -> bool:
    """Return whether z of the camera frame points up, as that of body frames does."""
    return bool(sample.camera_pose[2, 2] > np.cos(np.radians(UP_DEGREES)))


def _optical(sample, shown) -> list[str]:
    """Say whether the frame is optical, as far as its own axes tell."""
    body = any(candidate.key == 'body_frame' for candidate in shown)
    text = ('Taken as a body frame it would show it, too: geometry alone cannot tell.' if body
            else f'{sample.camera_frame} is an optical frame: taken as a body frame it would not '
            'show the tool.')
    if is_like_a_body(sample):
        text += (' But its z axis, along which an optical frame looks, points up in '
                 f'{sample.base_frame}.')
    return [text]


def picture_up(sample: Sample) -> int:
    """Return 1 if up in the base is up in the picture, -1 if down, 0 if neither (from above)."""
    down = sample.camera_pose[2, 1]  # of the picture, by the base's z axis
    return 0 if abs(down) <= np.cos(np.radians(UP_DEGREES)) else -1 if down > 0 else 1
