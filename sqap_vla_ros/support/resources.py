# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where the files beside the code are: models, robot configurations and launch files.

They lie at the repository root for a source tree (also an editable or symlink install), and
in `<prefix>/share/sqap_vla_ros` once colcon has installed them.
"""
import os
from pathlib import Path

from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.support.validation import nearest

PACKAGE = 'sqap_vla_ros'


def share_directory() -> Path:
    """
    Return the directory that holds models/, config/ and launch/.

    Raises ConfigError where neither a source tree nor a colcon install surrounds the code.
    """
    package_directory = Path(__file__).resolve().parents[1]
    source_tree = package_directory.parent
    if (source_tree / 'package.xml').is_file():
        return source_tree
    for prefix in package_directory.parents:
        share = prefix / 'share' / PACKAGE
        if (share / 'package.xml').is_file():
            return share
    raise ConfigError(
        f'{package_directory} belongs to no source tree and no colcon install of {PACKAGE}, so '
        'its models, configurations and launch files are not here: name such a file by its own '
        'path, or install from a clone (pip install -e . or colcon build)')


def model_directory(name: str = 'libero_goal') -> Path:
    """
    Return the checkpoint directory of a bundled model.

    Raises CheckpointError, naming the models that are there, for an unknown name.
    """
    models = share_directory() / 'models'
    if (models / name / 'config.json').is_file():
        return models / name
    known = bundled_models()
    raise CheckpointError(f'no bundled model {name!r} in {models}{nearest(name, known)}; there: '
                          f'{", ".join(known) or "none"}')


def bundled_models() -> list[str]:
    """Return the names of the models that lie beside the code, none where there are none."""
    try:
        found = (share_directory() / 'models').glob('*/config.json')
    except ConfigError:
        return []
    return sorted(path.parent.name for path in found)


def checkpoint_path(text: str) -> Path:
    """
    Return the path that a text names: a bundled model where nothing else has its name.

    A ~ before it is the home directory.  Raises CheckpointError for what cannot be looked at.
    """
    path = Path(os.path.expanduser(text))
    is_model = not is_there(path) and str(path) in bundled_models()
    return model_directory(str(path)) if is_model else path


def is_there(path: Path) -> bool:
    """Return whether a path exists; raise CheckpointError where that cannot be known."""
    try:
        return path.exists()
    except OSError as error:
        shown = str(path) if len(str(path)) < 100 else f'{str(path)[:100]}...'
        raise CheckpointError(f'{shown} cannot be looked at ({error.strerror}): name a directory '
                              'that can be read') from error


def named_checkpoint(text: str) -> Path:
    """
    Return the path that a text names, as checkpoint_path does.

    Raises CheckpointError, with the nearest model, for one word that names nothing.
    """
    path = checkpoint_path(text)
    return path if is_there(path) or len(path.parts) > 1 else model_directory(text)


def config_file(name: str) -> Path:
    """
    Return the path of a file in config/, e.g. 'fastdds.xml'.

    Raises ConfigError, naming the files that are there, for an unknown name.
    """
    return _file('config', name)


def _file(directory: str, name: str) -> Path:
    folder = share_directory() / directory
    if (folder / name).is_file():
        return folder / name
    known = sorted(path.name for path in folder.glob('*') if path.is_file())
    raise ConfigError(f'no file {name!r} in {folder}{nearest(name, known)}; there: '
                      f'{", ".join(known) or "none"}')
