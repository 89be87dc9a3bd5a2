# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Small LeRobot data sets of versions 2.0, 2.1 and 3.0: real Parquet files, real videos."""
from __future__ import annotations

from dataclasses import dataclass
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
import pytest

av = pytest.importorskip('av', reason='needs PyAV: pip install -e .[bags]')
pa = pytest.importorskip('pyarrow', reason='needs pyarrow: pip install -e .[bags]')
parquet = pytest.importorskip('pyarrow.parquet')

HEIGHT, WIDTH, BITS = 64, 128, 8
JOINTS = ('shoulder.pos', 'elbow.pos', 'gripper.pos')
TASKS = ('lift the cube', 'open the drawer')
V2_DATA = 'data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet'
V2_VIDEO = 'videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4'
V3_DATA = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
V3_VIDEO = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'


@dataclass(frozen=True)
class Made:
    """
    What to make.

    lengths: frames of each episode.  codec: of PyAV.  begin_s: the first timestamp of episodes.
    stored: 'video', or images in the Parquet files as 'bytes' or 'path'.  names: of the
    features' columns, as info.json has them.  together: v3: all episodes in one file.
    """

    version: str = 'v2.1'
    lengths: tuple[int, ...] = (6, 9)
    cameras: tuple[str, ...] = ('observation.images.front',)
    fps: int = 10
    codec: str = 'libx264'
    begin_s: float = 0.0
    stored: str = 'video'
    names: object = JOINTS
    together: bool = True

    @property
    def is_v3(self) -> bool:
        """Whether it is of version 3."""
        return self.version.startswith('v3')


def number(episode: int, frame: int, camera: int = 0) -> int:
    """Return what is drawn in a frame: another number in each."""
    return (episode * 16 + frame + 64 * camera) % 2**BITS


def drawn(value: int) -> np.ndarray:
    """Return an image [H, W, 3] with a number's bits as white and black bars."""
    bars = [255 * (value >> bit & 1) for bit in range(BITS)]
    row = np.repeat(np.array(bars, np.uint8), WIDTH // BITS)
    return np.broadcast_to(row[None, :, None], (HEIGHT, WIDTH, 3)).copy()


def read_number(image: np.ndarray) -> int:
    """Return the number that is drawn in an image."""
    middle = image[HEIGHT // 2, WIDTH // BITS // 2::WIDTH // BITS].mean(axis=-1)
    return sum(1 << bit for bit, value in enumerate(middle) if value > 127)


def state(episode: int, frame: int) -> list[float]:
    """Return the state of a row, in degrees and percent."""
    return [float(10 * episode + frame), float(-frame), 50.0]


def made_data_set(root: Path, made: Made = Made()) -> Path:
    """Write a data set and return its directory."""
    (root / 'meta').mkdir(parents=True)
    (root / 'meta/info.json').write_text(json.dumps(info(made)))
    _tables(root, made)
    index, rows = 0, []
    for episode, length in enumerate(made.lengths):
        rows.append(_rows(root, made, episode, length, index))
        index += length
    for path, table in _files(root, made, rows):
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, path, row_group_size=5)
    if made.stored == 'video':
        for camera, name in enumerate(made.cameras):
            _videos(root, made, camera, name)
    return root


def info(made: Made) -> dict:
    """Return what stands in info.json."""
    picture = {'dtype': 'video' if made.stored == 'video' else 'image',
               'shape': [HEIGHT, WIDTH, 3], 'names': ['height', 'width', 'channels'],
               'info': {'video.is_depth_map': False}}
    numbers = {'dtype': 'float32', 'shape': [len(JOINTS)], 'names': made.names}
    single = {name: {'dtype': 'int64', 'shape': [1], 'names': None}
              for name in ('frame_index', 'episode_index', 'index', 'task_index')}
    return {'codebase_version': made.version, 'robot_type': 'so101', 'fps': made.fps,
            'total_episodes': len(made.lengths), 'total_frames': sum(made.lengths),
            'chunks_size': 1000, 'data_path': V3_DATA if made.is_v3 else V2_DATA,
            'video_path': V3_VIDEO if made.is_v3 else V2_VIDEO,
            'features': {**dict.fromkeys(made.cameras, picture), 'observation.state': numbers,
                         'action': numbers, **single,
                         'timestamp': {'dtype': 'float32', 'shape': [1], 'names': None}}}


def _tables(root, made):
    """Write tasks and episodes."""
    tasks = [{'task_index': at, 'task': text} for at, text in enumerate(TASKS)]
    episodes, start = [], 0
    for at, length in enumerate(made.lengths):
        row = {'episode_index': at, 'tasks': [TASKS[at % 2]], 'length': length}
        if made.is_v3:
            file = 0 if made.together else at
            row.update({'data/chunk_index': 0, 'data/file_index': file,
                        'stats/action/min': [0.0]})
            for name in made.cameras if made.stored == 'video' else ():
                begin_s = start / made.fps if made.together else 0.0
                row.update({f'videos/{name}/chunk_index': 0, f'videos/{name}/file_index': file,
                            f'videos/{name}/from_timestamp': begin_s,
                            f'videos/{name}/to_timestamp': begin_s + length / made.fps})
        episodes.append(row)
        start += length
    if not made.is_v3:
        for name, rows in (('tasks', tasks), ('episodes', episodes)):
            (root / f'meta/{name}.jsonl').write_text(
                ''.join(json.dumps(row) + '\n' for row in rows))
        return
    path = root / 'meta/episodes/chunk-000/file-000.parquet'
    path.parent.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(episodes), path)
    parquet.write_table(pa.table({  # as pandas writes its index
        'task_index': [0, 1], '__index_level_0__': list(TASKS)}), root / 'meta/tasks.parquet')


