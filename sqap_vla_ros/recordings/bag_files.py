# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Which files a bag is made of: those that its metadata.yaml names, or those that lie there.

Files that were compressed as a whole are unpacked to the place for temporary files first.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
import re
import tempfile

from .below import told_below
from .lerobot_info import INFO
from .parts import zstd_module
from ..errors import ConfigError
from ..support.files import free_bytes, listing, nearest_path
from ..support.progress import Progress

STORAGES = ('.db3', '.mcap')
PACKED = '.zstd'
METADATA = 'metadata.yaml'
MAGIC_OF_ROS_1 = b'#ROSBAG'
ROS_1 = ('{0} is a bag of ROS 1, expected one of ROS 2: convert it by `rosbags-convert --src {0} '
         '--dst {1}`')
INFORMATION = 'rosbag2_bagfile_information'
_LISTS = {'relative_file_paths': (str, 'names of files'),
          'topics_with_message_count': (dict, 'topics with their counts')}
_UNUSABLE = '{} cannot be used ({}): the files beside it are read without it'
_SHOWN = 60  # characters of what is found instead
_PIECE = 4 * 2**20


@dataclass
class BagFiles:
    """
    The files of a bag, in the order of their names; those that were unpacked where they are now.

    metadata: what rosbag2_bagfile_information of metadata.yaml says, {} without one.
    """

    path: Path
    files: list[Path]
    metadata: dict = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)


def bag_files(path) -> BagFiles:
    """Return the files of a bag; raise ConfigError where there is none, naming what is."""
    path = Path(path)
    if not path.exists():
        raise ConfigError(f'the bag {path} does not exist{nearest_path(path)}; '
                          f'{path.absolute().parent} holds {_there(path.absolute().parent)}')
    folder = path if path.is_dir() else path.parent
    losses = []
    metadata = _metadata(folder / METADATA, losses)
    if path.name == METADATA:
        path = folder
    if path.is_dir():
        files = _of_directory(path, metadata, losses)
    else:
        files = [path]
    return BagFiles(path, files, metadata, losses)


def is_bag(path) -> bool:
    """Return whether a path looks like a bag of ROS 2 or ROS 1."""
    path = Path(path)
    if path.is_dir():
        return (path / METADATA).is_file() or bool(_storage_files(path))
    return path.name == METADATA or _is_storage(path) or path.suffix == '.bag'


def _there(folder):
    return listing(folder) if folder.is_dir() else 'nothing'


def _is_storage(path) -> bool:
    return (path.stem if path.suffix == PACKED else path.name).endswith(STORAGES)


def _storage_files(folder) -> list[Path]:
    files = [file for file in folder.iterdir() if file.is_file() and _is_storage(file)]
    whole = {file for file in files if file.suffix != PACKED}
    files = [file for file in files if file in whole or file.with_suffix('') not in whole]
    return sorted(files, key=_number)


def _number(path):
    """Return what sorts bag_2.mcap before bag_10.mcap."""
    return [int(piece) if piece.isdecimal() else piece for piece in re.split(r'(\d+)', path.name)]


def _metadata(path, losses) -> dict:
    """Return what metadata.yaml says, {} for none; a damaged one is a loss."""
    if not path.is_file():
        return {}
    import yaml
    try:
        content = loaded_yaml(path.read_text(encoding='utf-8'))
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        losses.append(_UNUSABLE.format(path, _first_line(error)))
        return {}
    information = content.get(INFORMATION) if isinstance(content, dict) else None
    if not isinstance(information, dict):
        losses.append(_UNUSABLE.format(path, f'it is {_shown(content)}, expected '
                                       f'{INFORMATION} with what the bag holds'))
        return {}
    return _of_expected_types(path, information, losses)


def _of_expected_types(path, information, losses) -> dict:
    """Return what is of the type that it should be of; the rest is a loss."""
    found = {str(name): value for name, value in information.items() if value is not None}
    for name, (kind, words) in _LISTS.items():
        value = found.get(name, [])
        if not (isinstance(value, list) and all(isinstance(item, kind) for item in value)):
            losses.append(f'{path}: {name} is {_shown(value)}, expected a list of {words}: the '
                          'bag is read without it')
            del found[name]
    return found


def _shown(value) -> str:
    """Return the beginning of what stands in a YAML text."""
    text = 'empty' if value is None else repr(value)
    return text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'


def loaded_yaml(text: str):
    """Return what a YAML text holds, by the faster one of the two loaders where it is there."""
    import yaml
    return yaml.load(text, getattr(yaml, 'CSafeLoader', yaml.SafeLoader))


