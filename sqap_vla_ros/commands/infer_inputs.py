# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What `sqap-vla infer` shows a policy: images by camera, a state, noise; each checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import ConfigError, ObservationError
from ..ingest.cameras import NAME
from ..ingest.images import read_image
from ..ingest.told_state import told_state
from ..observation import CameraView, Observation
from ..support.files import nearest_path
from ..support.validation import nearest


def told_images(texts: Sequence[str]) -> list[tuple[str, str]]:
    """
    Return (camera, path) of each --image: CAMERA=FILE, or FILE alone with '' for the camera.

    Raises ConfigError where only some have a name, or two have one.
    """
    found = [_told_image(text) for text in texts]
    names = [name for name, _ in found if name]
    if names and len(names) != len(found):
        unnamed = next(path for name, path in found if not name)
        raise ConfigError(f'--image {unnamed}: of which camera is it? Give all images by name, '
                          'CAMERA=FILE, or all without, in the order of the checkpoint')
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ConfigError(f'--image is given {names.count(doubled[0])} times for the camera '
                          f'{doubled[0]}, expected once')
    return found


def _told_image(text: str) -> tuple[str, str]:
    name, equals, path = text.partition('=')
    is_named = equals and NAME.fullmatch(name) and not Path(text).is_file()
    return (name, path) if is_named else ('', text)


def arranged(images: Sequence[tuple[str, str]], cameras: Sequence[str], count: int,
             origin: str = '') -> list[str]:
    """
    Return the paths in the checkpoint's order.

    images: of told_images.  cameras: that the checkpoint names, () for any one.  count: how many
    images it takes; origin: what says so, where the checkpoint does not.
    Raises ConfigError for another number, and for a camera that it lacks.
    """
    takes = (f'the checkpoint takes {count} image{"s" if count > 1 else ""}'
             + (f' ({origin})' if origin else ''))
    if cameras:
        takes += (f', in this order: {", ".join(cameras)}' if count > 1
                  else f' of the camera {cameras[0]}')
    unknown = [name for name, _ in images if name and cameras and name not in cameras]
    if unknown:
        raise ConfigError(f'--image {unknown[0]}=...: there is no camera {unknown[0]!r}'
                          f'{nearest(unknown[0], cameras)}: {takes} ("cameras" in its '
                          'deployment.json, or in config.json of a converted one, names them)')
    if count > 1 and not cameras:
        raise ConfigError(f'{takes}, and does not say of which cameras: write their names as '
                          '"cameras" into its deployment.json, or into config.json of a '
                          'converted one')
    if len(images) != count:
        usage = ' '.join(f'--image {name}=FILE' for name in cameras) or '--image FILE'
        raise ConfigError(
            f'--image is given {len(images)} time{"s" if len(images) > 1 else ""}, and {takes}: '
            f'give {usage}, or, if it is an OpenVLA-OFT, correct "images" under "oft" in its '
            'deployment.json, and convert it again if it is converted')
    paths = dict(images)
    return [paths[name] for name in cameras] if images[0][0] and cameras else [
        path for _, path in images]


def observation_of(paths: Sequence[str], cameras: Sequence[str], instruction: str,
                   state) -> Observation:
    """Return what a policy is shown: images of files, in the order of the cameras."""
    first, *rest = [_image(path) for path in paths]
    name = cameras[0] if rest else ''
    views = {camera: CameraView(image, 0) for camera, image in zip(cameras[1:], rest)}
    return Observation(first, 0, instruction, state=state, camera=name, views=views)


def _image(path) -> np.ndarray:
    """Return a file's image uint8 [H, W, 3]; raise ConfigError if it cannot be read."""
    try:
        return read_image(path)
    except ObservationError as error:
        raise ConfigError(f'--image {error}') from error


def shown_state(values, names: Sequence[str]):
    """
    Return --state as the policy takes it, None where it takes none.

    values: the numbers, None for no --state.  Raises ConfigError for what no arm has, or another
    number of them than there are names.
    """
    if not names:
        return None
    if values is None:
        raise ConfigError(f'this policy is told the state of the arm: give --state with '
                          f'{len(names)} numbers: {" ".join(names)}')
    try:
        return told_state(values, names)
    except ObservationError as error:
        raise ConfigError(f'--state: {error}') from error


def read_noise(path) -> np.ndarray:
    """Return a .npy file's array; raise ConfigError if it is none."""
    try:
        noise = np.load(path, allow_pickle=False)
        return np.asarray(noise, np.float32)
    except FileNotFoundError as error:
        raise ConfigError(f'--noise {path} does not exist{nearest_path(path)}') from error
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise ConfigError(f'--noise {path} is no .npy file of numbers: {error}') from error
