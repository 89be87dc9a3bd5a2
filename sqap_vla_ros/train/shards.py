# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Demonstrations on disk: shards of a few episodes, frames compressed, actions of every step.

A shard is one .npz (never pickled) with, for F frames, S control steps and E episodes:
    jpeg uint8 [bytes], jpeg_offsets int64 [F + 1]   the frames at the network's input size
    state float32 [F, 8]                             as observation.end_effector_state builds it
    points_px float32 [F, P, 2], points_xyz float32 [F, P, 3]
                                 pixels of the frame, metres in base; POINT_NAMES come first
    frame_step int32 [F], frame_episode int32 [F]    control step and row of the episode
    actions float32 [S, 7]       the expert's clean action at every step: twist (SI), gripper 0..1
    action_offsets int64 [E + 1], instruction int32 [E], seed int64 [E]
    instructions str [I], point_names str [P], failed_seeds int64 [...]
and, where a policy acted in turn with the expert (`collect --policy`):
    acted uint8 [S]              who acted at every step: 0 the expert, 1 the policy
    chunks float32 [F, T, 7]     what the expert would do from each frame on
    solved bool [E]              whether the episode came to success
"""
import hashlib
import io
from pathlib import Path
import struct
import tokenize
import zipfile
import zlib

import numpy as np

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.observation import end_effector_state
from sqap_vla_ros.support.files import nearest_path, write_whole

POINT_NAMES = ('object', 'place', 'end_effector')
_PER_FRAME = ('state', 'points_px', 'points_xyz', 'frame_step')
_KINDS = {'jpeg': 'u', 'jpeg_offsets': 'i', 'state': 'f', 'points_px': 'f', 'points_xyz': 'f',
          'frame_step': 'i', 'frame_episode': 'i', 'actions': 'f', 'action_offsets': 'i',
          'instruction': 'i', 'seed': 'i', 'failed_seeds': 'i', 'instructions': 'U',
          'point_names': 'U'}
_FURTHER_KINDS = {'acted': 'u', 'chunks': 'f', 'solved': 'b'}  # not in every shard
# what NumPy and zipfile raise for a file with flipped or missing bytes
_DAMAGES = (OSError, EOFError, KeyError, ValueError, TypeError, IndexError, OverflowError,
            MemoryError, SyntaxError, RuntimeError, tokenize.TokenError, struct.error, zlib.error,
            zipfile.BadZipFile)


def write_shard(path, arrays):
    """Write a shard so that it is there whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_whole(path, buffer.getvalue())