def _first_line(error) -> str:
    return (str(error).splitlines() or [''])[0] or type(error).__name__


def _of_directory(folder, metadata, losses) -> list[Path]:
    told = metadata.get('relative_file_paths', [])
    lying = _storage_files(folder)
    named = [_beside(folder, name) for name in told]
    found = _once(folder, [file for file in named if file is not None], losses)
    missing = [name for name, file in zip(told, named) if file is None]
    if missing and not found and lying:
        losses.append(f'{folder / METADATA} names {_some(missing)}, which is not there: read was '
                      f'{_some([file.name for file in lying])}')
    elif missing:
        losses.append(f'{folder / METADATA} names {len(told)} files, {len(missing)} of them are '
                      f'not there: {_some(missing)}')
    files = found or _one_bag(folder, lying)
    if not files and missing:
        raise ConfigError(f'{folder / METADATA} names {_some(missing)}, of which nothing is '
                          f'there: {folder} holds {_there(folder)}. Copy the files beside it'
                          + _recordings_below(folder))
    if not files:
        raise ConfigError(f'{folder} is no bag: it holds {_there(folder)}, expected *.mcap or '
                          '*.db3' + _recordings_below(folder))
    return files


def _one_bag(folder, files) -> list[Path]:
    """Return files that are parts of one bag; raise ConfigError for several bags."""
    names = {re.sub(r'_\d+$', '', file.name.partition('.')[0]) for file in files}
    if len(names) > 1:
        raise ConfigError(f'{folder} has no {METADATA} and holds several bags: '
                          f'{_some([file.name for file in files])}: name one of the files')
    return files


def _recordings_below(folder) -> str:
    return told_below(folder, {
        'bag': is_bag, 'LeRobot data set': lambda path: (path / INFO).is_file()})


def _once(folder, files, losses) -> list[Path]:
    """Return files without those that were named before, packed or not; tell of them."""
    kept = {}
    for file in files:
        kept.setdefault(str(file).removesuffix(PACKED), file)
    again = len(files) - len(kept)
    if again:
        losses.append(f'{folder / METADATA} names {len(files)} files, of which {again} '
                      f'{"are" if again > 1 else "is"} named before: each is read once')
    return list(kept.values())


def _beside(folder, name) -> Path | None:
    """Return the file of a name, in its folder or beside, packed or not; None for none."""
    path = Path(name)
    is_below = not path.is_absolute() and '..' not in path.parts
    for place in ([name] if is_below else []) + [path.name]:
        for each in (place, f'{place}{PACKED}', place.removesuffix(PACKED)):
            with suppress(OSError, ValueError):  # no name that a file can have
                if each and (folder / each).is_file():
                    return folder / each
    return None


def _some(names) -> str:
    more = f' and {len(names) - 3} more' if len(names) > 3 else ''
    return ', '.join(names[:3]) + more


def unpacked_file(path: Path, folder: Path, losses: list[str]) -> Path:
    """
    Return a file that was compressed as a whole, unpacked into a folder.

    Of one that was cut off it returns as much as can be unpacked.  Raises ConfigError where there
    is no room.
    """
    zstd, target = zstd_module(), Path(tempfile.mkdtemp(dir=folder)) / path.stem
    total = path.stat().st_size
    with (Progress(f'unpacking {path.name}', total, 'B', scaled=True) as progress,
          path.open('rb') as packed, target.open('wb') as out):
        try:
            unpack = zstd.ZstdDecompressor()
            while piece := packed.read(_PIECE):
                progress.advance(len(piece))
                out.write(unpack.decompress(piece))
                if unpack.eof:
                    break
            if not unpack.eof:
                losses.append(f'{path.name}: it was cut off after {total} bytes, which unpack to '
                              f'{out.tell()}')
        except (zstd.ZstdError, EOFError) as error:
            losses.append(f'{path.name}: it is damaged near byte {packed.tell()} of {total} '
                          f'({error}); {out.tell()} unpacked bytes before it were read')
        except OSError as error:
            raise ConfigError(
                f'{path} cannot be unpacked to {folder}: {error.strerror} ({free_bytes(folder)} '
                'bytes are free): set TMPDIR to a place with more room') from error
    return target


def temporary_folder() -> tempfile.TemporaryDirectory:
    """Return a folder that goes with whoever holds it."""
    return tempfile.TemporaryDirectory(prefix='sqap_vla_bag_')
