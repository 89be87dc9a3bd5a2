# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a replay has found so far, in DIR/answers/: written as it is found, read when it is whole.

run.json says of what it is, so that answers of two checkpoints or options are never mixed; a lock
keeps out a second process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import json
from pathlib import Path
import shutil

import numpy as np

from .asking import Answered, Asked
from .looking import Look
from .results import Answers, Images
from .store import Table, Texts
from ..errors import ConfigError
from ..evaluate.plan import Row
from ..support.files import make_directory, saving_to, write_whole
from ..support.locks import Lock

FOLDER, RUN, LOCK = 'answers', 'run.json', 'answers.lock'
MOST_NAMED = 5  # of what differs


class Store:
    """
    The tables of a replay.

    images: the Table of what was looked at.  done: how many images there are in all, None until
    they have all been looked at; finished: precisions of which all is answered; looking: what
    `finish` was given.
    """

    def __init__(self, out: Path, decides: Mapping, frames: Sequence[str],
                 joint_names: tuple[str, ...], patches: int):
        """
        Begin, or go on.

        decides: all that decides the answers, JSON values.  frames: that are protected.  Raises
        ConfigError where the directory holds answers of other options, cannot be written, or is
        written to by another process.
        """
        self._folder, self._out = out / FOLDER, out
        self._frames, self._joint_names = tuple(frames), joint_names
        self._decides = json.loads(json.dumps(decides))
        self.done, self.finished, self.looking, self.rows = None, [], {}, {}
        self._tables: dict[tuple[str, str], Table] = {}
        make_directory(self._folder)
        self._lock = Lock(out / LOCK, f'writing the replay in {out}')
        try:
            self._open(len(joint_names), patches)
        except ConfigError:
            self._lock.release()
            raise

    def _open(self, joints: int, patches: int) -> None:
        self._begin()
        self.texts = Texts(self._folder / 'texts.jsonl', self.kept)
        self.images = Table(self._folder / 'images.bin', np.dtype([
            ('number', 'i8'), ('episode', 'i4'), ('begins', '?'), ('time_ns', 'i8'),
            ('stamp_ns', 'i8'), ('problem', 'i4'), ('warnings', 'i4'), ('instruction', 'i4'),
            ('pose', 'f8', (7,)), ('joints', 'f8', (joints,)),
            ('pixels', 'f8', (len(self._frames), 3)), ('size', 'i4', (2,)),
            ('observe_ms', 'f8'), ('covered', '?', (patches,))]), self.kept)

    @property
    def kept(self) -> str:
        """Return what to say of what is on the disk."""
        return f'what is answered by now is kept in {self._folder}'

    def table(self, asked: Asked) -> Table:
        """Return the table of a row."""
        facts = self.rows[asked.row.name, asked.row.control] = row_facts(asked)
        return self._table(facts)

    def _table(self, facts: Mapping) -> Table:
        key = facts['name'], facts['control']
        if key not in self._tables:
            record = np.dtype([(name, kind, tuple(shape)) for name, kind, shape
                               in facts['record']])
            self._tables[key] = Table(self._folder / f'{",".join(key)}.bin', record, self.kept)
        return self._tables[key]

    def add_image(self, look: Look, covered: np.ndarray, size: tuple[int, int]) -> None:
        """Keep a Look; covered: bool [P]; size: (width, height) of the image, zeros for none."""
        text = self.texts.number
        pixels = np.full((len(self._frames), 3), np.nan)
        points = look.observation.protected if look.observation else None
        for name, pixel, radius in zip(points.names, points.pixels, points.radii_px) if points \
                else ():
            pixels[self._frames.index(name)] = *pixel, radius
        self.images.append(
            number=look.number, episode=look.episode, begins=look.begins, time_ns=look.time_ns,
            stamp_ns=look.stamp_ns, problem=text(look.problem),
            warnings=text(json.dumps(look.warnings) if look.warnings else ''),
            instruction=text(look.instruction), pose=look.pose, joints=look.joints,
            pixels=pixels, size=size, observe_ms=look.observe_ms, covered=covered)

    def check_again(self, index: int, look: Look) -> None:
        """Raise ConfigError unless a Look is of the image that an earlier run had there."""
        kept = self.images.read()[index]
        if (kept['number'], kept['time_ns']) != (look.number, look.time_ns):
            raise ConfigError(
                f'{self._folder} has image {kept["number"]} of {kept["time_ns"] * 1e-9:.3f} s in '
                f'row {index}, and the recording has image {look.number} of '
                f'{look.time_ns * 1e-9:.3f} s there: the recording has changed since, or two '
                f'replays were written into one directory. Delete {self._folder} to start again')

    def check_whole(self, count: int) -> None:
        """Raise ConfigError where an earlier run had more images than there are."""
        if len(self.images) > count:
            raise ConfigError(
                f'{self._folder} has {len(self.images)} images and the recording has {count}: it '
                'has changed since, or two replays were written into one directory. Delete '
                f'{self._folder} to start again')

    def add_answer(self, table: Table, answered: Answered) -> None:
        """Keep what a row answered to the next image."""
        table.append(
            problem=self.texts.number(answered.problem), actions=answered.actions,
            velocities=answered.velocities, positions=answered.positions,
            gripper=answered.gripper, reasons=answered.reasons, latency_ms=answered.latency_ms)

    def finish(self, precisions: Sequence[str], looking: Mapping) -> None:
        """Note that all images were shown to the rows of precisions; looking: facts of it."""
        self.done, self.looking = len(self.images), dict(looking)
        self.finished = [*self.finished, *precisions]
        self._write({'finished': self.finished, 'done': self.done, 'looking': self.looking,
                     'rows': list(self.rows.values())})

    def found_images(self) -> Images:
        """Return all images."""
        found, texts = self.images.read(self.done), self.texts.by_number()
        warnings = [tuple(json.loads(text)) if text else () for text in (
            texts[index] for index in found['warnings'])]
        return Images(
            found['number'], found['episode'], found['time_ns'], found['stamp_ns'],
            tuple(texts[index] for index in found['problem']), tuple(warnings), found['pose'],
            found['joints'], self._joint_names,
            tuple(texts[index] for index in found['instruction']),
            tuple(self._pixels_of(row) for row in found['pixels']))

    def found_answers(self, row: Row) -> Answers:
        """Return what a row answered."""
        facts = self.rows[row.name, row.control]
        found, images = self._table(facts).read(self.done), self.images.read(self.done)
        texts, positions = self.texts.by_number(), found['positions']
        stages = {stage: found['latency_ms'][:, index]
                  for index, stage in enumerate(facts['stages'])}
        return Answers(
            facts['name'], facts['control'], facts['kind'], facts['frame'],
            tuple(facts['names']), facts['dt_s'], facts['execute_steps'], found['velocities'],
            positions if np.isfinite(positions).any() else None, found['gripper'],
            found['actions'], {'observe': images['observe_ms'], **stages},
            tuple(facts['grid']), found['reasons'], images['covered'],
            tuple(texts[index] for index in found['problem']))

    def close(self) -> None:
        """Close the files, and let others in."""
        self._close_tables()
        self._lock.release()

    def remove(self) -> None:
        """Delete what is written elsewhere by now."""
        self._close_tables()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release()

    def _close_tables(self) -> None:
        for table in (self.texts, self.images, *self._tables.values()):
            table.close()

    def _pixels_of(self, row) -> dict:
        return {name: tuple(map(float, numbers)) for name, numbers in zip(self._frames, row)
                if np.isfinite(numbers).all()}

    def _begin(self) -> None:
        path = self._folder / RUN
        if not path.is_file():
            self._write({})
            return
        try:
            found = json.loads(path.read_bytes())
        except ValueError as error:
            raise ConfigError(f'{path} is damaged ({error}): delete {self._folder} to start '
                              'again') from error
        check_same(found['decides'], self._decides, f'{self._folder} holds an interrupted replay')
        self.done, self.finished = found.get('done'), found.get('finished', [])
        self.looking = found.get('looking', {})
        self.rows = {(row['name'], row['control']): row for row in found.get('rows', ())}

    def _write(self, more: Mapping) -> None:
        content = json.dumps({'decides': self._decides, **more}, indent=1).encode()
        with saving_to(self._folder, len(content), self.kept):
            write_whole(self._folder / RUN, content)


