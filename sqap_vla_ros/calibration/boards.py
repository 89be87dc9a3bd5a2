# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
ArUco markers and ChArUco boards in an image.

Frames are OpenCV's. Of a marker: its origin in the middle, x to the right, y up, z out of it
towards who looks at it. Of a board: its origin in the outer corner of the first square (top left
where the print stands upright), x to the right, y down, z into the board.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import ConfigError, ObservationError
from ..support.validation import is_number, unknown_names

KINDS = ('aruco', 'charuco')
LEAST_CORNERS = 6  # of a board: fewer tell no pose
SMALLEST_SIDE_PX = 16.0  # of a marker: corners of smaller ones are not found to a pixel
_HALF = np.array([[-0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.5, -0.5, 0.0], [-0.5, -0.5, 0.0]])


@dataclass(frozen=True)
class Board:
    """
    What is looked for; raises ConfigError, when made, naming the option.

    kind: aruco or charuco.  dictionary: such as 4X4_50.  marker_id: of a single marker, None for
    the only one that is seen.  marker_m: its side, 0 if unknown: then its middle is what is seen.
    squares: (columns, rows) of a board; square_m: their side.
    """

    kind: str = 'aruco'
    dictionary: str = '4X4_50'
    marker_id: int | None = None
    marker_m: float = 0.0
    squares: tuple[int, int] = (0, 0)
    square_m: float = 0.0

    def __post_init__(self):
        """Check all that can be checked without an image."""
        if self.kind not in KINDS:
            raise ConfigError(f'--board {unknown_names([self.kind], KINDS)}: use one of '
                              f'{", ".join(KINDS)}')
        for flag, value in (('--marker-size', self.marker_m), ('--square-size', self.square_m)):
            if not is_number(value) or not 0 <= value < 5:
                raise ConfigError(f'{flag} is {value}, expected metres, such as 0.04')
        if self.kind == 'charuco':
            self._check_board()
        _aruco()
        self._check_marker_id()

    def _check_board(self):
        if min(self.squares) < 2 or not 0 < self.marker_m < self.square_m:
            raise ConfigError(
                f'--board charuco needs --squares COLUMNSxROWS (found '
                f'{self.squares[0]}x{self.squares[1]}), --square-size and a smaller --marker-size '
                f'in metres (found {self.square_m:g} and {self.marker_m:g})')
        needed, has = self.squares[0] * self.squares[1] // 2, len(self._dictionary.bytesList)
        if needed > has:
            raise ConfigError(f'--dictionary {self.dictionary} has {has} markers, the board of '
                              f'{self.squares[0]}x{self.squares[1]} squares takes {needed}')

    def _check_marker_id(self):
        has = len(self._dictionary.bytesList)
        if self.marker_id is not None and not 0 <= self.marker_id < has:
            raise ConfigError(f'--marker-id is {self.marker_id}, expected 0 to {has - 1} for '
                              f'--dictionary {self.dictionary}')

    @property
    def noise_px(self) -> float:
        """Return how exactly its points are found."""
        return 1.0 if self.kind == 'charuco' else 1.5

    def __str__(self) -> str:
        """Say what is looked for."""
        if self.kind == 'charuco':
            return (f'a ChArUco board of {self.squares[0]}x{self.squares[1]} squares of '
                    f'{1e3 * self.square_m:g} mm with markers of {1e3 * self.marker_m:g} mm '
                    f'({self.dictionary})')
        which = 'any marker' if self.marker_id is None else f'marker {self.marker_id}'
        return f'{which} of the dictionary {self.dictionary}'

    def found(self, image: np.ndarray):
        """
        Return (points float64 [N, 3] in the board's frame, m, pixels [N, 2]) of an RGB image.

        Of a mirrored image, too.  Raises ObservationError, saying what was seen instead.
        """
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        find = self._board if self.kind == 'charuco' else self._marker
        try:
            return find(grey)
        except ObservationError as error:
            missing = error
        try:
            points, pixels = find(np.ascontiguousarray(grey[:, ::-1]))
        except ObservationError:
            raise missing from None
        return points, np.column_stack([grey.shape[1] - 1 - pixels[:, 0], pixels[:, 1]])

    @property
    def _dictionary(self):
        names = {name[5:]: name for name in dir(_aruco()) if name.startswith('DICT_')}
        wanted = self.dictionary.upper().removeprefix('DICT_')
        if wanted not in names:
            raise ConfigError(f'--dictionary {unknown_names([wanted], names)} is unknown, such as '
                              '4X4_50, 5X5_100, 6X6_250, APRILTAG_36H11')
        return _aruco().getPredefinedDictionary(getattr(_aruco(), names[wanted]))

    def _marker(self, grey):
        corners, ids = self._markers(grey)
        seen = [] if ids is None else sorted(ids.ravel().tolist())
        wanted = seen if self.marker_id is None else [self.marker_id]
        if len(wanted) != 1 or seen.count(wanted[0]) != 1:
            raise ObservationError(self._not_found(seen, grey))
        pixels = np.float64(corners[ids.ravel().tolist().index(wanted[0])]).reshape(4, 2)
        _check_side(pixels, f'marker {wanted[0]}')
        if not self.marker_m:
            return np.zeros((1, 3)), _middle(pixels)[None]
        return _HALF * self.marker_m, pixels

    def _markers(self, grey):
        aruco = _aruco()
        parameters = aruco.DetectorParameters()
        parameters.cornerRefinementMethod = aruco.CORNER_REFINE_SUBPIX
        return aruco.ArucoDetector(self._dictionary, parameters).detectMarkers(grey)[:2]

    def _not_found(self, seen, grey):
        size = f'the image of {grey.shape[1]} x {grey.shape[0]}'
        if not seen:
            others = self._in_other_dictionaries(grey)
            return (f'no board: {self} was looked for in {size}, and no marker of '
                    f'{self.dictionary} found'
                    + (f'; there are markers of {others}: is --dictionary wrong?' if others else
                       ': is it in view, sharp, lit, not mirrored, with a white border?'))
        if self.marker_id is None:
            return f'several markers are seen, {seen}: name one by --marker-id'
        return f'no board: {self} was looked for in {size}, but those seen are {seen}'

    def _in_other_dictionaries(self, grey) -> str:
        """Return the name of a dictionary that has markers in the image, ''."""
        aruco, most = _aruco(), (0, '')
        for name in ('4X4_50', '5X5_100', '6X6_250', '7X7_250', 'APRILTAG_36H11'):
            if name == self.dictionary.upper().removeprefix('DICT_'):
                continue
            dictionary = aruco.getPredefinedDictionary(getattr(aruco, f'DICT_{name}'))
            ids = aruco.ArucoDetector(dictionary).detectMarkers(grey)[1]
            most = max(most, (0 if ids is None else len(ids), name))
        return most[1]

    def _board(self, grey):
        ways = [self._corners(grey, legacy) for legacy in (False, True)]
        pixels, ids = max(ways, key=lambda way: len(way[0]))
        if len(pixels) < LEAST_CORNERS:
            _, seen = self._markers(grey)
            raise ObservationError(self._too_few(len(pixels), seen, grey))
        points = np.float64(self._made(False).getChessboardCorners())[ids]
        across = np.linalg.norm(np.diff(pixels, axis=0), axis=1)
        if np.median(across) < SMALLEST_SIDE_PX / 2:
            raise ObservationError(
                f'the board is too small: its corners are {np.median(across):.1f} px apart, '
                f'expected {SMALLEST_SIDE_PX / 2:g} at least: bring it nearer to the camera')
        return points, pixels

    def _too_few(self, count, seen, grey):
        if seen is None:
            return self._not_found([], grey)
        return (f'only {count} corners of {self} are seen ({len(seen)} markers), expected '
                f'{LEAST_CORNERS} at least: show more of it, larger and sharper, and check '
                '--squares (columns x rows) and the sizes')

    def _made(self, legacy):
        board = _aruco().CharucoBoard(
            self.squares, self.square_m, self.marker_m, self._dictionary)
        if hasattr(board, 'setLegacyPattern'):
            board.setLegacyPattern(legacy)  # prints of OpenCV before 4.6, with even rows
        return board

    def _corners(self, grey, legacy):
        pixels, ids = _aruco().CharucoDetector(self._made(legacy)).detectBoard(grey)[:2]
        if ids is None:
            return np.zeros((0, 2)), np.zeros(0, int)
        return np.float64(pixels).reshape(-1, 2), ids.ravel()


def _aruco():
    """Return cv2.aruco; raise ConfigError where OpenCV has none of the present kind."""
    aruco = getattr(cv2, 'aruco', None)
    if not hasattr(aruco, 'CharucoDetector'):
        raise ConfigError(f'--board needs OpenCV 4.7 or later, found {cv2.__version__}: '
                          "pip install 'opencv-python-headless>=4.7'; or use --point")
    return aruco


def _check_side(pixels, name):
    side = float(np.linalg.norm(np.roll(pixels, 1, axis=0) - pixels, axis=1).min())
    if side < SMALLEST_SIDE_PX:
        raise ObservationError(
            f'{name} is too small: its shortest side is {side:.1f} px, expected '
            f'{SMALLEST_SIDE_PX:g} at least: bring it nearer to the camera')


def _middle(pixels) -> np.ndarray:
    """Return where the diagonals of four corners [4, 2] meet: a square's middle in perspective."""
    (a, b, c, d) = pixels
    along, across = c - a, d - b
    share = np.linalg.solve(np.column_stack([along, -across]), b - a)[0]
    return a + share * along
