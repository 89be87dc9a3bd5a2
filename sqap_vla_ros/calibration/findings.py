# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""All that one check found, in the words and lines that the terminal, the report and YAML show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .extrinsics import Extrinsics, optical_name, optical_publisher
from .judgement import FINE, is_on, picture_up, Verdict, WORDS, WRONG
from .mistakes import AS_IS
from .sample import Sample
from .trials import Evidence


@dataclass(frozen=True, eq=False)
class Findings:
    """
    What was looked at and what came of it.

    samples: oldest first.  frames: of the robot.  evidence: () without any.  source: where the
    images came from.  camera: its name, '' for the only one.  before_px, is_turned: the
    parameters calibration_error_px and rotate_image_180 as they are.
    """

    samples: tuple[Sample, ...]
    frames: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    verdict: Verdict
    source: str
    looked_for: str = ''
    extrinsics: Extrinsics | None = None
    camera: str = ''
    before_px: float = 0.0
    is_turned: bool = False

    @property
    def shown(self) -> Sample:
        """Return the sample that the picture is of: the last with evidence."""
        return self.evidence[-1].sample if self.evidence else self.samples[-1]

    @property
    def headline(self) -> str:
        """Return the verdict in one line."""
        text = self.verdict.headline
        return f'{WORDS[self.verdict.status]}: {text[:1]}{text[1:]}'

    def rows(self):
        """Yield (frame, pixel, depth in m, whether it is on the image, age in s, offset) each."""
        sample = self.shown
        for frame, pose in sample.frames.items():
            pixels, depths = AS_IS.project(sample, pose[:3, 3])
            where = ('on the image' if is_on(pixels, sample.size)[0] else
                     'behind the lens' if depths[0] <= 0 else 'off the image')
            age_ms = 1e3 * sample.ages_s[frame]
            yield frame, pixels[0], float(depths[0]), where, age_ms

    def notes(self) -> list[str]:
        """Return what else is to be known, each a sentence."""
        sample, found = self.shown, []
        refused = [item for item in self.samples if item.refusal]
        if refused:
            found.append(f'The node would refuse {len(refused)} of {len(self.samples)} images: '
                         + _sentence(refused[-1].refusal))
        found += [f'The node would warn: {_sentence(text)}' for text in sample.warnings]
        found += self._of_turning(sample)
        if self.extrinsics is not None and self.extrinsics.is_ambiguous:
            found.append('The board is seen so flat or small that its mirrored pose fits almost '
                         'as well: tilt it, or show it nearer, before believing its extrinsics.')
        if self.extrinsics is not None and not self.extrinsics.child:
            found.append(f'By the board the camera stands elsewhere ({self.extrinsics.difference}'
                         '), but there is no transform to publish: each one on the way to '
                         f'{sample.camera_frame} carries the robot or the board, too. Mend it '
                         'where the robot is described.')
        skipped = len(self.samples) - len(self.evidence)
        if self.evidence and skipped:
            found.append(
                f'{skipped} of {len(self.samples)} images did not show {self.looked_for}.')
        return found

    def _of_turning(self, sample):
        up = picture_up(sample)
        if up == (1 if not self.is_turned else -1) or up == 0:
            return []
        if up < 0:
            return [f'Up in {sample.base_frame} is down in the picture: set rotate_image_180: '
                    'true, if the policy was trained on upright images.']
        return ['rotate_image_180 is true, but the picture is upright by TF: the policy would see '
                'it upside down.']

    def lines_to_paste(self) -> list[str]:
        """Return the parameters to change, as lines of YAML without indentation."""
        verdict, prefix = self.verdict, f'{self.camera}.' if self.camera else ''
        if verdict.calibration_error_px is not None:
            return [f'{prefix}calibration_error_px: {verdict.calibration_error_px:.1f}']
        keys = {mistake.key for mistake in verdict.candidate.mistakes}
        lines = []
        if 'body_frame' in keys:
            lines.append(f'{prefix}camera_frame: {optical_name(self.shown.camera_frame)}')
        if 'rectification' in keys:
            lines.append(f'{prefix}camera_rectified: {str(not self.shown.rectified).lower()}')
        return lines

    def commands(self) -> list[tuple[str, str]]:
        """Return (what it is for, command) pairs of transforms to publish."""
        keys = {mistake.key for mistake in self.verdict.candidate.mistakes}
        found = []
        if 'body_frame' in keys:
            found.append(('adds the optical frame below the body frame',
                          optical_publisher(self.shown.camera_frame)))
        if self.extrinsics is not None and self.extrinsics.child and 'body_frame' not in keys:
            found.append((self._what_extrinsics(), self.extrinsics.publisher))
        return found

    def _what_extrinsics(self):
        found = self.extrinsics
        need = 'not needed: ' if self.verdict.status == FINE else ''
        return (f'{need}the pose by the board ({found.difference}), in the place of what '
                f'publishes {found.parent} -> {found.child} now')

    def yaml(self) -> str:
        """Return a file of parameters with the lines to paste, commented out if to be mended."""
        count = len(self.evidence)
        lines = ['# Written by sqap-vla check-camera: ' + self.source,
                 f'# {self.headline}', *(f'# {text}' for text in self.verdict.reasons[:2])]
        paste = self.lines_to_paste()
        if not paste:
            lines.append('# Nothing to paste: ' + (
                'mend the camera, then check it again' if self.verdict.status == WRONG else
                'nothing was measured'))
        lines += [] if not count else [f'# {count} images, {self.looked_for}']
        section = ['/**:', '  ros__parameters:', *(f'    {line}' for line in paste)]
        is_found = self.verdict.status == FINE
        lines += [line if is_found else f'# {line}' for line in section if paste]
        return '\n'.join(lines) + '\n'

    def summary(self) -> str:
        """Return what the terminal shows."""
        lines = [self.source, '']
        for frame, pixel, depth, where, age_ms in self.rows():
            told = f'({pixel[0]:.1f}, {pixel[1]:.1f})' if np.isfinite(pixel).all() else '-'
            lines.append(f'  {frame:24} pixel {told:18} {depth:7.3f} m  {where:16} '
                         f'TF {age_ms:.1f} ms off')
        lines += ['', self.headline, *(f'  {text}' for text in self.verdict.reasons),
                  *(f'  {text}' for text in self.notes())]
        for what, command in self.commands():
            lines += [f'  {what}:', f'    {command}']
        paste = self.lines_to_paste()
        if paste:
            lines += ['  in the YAML of the node:', *(f'    {line}' for line in paste)]
        return '\n'.join(lines)


def _sentence(text: str) -> str:
    return text if text.endswith(('.', '?')) else f'{text}.'
