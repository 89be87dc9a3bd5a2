# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a LeRobot data set says of itself in meta/: versions 2.0, 2.1 and 3.0.

Version 2 has a Parquet file and a video of each camera for every episode, and its tables as JSON
lines; version 3 has many episodes in a file, and tables in Parquet that tell where each is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import json
from pathlib import Path
import re

from ..errors import ConfigError, ObservationError
from ..support.validation import is_number

INFO = Path('meta/info.json')
POINTER = b'version https://git-lfs'  # what stands in the place of a file that Git LFS keeps
CHUNK = 1000
PATHS = {2: ('data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet',
             'videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4'),
         3: ('data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet',
             'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4')}
PICTURES = ('video', 'image')
NUMBERS = re.compile('float(16|32|64)?|double')
COUNTED = {'timestamp', 'frame_index', 'episode_index', 'index', 'task_index'}


@dataclass(frozen=True)
class Feature:
    """
    One feature of a data set.

    dtype: 'video', 'image', or of numbers.  columns: names of its numbers, one each.
    why_not: why it is not read, '' for what is.
    """

    name: str
    dtype: str
    columns: tuple[str, ...] = ()
    why_not: str = ''

    @property
    def is_picture(self) -> bool:
        """Whether it is the images of a camera."""
        return self.dtype in PICTURES


@dataclass(frozen=True)
class Info:
    """What meta/info.json says; version: 2 or 3; fps: frames a second."""

    root: Path
    text: str
    version: int
    fps: float
    features: Mapping[str, Feature]
    data_path: str
    video_path: str
    chunk: int

    def path(self, template: str, **numbers) -> Path:
        """Return the path of a file; raise ConfigError for a template that cannot be filled."""
        try:
            return self.root / template.format(**numbers)
        except (KeyError, ValueError, IndexError) as error:
            raise ConfigError(f'{self.root / INFO}: the path {template!r} cannot be filled in '
                              f'({error!r}), expected such as {PATHS[self.version]}') from error


def data_set_root(path) -> Path | None:
    """
    Return the directory of the data set at a path, or in which it lies; None for none.

    Raises ConfigError for a data set of version 1, one without info.json, and a directory of
    several.
    """
    place = Path(path)
    for root in (place, *(list(place.absolute().parents)[:4] if _is_part(place) else ())):
        if (root / INFO).is_file():
            return root
    if (place / 'meta_data/info.json').is_file():
        raise ConfigError(f'{path} is a LeRobot data set of version 1, expected 2.0, 2.1 or 3.0: '
                          "convert it by lerobot's convert_dataset_v1_to_v2.py")
    if any(True for depth in ('*', '*/*') for _ in place.glob(f'data/{depth}.parquet')):
        raise ConfigError(f'{path} has Parquet files in data/, but no {INFO}, in which a LeRobot '
                          'data set says what they hold: copy meta/, too')
    sets = sorted(found.parents[1].name for found in place.glob(f'*/{INFO}')) \
        if place.is_dir() else []
    if sets:
        raise ConfigError(f'{path} is a directory of LeRobot data sets, name one of them: '
                          + ', '.join(sets[:6]) + f', ... ({len(sets)})' * (len(sets) > 6))
    return None


def read_info(root: Path) -> Info:
    """Return what a data set's info.json says; raise ConfigError or ObservationError."""
    values = _json(root / INFO)
    text = str(values.get('codebase_version', '')).strip() or '(version not told)'
    version = _version(root, text)
    fps = values.get('fps')
    if not is_number(fps) or fps <= 0:
        raise ConfigError(f'{root / INFO}: fps is {fps!r}, expected the frames a second, above 0')
    features = values.get('features')
    if not isinstance(features, Mapping) or not features:
        raise ConfigError(f'{root / INFO}: features is {type(features).__name__}, expected an '
                          'object with one entry a column of the data')
    paths = [values.get(key) or default for key, default in zip(
        ('data_path', 'video_path'), PATHS[version])]
    return Info(root, text, version, float(fps), {
        name: _feature(name, feature) for name, feature in features.items()},
        *paths, int(values.get('chunks_size') or CHUNK))