def _rows(root, made, episode, length, index):
    frames = range(length)
    columns = {
        'observation.state': pa.array([state(episode, at) for at in frames],
                                      pa.list_(pa.float32())),
        'action': pa.array([[value + 1 for value in state(episode, at)] for at in frames],
                           pa.list_(pa.float32(), len(JOINTS))),
        'timestamp': pa.array([made.begin_s + at / made.fps for at in frames], pa.float32()),
        'frame_index': list(frames), 'episode_index': [episode] * length,
        'index': [index + at for at in frames], 'task_index': [episode % 2] * length}
    for camera, name in enumerate(made.cameras if made.stored != 'video' else ()):
        columns[name] = [_stored(root, made, name, episode, at, camera) for at in frames]
    return pa.table(columns)


def _stored(root, made, name, episode, frame, camera):
    """Return an image as a Parquet file has it."""
    buffer = io.BytesIO()
    Image.fromarray(drawn(number(episode, frame, camera))).save(buffer, 'PNG')
    path = f'images/{name}/episode_{episode:06d}/frame_{frame:06d}.png'
    if made.stored == 'bytes':
        return {'bytes': buffer.getvalue(), 'path': path}
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(buffer.getvalue())
    return {'bytes': None, 'path': path}


def _files(root, made, rows):
    if made.is_v3 and made.together:
        yield root / V3_DATA.format(chunk_index=0, file_index=0), pa.concat_tables(rows)
        return
    for at, table in enumerate(rows):
        yield root / (V3_DATA if made.is_v3 else V2_DATA).format(
            chunk_index=0, file_index=at, episode_chunk=0, episode_index=at), table


def _videos(root, made, camera, name):
    numbers = [[number(at, frame, camera) for frame in range(length)]
               for at, length in enumerate(made.lengths)]
    if made.is_v3 and made.together:
        numbers = [sum(numbers, [])]
    for at, values in enumerate(numbers):
        path = root / (V3_VIDEO if made.is_v3 else V2_VIDEO).format(
            video_key=name, chunk_index=0, file_index=at, episode_chunk=0, episode_index=at)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, values, made.fps, made.codec)


def write_video(path: Path, numbers, fps: int, codec: str = 'libx264') -> None:
    """Write a video of drawn numbers, its index first, with a key frame every fourth."""
    quiet = {'libx265': {'x265-params': 'log-level=none'}, 'libx264': {'bf': '2'}}
    with av.open(str(path), 'w', options={'movflags': 'faststart'}) as container:
        stream = container.add_stream(codec, rate=fps, options={
            'g': '4', 'crf': '20', **quiet.get(codec, {})})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
        for value in numbers:
            frame = av.VideoFrame.from_ndarray(drawn(value), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