def row_facts(asked: Asked) -> dict:
    """Return what there is to know of a row without its policy, and the type of its records."""
    space, rows = asked.space, asked.rows
    return {
        'name': asked.row.name, 'control': asked.row.control, 'kind': space.kind,
        'frame': space.frame, 'names': list(asked.arm_names), 'dt_s': space.dt,
        'execute_steps': space.execute_steps or 1, 'stages': list(asked.stages),
        'grid': list(asked.policy.grid), 'record': [
            ['problem', 'i4', []], ['actions', 'f4', [rows, len(space.names)]],
            ['velocities', 'f8', [rows, len(asked.arm_names)]],
            ['positions', 'f8', [rows, asked.position_width]], ['gripper', 'f8', [rows]],
            ['reasons', 'u1', [asked.patches]], ['latency_ms', 'f8', [len(asked.stages)]]]}


def check_same(found: Mapping, asked: Mapping, what: str) -> None:
    """Raise ConfigError, naming what differs, where a directory is of another replay."""
    found, asked = _flat(found), _flat(asked)
    changed = [f'{name} was {found.get(name)!r} and is {asked.get(name)!r}'
               for name in sorted(found.keys() | asked.keys())
               if found.get(name) != asked.get(name)]
    if changed:
        more = f' and {len(changed) - MOST_NAMED} more' if len(changed) > MOST_NAMED else ''
        raise ConfigError(
            f'{what} of other options: {"; ".join(changed[:MOST_NAMED])}{more}. Give the same '
            'options to go on with it, another --out, or delete it')


def _flat(values: Mapping) -> dict:
    """Return values of values by names such as parameters.tf_timeout."""
    flat = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update({f'{name}.{inner}': each for inner, each in value.items()})
        else:
            flat[name] = value
    return flat