def read_shard(path):
    """Return a shard's arrays; raise ValueError, with what is wrong, for one that is damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            shard = dict(archive)
        _check_shard(shard)
    except _DAMAGES as error:
        raise ValueError(f'{type(error).__name__}: {error}') from error
    return shard


def episodes_in(path):
    """Return how many episodes a shard tried, failed ones too; 0 if it cannot be read."""
    try:
        shard = read_shard(path)
    except ValueError:
        return 0
    return len(shard['seed']) + len(shard['failed_seeds'])


class Demonstrations:
    """
    All frames of some shards, decoded when asked for.

    state float32 [F, 8]; points_px [F, P, 2]; points_xyz [F, P, 3]; frame_step int32 [F];
    instruction int32 [F] (index into instructions), seed int64 [F] of the frame's episode;
    point_names: what the P points are; skipped: the shards that could not be read, and why;
    source int32 [F]: the folder that a frame is of.  The shards may hold different instructions.
    """

    def __init__(self, shards, skipped=(), sources=None):
        self.skipped = tuple(skipped)
        self.instructions = tuple(dict.fromkeys(
            text for shard in shards for text in shard['instructions'].tolist()))
        self.point_names = tuple(shards[0]['point_names'].tolist())
        for name in _PER_FRAME:
            setattr(self, name, np.concatenate([shard[name] for shard in shards]))
        self.state = np.array(  # whatever sign the quaternions were written with
            [end_effector_state(row[:3], row[3:7], row[7]) for row in self.state])
        self.instruction = np.concatenate([self._instruction(shard) for shard in shards])
        self.source = np.repeat(np.array(sources or [0] * len(shards), np.int32),
                                [len(shard['state']) for shard in shards])
        self.seed = np.concatenate([shard['seed'][shard['frame_episode']] for shard in shards])
        self.episodes = sum(len(shard['seed']) for shard in shards)
        self._actions = np.concatenate([_plans(shard)[0] for shard in shards])
        self._frames = [shard['jpeg'][start:end] for shard in shards for start, end in
                        zip(shard['jpeg_offsets'][:-1], shard['jpeg_offsets'][1:])]
        self._rows = self._action_rows(shards)

    def _instruction(self, shard):
        """Return int32 [F]: a shard's instructions, as indices into those of all."""
        numbers = np.array([self.instructions.index(text)
                            for text in shard['instructions'].tolist()], np.int32)
        return numbers[shard['instruction'][shard['frame_episode']]]

    def _action_rows(self, shards):
        """Return int64 [F, 2]: each frame's row in the actions, and the last one of its plan."""
        rows, base = [], 0
        for shard in shards:
            actions, first, last = _plans(shard)
            rows.append(base + np.column_stack([first, last]))
            base += len(actions)
        return np.concatenate(rows)

    def __len__(self):
        return len(self._frames)

    def frame(self, index):
        """Return one frame, uint8 [h, w, 3] RGB."""
        import cv2
        return cv2.imdecode(self._frames[index], cv2.IMREAD_COLOR_RGB)

    def chunks(self, indices, horizon=8):
        """Return float32 [n, horizon, 7]: actions from each frame on; the last is repeated."""
        rows = self._rows[np.asarray(indices)]
        steps = np.minimum(rows[:, :1] + np.arange(horizon), rows[:, 1:])
        return self._actions[steps]


def _plans(shard):
    """Return actions [n, 7], and int64 [F] the first and last of them that follow a frame."""
    if 'chunks' in shard:
        frames, rows = shard['chunks'].shape[:2]
        first = rows * np.arange(frames)
        return shard['chunks'].reshape(-1, 7), first, first + rows - 1
    start, end = shard['action_offsets'][:-1], shard['action_offsets'][1:]
    episode = shard['frame_episode']
    return shard['actions'], start[episode] + shard['frame_step'], end[episode] - 1


def load_shards(*directories):
    """
    Return the Demonstrations of all readable shards of some folders.

    Raises ConfigError for a folder without any, or with unlike ones; folders may differ in their
    instructions, but not in their points.
    """
    shards, skipped, sources = [], [], []
    for number, directory in enumerate(directories):
        found, unreadable = _read_folder(directory)
        _check_points(directory, found[0], (shards or found)[0])
        shards += found
        skipped += unreadable
        sources += [number] * len(found)
    return Demonstrations(shards, skipped, sources)


def _read_folder(directory):
    """Return a folder's shards, and (name, why) of those that cannot be read; else ConfigError."""
    shards, skipped = [], []
    if not Path(directory).is_dir():
        raise ConfigError(f'no directory {directory}{nearest_path(directory)}: collect '
                          'demonstrations first with `sqap-vla collect`')
    for path in sorted(Path(directory).glob('*.npz')):
        try:
            shard = read_shard(path)
        except ValueError as error:
            skipped.append((path.name, str(error)))
        else:
            shards.append(shard)
            _check_alike(path, shard, shards[0])
    if not shards:
        found = ''.join(f'; {name}: {error}' for name, error in skipped[:1])
        raise ConfigError(f'no readable shard (*.npz) in {directory} ({len(skipped)} unreadable'
                          f'{found}): collect demonstrations first with `sqap-vla collect`')
    if not any(len(shard['state']) for shard in shards):
        raise ConfigError(f'no episode in {directory} succeeded, there is nothing to learn from: '
                          'collect more episodes')
    return shards, skipped


