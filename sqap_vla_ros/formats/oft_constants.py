# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What no file of an OpenVLA-OFT says: rows of a chunk, images, and what -1 and 1 stand for.

Its trainer takes them from the name of the data's platform in its command line, so they are taken
from the name of the data set here, or else from the sizes of action and state, which are
different for all three platforms.  deployment.json overrides both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
import re

from .checkpoint import CheckpointConfig
from .oft_options import OFTOptions
from ..control.states import STATES, undeclared
from ..errors import CheckpointError

EXAMPLE = '{"oft": {"chunk_length": 8, "images": 2, "normalization": "q01_q99"}}'
SAID = 'as deployment.json says'
COUNTED = 'as many as deployment.json names cameras'
BOUNDS_TEXT = {'q01_q99': 'q01 .. q99', 'min_max': 'min .. max'}


@dataclass(frozen=True)
class Platform:
    """What the trainer assumes for the robots and data of one name; film: what is usual."""

    name: str
    chunk_length: int
    action_dim: int
    state_dim: int
    normalization: str
    images: int
    film: bool = False

    def fits(self, action_dim: int | None, state_dim: int) -> bool:
        """Whether tensors of these widths can be of it; 0 and None: there are none."""
        return action_dim in (None, self.action_dim) and state_dim in (0, self.state_dim)

    @property
    def sizes(self) -> str:
        """Return its widths in words."""
        return f'actions of {self.action_dim} and a state of {self.state_dim}'


PLATFORMS = (
    Platform('libero', 8, 7, 8, 'q01_q99', 2), Platform('aloha', 25, 14, 14, 'min_max', 3, True),
    Platform('bridge', 5, 7, 7, 'q01_q99', 1))


@dataclass(frozen=True)
class Constants:
    """
    What was chosen, and where each comes from, by its name.

    platform: whose data it was trained on by its name, None where that does not tell.  guess: the
    only one that the sizes fit where no name tells.  guessed: what was taken from that one.  told:
    how it is known, or why it is not.
    """

    chunk_length: int
    images: int
    normalization: str
    platform: Platform | None
    guess: Platform | None
    guessed: tuple[str, ...]
    told: str
    origins: dict[str, str]

    @property
    def usual(self) -> Platform | None:
        """Return what it was probably trained on, None if nothing tells."""
        return self.platform or self.guess


def choose(options: OFTOptions, keys: Iterable[str], cameras: int, action_dim: int | None,
           state_dim: int, source: str) -> Constants:
    """
    Return what the user said and, where nothing was said, what is usual for the platform.

    keys: the data sets that may be meant.  cameras: how many deployment.json names.  The widths
    are those of the tensors, None and 0 where there are none.  Raises CheckpointError, asking
    for it, where something stays unknown, or where the cameras are of another number than usual.
    """
    said = {'chunk_length': options.chunk_length, 'images': options.images or cameras or None,
            'normalization': options.normalization}
    named, by_sizes, told = _platforms(tuple(keys), action_dim, state_dim)
    platform = named or by_sizes
    missing = tuple(name for name, value in said.items() if value is None)
    if missing and platform is None:
        raise CheckpointError(
            f'{source}: {told}, so {", ".join(missing)} cannot be told, which no file of an '
            f'OpenVLA-OFT says: write them into deployment.json, such as {EXAMPLE}')
    if not options.images:
        _check_cameras(cameras, platform, told, source)
    found = {name: getattr(platform, name) if value is None else value
             for name, value in said.items()}
    origins = {name: _usual(platform, told) if name in missing
               else COUNTED if name == 'images' and not options.images else SAID for name in said}
    return Constants(**found, platform=named, guess=by_sizes, told=told,
                     guessed=() if named else missing, origins=origins)


def _usual(platform: Platform, told: str) -> str:
    """Return where something came from that is usual for a platform."""
    return f'as is usual for {platform.name}, by {told}'