def read_slices(root: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """Return which columns of state and action are which part of the robot, as GR00T has it."""
    path = root / 'meta/modality.json'
    values = _json(path) if path.is_file() else {}
    return {part: {name: (span['start'], span['end']) for name, span in slices.items()
                   if isinstance(span, Mapping) and all(
                       isinstance(span.get(end), int) for end in ('start', 'end'))}
            for part, slices in values.items()
            if part in ('state', 'action') and isinstance(slices, Mapping)}


def why_unread(path: Path, error: Exception) -> str:
    """Return why a file cannot be read, in words and bytes."""
    if not path.exists():
        return f'{path} is not there'
    if path.is_file():
        with path.open('rb') as file:
            if file.read(len(POINTER)) == POINTER:
                return (f'{path} is a pointer of Git LFS and not the file itself: `git lfs pull` '
                        'in the data set fetches it')
        size = path.stat().st_size
        return (f'{path} ({size} bytes) cannot be read: {_first_line(error)}' if size else
                f'{path} is empty (0 bytes): copy or download it again')
    return f'{path} is no file'


def _is_part(place) -> bool:
    return place.suffix in ('.json', '.jsonl', '.parquet', '.mp4') or (
        place.name in ('meta', 'data', 'videos'))


def _version(root, text) -> int:
    major = re.match(r'v?(\d+)(\.|$)', text)
    if major and int(major[1]) in PATHS:
        return int(major[1])
    if major:
        raise ConfigError(f'{root / INFO}: codebase_version is {text}, expected v2.0, v2.1 or '
                          'v3.0: lerobot has scripts that convert data sets between versions')
    return 3 if (root / 'meta/episodes').is_dir() else 2


def _feature(name, values) -> Feature:
    values = values if isinstance(values, Mapping) else {}
    dtype, shape = str(values.get('dtype', '')), values.get('shape') or ()
    shape = tuple(shape) if isinstance(shape, (list, tuple)) else (shape,)
    if dtype in PICTURES:
        return Feature(name, dtype, why_not='a depth map' if _is_depth(values) else '')
    if name in COUNTED:
        return Feature(name, dtype, why_not='counted')
    if not NUMBERS.fullmatch(dtype):
        return Feature(name, dtype, why_not=f'of type {dtype or "unknown"}')
    if len(shape) > 1:
        return Feature(name, dtype, why_not=f'of shape {list(shape)}')
    return Feature(name, dtype, column_names(values.get('names'), shape[0] if shape else 1))


def column_names(names, count: int) -> tuple[str, ...]:
    """
    Return one name a column, whatever info.json has: a list, lists by name, indices by name.

    Where it has none, or not as many as columns, they are numbered.
    """
    if isinstance(names, Mapping) and names and all(
            isinstance(value, int) for value in names.values()):
        names = sorted(names, key=names.get)
    while isinstance(names, Mapping) or (
            isinstance(names, (list, tuple)) and any(not isinstance(each, str) for each in names)):
        inner = names.values() if isinstance(names, Mapping) else names
        flat = []
        for each in inner:
            flat += list(each.values() if isinstance(each, Mapping) else each) if isinstance(
                each, (Mapping, list, tuple)) else [str(each)]
        names = flat
    names = tuple(names) if isinstance(names, (list, tuple)) else ()
    if len(names) != count or len(set(names)) != count:
        return tuple(str(number) for number in range(count))
    return names


def _is_depth(values) -> bool:
    """Whether a feature is marked as a depth map, in any of the places that versions have."""
    where = [values, values.get('info'), values.get('video_info')]
    return any(isinstance(each, Mapping) and (
        each.get('is_depth_map') or each.get('video.is_depth_map')) for each in where)


def _json(path: Path) -> Mapping:
    try:
        values = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ObservationError(why_unread(path, error)) from error
    if not isinstance(values, Mapping):
        raise ConfigError(f'{path} holds a {type(values).__name__}, expected an object')
    return values


def _first_line(error) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