def folders_of(directories, weights=''):
    """
    Return a dict for each folder of demonstrations: its name, weight and digest of collect.json.

    weights: numbers with commas between, or empty.  An empty digest: no collect.json is there.
    """
    shares = weights.split(',') if weights else [''] * len(directories)
    return [{'name': Path(directory).resolve().name, 'weight': share.strip(),
             'digest': _options_digest(Path(directory))}
            for directory, share in zip(directories, shares)]


def _options_digest(directory):
    path = directory / 'collect.json'
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ''


def describe(data):
    """Return in text how much there is, and which shards had to be skipped."""
    lines = [f'{len(data)} frames of {data.episodes} episodes, {len(data.instructions)} '
             f'instructions; {len(data.skipped)} shards skipped']
    return '\n'.join(lines + [f'  skipped {name}: {error}' for name, error in data.skipped])


def differences(found: dict, wanted: dict) -> str:
    """Return which values differ between what was found and what is wanted; '' for none."""
    return '; '.join(f'{name} was {found.get(name)!r} and is {wanted.get(name)!r}'
                     for name in sorted(found.keys() | wanted.keys())
                     if found.get(name) != wanted.get(name))


def _check_points(directory, shard, first):
    """Raise ConfigError for a folder of other points than the first."""
    changed = differences(*({'point_names': each['point_names'].tolist()}
                            for each in (first, shard)))
    if changed:
        raise ConfigError(f'{directory} cannot be learned from together with the folder before '
                          f'it: {changed}. Train on folders of one scene')


def _check_alike(path, shard, first):
    changed = differences(*({name: each[name].tolist() for name in ('instructions', 'point_names')}
                            for each in (first, shard)))
    if changed:
        raise ConfigError(f'{path} holds other demonstrations than the shards before it: '
                          f'{changed}. Keep them in another folder')


def _check_shard(shard):
    """Raise ValueError for a shard that lacks something or holds what cannot be."""
    _check_arrays(shard)
    frames, episodes = len(shard['jpeg_offsets']) - 1, len(shard['seed'])
    if any(len(shard[name]) != frames for name in (*_PER_FRAME, 'frame_episode')):
        raise ValueError('the arrays of the shard differ in length')
    if len(shard['jpeg']) != shard['jpeg_offsets'][-1]:
        raise ValueError('the shard lacks frames')
    if len(shard['actions']) != shard['action_offsets'][-1]:
        raise ValueError('the shard lacks actions')
    for name, count in (('acted', len(shard['actions'])), ('chunks', frames),
                        ('solved', episodes)):
        if len(shard.get(name, range(count))) != count:
            raise ValueError(f'the shard lacks {name}')
    if not len(shard['instruction']) == len(shard['action_offsets']) - 1 == episodes:
        raise ValueError('the shard lacks episodes')
    for name, size in (('instruction', len(shard['instructions'])), ('frame_episode', episodes)):
        if not ((shard[name] >= 0) & (shard[name] < size)).all():
            raise ValueError(f'{name} is not within 0 .. {size - 1}')


def _check_arrays(shard):
    """Raise ValueError for an array that is not there, or of another type or shape."""
    for name, kind in _KINDS.items():
        if name not in shard:
            raise ValueError(f'it lacks {name}: collect it anew')
        if shard[name].dtype.kind != kind:
            raise ValueError(f'{name} is {shard[name].dtype}')
    for name, kind in _FURTHER_KINDS.items():
        if name in shard and shard[name].dtype.kind != kind:
            raise ValueError(f'{name} is {shard[name].dtype}')
    points = len(shard['point_names'])
    widths = {'state': (8,), 'points_px': (points, 2), 'points_xyz': (points, 3), 'actions': (7,)}
    if 'chunks' in shard:
        widths['chunks'] = (max(1, *shard['chunks'].shape[1:2]), 7)
    for name in shard.keys() & (_KINDS.keys() | _FURTHER_KINDS.keys()):
        if shard[name].shape[1:] != widths.get(name, ()):
            raise ValueError(f'{name} is {shard[name].shape}')