def _check_cameras(cameras: int, platform: Platform | None, told: str, source: str) -> None:
    """Raise CheckpointError where the number of cameras alone would change the network."""
    if cameras and platform is not None and cameras != platform.images:
        raise CheckpointError(
            f'{source}: deployment.json names {cameras} camera{"s" if cameras > 1 else ""}, and '
            f'a network of {platform.name} takes {platform.images} images ({told}): name '
            f'{platform.images}, in its order, or, if it was trained on {cameras}, say so too: '
            f'"oft": {{"images": {cameras}}}')


def origin_notes(config: CheckpointConfig) -> tuple[str, ...]:
    """Return what no file of a checkpoint says, and where it was taken from."""
    head, images = config.model.head, config.model.images
    texts = {'chunk_length': f'chunks of {head.chunk_length} actions',
             'images': f'{images} image{"s" if images > 1 else ""}',
             'normalization': f'-1 .. 1 standing for {BOUNDS_TEXT[config.normalization]}',
             'cameras': f'cameras called {" ".join(config.cameras)}',
             'state': f'a state of {" ".join(config.state_names)}'}
    advice = '' if config.conversion else ' (deployment.json can say otherwise)'
    return tuple(
        f'{", ".join(texts[name] for name in texts if config.origins.get(name) == origin)}: '
        f'{origin}{"" if origin in (SAID, COUNTED) else advice}'
        for origin in dict.fromkeys(config.origins.values()))


def name_origins(constants: Constants, told: bool, has_cameras: bool,
                 has_state: bool) -> dict[str, str]:
    """
    Return where the names of cameras and of the state's values come from, where nobody said them.

    told, has_cameras, has_state: whether deployment.json names cameras; whether each has names.
    """
    cameras = constants.origins['images']
    if cameras in (SAID, COUNTED):
        cameras = f'as is usual for {constants.images} images'
    origins = {} if told or not has_cameras else {'cameras': cameras}
    if has_state:
        origins['state'] = _usual(constants.platform, constants.told)
    return origins


def _platforms(keys: tuple[str, ...], action_dim: int | None,
               state_dim: int) -> tuple[Platform | None, Platform | None, str]:
    """
    Return the platform by name and that by sizes, and how it was told or why it was not.

    Several data sets name one where each of them does.
    """
    words = [set(re.split('[^a-z]+', key.lower())) for key in keys]
    named = [platform for platform in PLATFORMS
             if words and all(platform.name in found for found in words)]
    fitting = [platform for platform in named or PLATFORMS
               if platform.fits(action_dim, state_dim)]
    names = f'the data set{"s" if len(keys) > 1 else ""} {", ".join(keys)}'
    sizes = f'actions of {action_dim} values and a state of {state_dim}'
    if len(fitting) == 1 and named:
        return fitting[0], None, f'the name of {names}'
    if len(fitting) == 1:
        return None, fitting[0], f'{sizes} values, which fits no other of the known platforms'
    if named and not fitting:
        return None, None, (f'{names} is named for {named[0].name}, which has {named[0].sizes} '
                            f'values, and the heads are for {sizes}')
    known = ', '.join(platform.name for platform in PLATFORMS)
    return None, None, (f'the name of {names} does not tell one of {known}, and the heads are for '
                        f'{sizes}')


def state_names(platform: Platform | None, given: tuple[str, ...], width: int,
                source: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """
    Return what the values of a state of a width are, and notes.

    given: what deployment.json says, which source is the path of; it counts.  Raises
    CheckpointError for another number of names.
    """
    if given and len(given) != width:
        raise CheckpointError(
            f'{source}: state names {len(given)} values, {list(given)}, and '
            + (f'proprio_projector--*.pt takes {width}' if width else
               'the checkpoint takes none: it has no proprio_projector--*.pt'))
    if not width:
        return (), ('its answers depend on no state: there is no proprio_projector--*.pt',)
    known = given or (STATES.get(platform.name, ()) if platform else ())
    if len(known) == width:
        return known, ()
    return undeclared(width), (
        f'nobody declared what the {width} values of its state are: to drive a robot, write their '
        f'names, in order, as "state" into {source}',)
