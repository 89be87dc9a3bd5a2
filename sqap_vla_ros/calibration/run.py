# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A check from its options to the files it writes: `sqap-vla check-camera` without its words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .boards import Board
from .clicking import clicked_point
from .evidence import evidence_of_board, evidence_of_points, Point
from .extrinsics import extrinsics_of
from .findings import Findings
from .judgement import judged, judged_by_geometry
from .picture import draw_check, Patches
from .report import report_html
from ..errors import ConfigError, ObservationError
from ..support.files import make_directory, write_whole

PICTURE, REPORT, PARAMETERS = 'picture.png', 'report.html', 'calibration.yaml'


@dataclass(frozen=True)
class CheckOptions:
    """
    What is known of the scene, and where the results go.

    frames: of the robot, the first is the tool's.  points: where frames are seen.  click: ask for
    it in a window.  board: what is looked for, fixed to board_frame at board_pose ([4, 4] in it,
    None: the frame is the board's).  out: directory.  camera: its name, ''.  before_px, is_turned:
    calibration_error_px and rotate_image_180 of the node.
    """

    frames: tuple[str, ...]
    points: tuple[Point, ...] = ()
    click: bool = False
    board: Board | None = None
    board_frame: str = ''
    board_pose: np.ndarray | None = None
    patches: Patches = Patches()
    out: Path = Path('camera_check')
    camera: str = ''
    before_px: float = 0.0
    is_turned: bool = False

    def __post_init__(self):
        """Raise ConfigError for what does not go together."""
        if sum((bool(self.points), self.click, self.board is not None)) > 1:
            raise ConfigError('--point, --click and --board are three ways to tell where '
                              'something is seen: give one of them')
        if self.board is not None and not self.board_frame:
            raise ConfigError('--board needs --board-frame: the TF frame that the board is fixed '
                              'to, on the gripper or on the base')

    @property
    def more_frames(self) -> tuple[str, ...]:
        """Return the frames to look at, with the end effector's or besides."""
        return tuple(dict.fromkeys((
            *self.frames, *([self.board_frame] if self.board else ()),
            *(point.frame for point in self.points))))


def check(samples, options: CheckOptions, source: str) -> Findings:
    """Return what came of samples; write the picture, the report and the YAML."""
    samples = samples[-1:] if options.click else samples  # it is of one moment
    shared = {'samples': tuple(samples), 'frames': options.frames, 'source': source,
              'camera': options.camera, 'before_px': options.before_px,
              'is_turned': options.is_turned}
    try:
        evidence, noise_px, looked_for = evidence_of(samples, options)
    except (ObservationError, ConfigError):
        findings = Findings(evidence=(), verdict=judged_by_geometry(samples, options.frames),
                            **shared)
        write_results(findings, options)  # the picture tells why
        raise
    verdict = (judged(evidence, noise_px) if evidence else
               judged_by_geometry(samples, options.frames))
    extrinsics = extrinsics_of(evidence, verdict.candidate) if options.board else None
    findings = Findings(evidence=tuple(evidence), verdict=verdict, looked_for=looked_for,
                        extrinsics=extrinsics, **shared)
    write_results(findings, options)
    return findings


def evidence_of(samples, options: CheckOptions):
    """Return (evidence, its noise in px, what was looked for in words); () without any."""
    if options.board is not None:
        evidence, noise_px = evidence_of_board(
            samples, options.board, options.board_frame, options.board_pose)
        return evidence, noise_px, f'{options.board} on {options.board_frame}'
    points = options.points
    if options.click:
        points = (clicked_point(samples[-1].image, options.frames[0]),)
    if not points:
        return (), 0.0, ''
    evidence, noise_px = evidence_of_points(samples, points)
    told = ', '.join(f'{point.frame} at ({point.u:g}, {point.v:g})' for point in points)
    return evidence, noise_px, told


def write_results(findings: Findings, options: CheckOptions) -> None:
    """Write picture, report and parameters; raise ConfigError where that cannot be."""
    evidence = findings.evidence[-1] if findings.evidence else None
    picture = draw_check(findings.shown, tuple(findings.shown.frames), options.patches, evidence,
                         findings.verdict.candidate)
    png = cv2.imencode('.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    make_directory(options.out)
    for name, content in ((PICTURE, png), (REPORT, report_html(findings, picture).encode()),
                          (PARAMETERS, findings.yaml().encode())):
        try:
            write_whole(options.out / name, content)
        except OSError as error:
            raise ConfigError(f'--out {options.out / name} cannot be written: '
                              f'{error.strerror}') from error
