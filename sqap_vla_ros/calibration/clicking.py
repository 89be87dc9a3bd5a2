# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Ask for a pixel in a window, where there is a display and an OpenCV that can open one."""

from __future__ import annotations

import os
import re

import cv2

from .evidence import Point
from ..errors import ConfigError

TITLE = 'Click where {} is, then press Enter (Esc: give up)'
ENTER, ESCAPE = (10, 13), 27


def why_no_window() -> str:
    """Return why no window can be opened here, '' if one can."""
    if not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        return 'there is no display (DISPLAY is not set)'
    gui = re.search(r'GUI:\s*(\S+)', cv2.getBuildInformation())
    if gui is None or gui.group(1) == 'NONE':
        return 'this OpenCV was built without windows (opencv-python-headless)'
    return ''


def check_window() -> None:
    """Raise ConfigError, with the other way to click, where no window can be opened."""
    why = why_no_window()
    if why:
        raise ConfigError(f'--click needs a window, but {why}: open report.html (of --out, just '
                          'written) in a browser, click the tool there, and give the --point '
                          'that it shows')


def clicked_point(image, frame: str) -> Point:
    """Return where the user clicks on an image uint8 [H, W, 3] RGB; raise ConfigError if never."""
    check_window()
    title, found = TITLE.format(frame), []
    cv2.namedWindow(title, cv2.WINDOW_NORMAL)
    try:
        cv2.setMouseCallback(title, lambda event, u, v, *_: found.append((u, v))
                             if event == cv2.EVENT_LBUTTONDOWN else None)
        picture = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        while True:
            cv2.imshow(title, _marked(picture, found))
            key = cv2.waitKey(30) & 0xFF
            if key == ESCAPE or cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1:
                raise ConfigError('--click: the window was closed without a point')
            if key in ENTER and found:
                return Point(frame, float(found[-1][0]), float(found[-1][1]))
    finally:
        cv2.destroyAllWindows()


def _marked(picture, found):
    if not found:
        return picture
    picture = picture.copy()
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.drawMarker(picture, found[-1], color, cv2.MARKER_CROSS, 24, thickness)
    return picture
