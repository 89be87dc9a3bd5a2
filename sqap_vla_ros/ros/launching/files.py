# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Files that launch arguments name: one's own by its path, or one that is shipped by its name."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.support.resources import share_directory

# what goes on top of a robot's file, or is for another node
ON_TOP = ('servo', 'gazebo', 'isaac')
NO_ROBOTS = (*ON_TOP, 'gz_bridge')


def shipped() -> dict[str, Path]:
    """Return the configurations that are shipped, by name."""
    return {path.stem: path for path in sorted((share_directory() / 'config').glob('*.yaml'))}


def robots() -> dict[str, Path]:
    """Return the shipped configurations that are a robot's."""
    return {name: path for name, path in shipped().items() if name not in NO_ROBOTS}


def robot_file(text: str) -> Path:
    """
    Return the parameter file that config:= names; raises ConfigError, with the nearest, for none.

    A file of one's own goes before a shipped one, whose name has no suffix.
    """
    others = {name: path for name, path in shipped().items() if name in NO_ROBOTS}
    if not text:
        raise ConfigError('no robot is right by default: give config:=my_arm.yaml, or one of '
                          f'{", ".join(robots())}; copy example_arm.yaml for your own')
    own = Path(text)
    if not own.is_file() and text in robots():
        return robots()[text]
    if text in others and not own.is_file() or own.is_file() and any(
            own.samefile(path) for path in others.values()):
        raise ConfigError(f"config:={text} is no robot's file: {_purpose(own.stem)}")
    return existing_file('config', text, robots(), 'copy example_arm.yaml for your own')


def parameter_file(option: str, text: str) -> Path:
    """Return the file that an option names: a robot's, or what goes on top; see robot_file."""
    names = {name: path for name, path in shipped().items() if name != 'gz_bridge'}
    if not Path(text).is_file() and text in names:
        return names[text]
    return existing_file(option, text, names)


def _purpose(name: str) -> str:
    """Return what a file is for that is not a robot's."""
    return {'servo': 'it goes on top of one, as config:=my_arm.yaml servo:=true',
            'gz_bridge': 'it is for ros_gz_bridge, as bridge:= of gazebo.launch.py'}.get(
                name, f'{name}.launch.py lays it on top of one, as config:=my_arm.yaml')


def existing_file(argument: str, text: str, names: Iterable[str] = (), hint: str = '') -> Path:
    """
    Return the path of a file; raises ConfigError, with the nearest names, where there is none.

    names: that the argument takes, too, as the message says.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return path
    what = 'is empty' if not text else 'is a directory' if path.is_dir() else 'is no file'
    known = f' It takes a file, or one of {", ".join(names)}' if names else ''
    given = f'{argument} {text}' if argument.startswith('--') else f'{argument}:={text}'
    raise ConfigError(f'{given} {what}{_nearest(path, names)}{known}'
                      + (f'; {hint}' if hint else ''))


def world_of(text: str) -> str:
    """
    Return the world that Gazebo is started with: a file's path, or a name that Gazebo finds.

    Raises ConfigError for a path that is none, and for a name so near to that of a file here that
    it is a misspelt one.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return str(path)
    beside = [item.name for item in Path.cwd().glob('*.sdf')] if '/' not in text else ()
    if '/' in text or get_close_matches(text, beside, 1, 0.7):
        existing_file('world', text, hint="for a world of Gazebo's own beside it, give its path")
    return text


def checkpoint_directory(config) -> Path:
    """Return the checkpoint of a NodeConfig; raises CheckpointError or ConfigError for none."""
    path = config.checkpoint_directory
    is_of_run = path.suffix == '.pt' and (path.parent.parent / 'config.json').is_file()
    if path.is_dir() or path.is_file() and is_of_run:
        return path
    what = ('is a file, expected the directory of a checkpoint, or a .pt file in checkpoints/ of '
            'its run directory, which has a config.json' if path.exists() else 'is not there')
    raise CheckpointError(f'checkpoint {path} {what}{_nearest(path)} It takes a directory, a .pt '
                          'file of a run, or the name of a bundled model')


def _nearest(path: Path, names: Iterable[str] = ()) -> str:
    """Return the end of a sentence: a question for the name that was meant, if one is near."""
    names, folder = list(names), path.parent
    while not folder.is_dir():
        folder = folder.parent
    beside = [item.name for item in folder.iterdir()
              if item != path] if folder == path.parent else []
    shipped_near = get_close_matches(path.stem, names, 1, 0.5)
    near = get_close_matches(path.name, beside, 1, 0.7)
    if near:
        return f': did you mean {folder / near[0]}?'
    if shipped_near:
        return f': did you mean {shipped_near[0]}?'
    return '.' if folder == path.parent else f': there is no directory {path.parent}.'
