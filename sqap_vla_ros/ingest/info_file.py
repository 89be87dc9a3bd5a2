# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A camera_info out of a YAML file, for cameras that published none.

Taken are the files of camera_calibration and camera_info_manager, and what `ros2 topic echo`
prints of one message.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

from .camera_info import camera_model
from ..errors import ConfigError
from ..support.files import nearest_path

EXPECTED = ('expected a calibration as camera_calibration writes it (image_width, image_height, '
            'camera_matrix, distortion_model, distortion_coefficients, rectification_matrix, '
            'projection_matrix), or one message as `ros2 topic echo --once` prints it')
MATRICES = {'k': ('camera_matrix', 9), 'd': ('distortion_coefficients', None),
            'r': ('rectification_matrix', 9), 'p': ('projection_matrix', 12)}
_WINDOW = {'x_offset': 0, 'y_offset': 0, 'width': 0, 'height': 0, 'do_rectify': False}


def read_camera_info(path, rectified: bool = False) -> SimpleNamespace:
    """
    Return what has the fields of sensor_msgs/CameraInfo; it has no stamp.

    rectified: whether it is to be used for rectified images.  Raises ConfigError, naming the
    file, for one that is none or makes no sense.
    """
    values = _values(Path(path))
    is_message = 'k' in values
    try:
        size = [int(values[name if is_message else f'image_{name}'])
                for name in ('width', 'height')]
        info = SimpleNamespace(
            header=_header(values), width=size[0], height=size[1],
            distortion_model=str(values['distortion_model']),
            binning_x=int(values.get('binning_x', 0)), binning_y=int(values.get('binning_y', 0)),
            roi=SimpleNamespace(**{**_WINDOW, **(values.get('roi') or {})}),
            **{field: _numbers(values, field if is_message else name, field, count)
               for field, (name, count) in MATRICES.items()})
        camera_model(info, rectified)
    except KeyError as error:
        raise ConfigError(f'{path} lacks {error}: {EXPECTED}') from error
    except (TypeError, ValueError) as error:  # a ConfigError is one
        raise ConfigError(f'{path}: {error}') from error
    return info


def _values(path: Path) -> Mapping:
    import yaml
    try:
        found = next(iter(yaml.safe_load_all(path.read_text())), None)
    except OSError as error:
        raise ConfigError(f'{path} cannot be read: {error.strerror}{nearest_path(path)}'
                          ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f'{path} is no YAML: {error}') from error
    if not isinstance(found, Mapping):
        raise ConfigError(f'{path} holds {type(found).__name__}: {EXPECTED}')
    return found


def _header(values):
    header = values.get('header') or {}
    frame = str(header.get('frame_id', '')) if isinstance(header, Mapping) else ''
    return SimpleNamespace(frame_id=frame, stamp=SimpleNamespace(sec=0, nanosec=0))


def _numbers(values, name, field, count) -> list[float]:
    found = values[name]
    if isinstance(found, Mapping):
        found = found['data']
    numbers = [float(value) for value in found]
    if count not in (None, len(numbers)):
        raise ConfigError(f'{name} has {len(numbers)} numbers, expected {count}')
    return numbers
