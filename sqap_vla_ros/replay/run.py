# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Variants of a policy over a recording: each image is looked at once and shown to all of them.

What is found goes to the disk at once, so an interrupted replay goes on where it was: the images
before are looked at again, for an Observer remembers what they were like, and not answered again.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from .answers import Store
from .asking import Asked
from .looking import Look, Looking, LookOptions
from .part import expected_images
from .results import Results, Robot
from .unanswered import check_answerable
from .variants import Variants
from ..errors import ObservationError
from ..geometry.image_transform import ImageTransform
from ..geometry.patches import distances_of_views, patch_step
from ..recordings.recording import shift_at
from ..support.progress import Progress


@dataclass(frozen=True)
class Replay:
    """
    What is replayed.

    topics: a TopicMap of the recording.  joints: the robot's names of the joints that the policy
    tells, in its order, empty for twists and poses.  decides: all that decides the answers, JSON
    values.  out: the directory of results.
    """

    recording: object
    topics: object
    looking: LookOptions
    variants: Variants
    joints: tuple[str, ...]
    decides: Mapping
    out: Path

    def run(self, tell=print) -> tuple[Results, Store]:
        """
        Return what is found, and the Store to remove once it is written elsewhere.

        tell(text): is told what the user should know before it begins.  Raises CheckpointError,
        ConfigError or ObservationError; what was answered by then is kept.
        """
        names = self.new_looking().joint_names
        frames = self.looking.shown.protected_frames or self.looking.shown.end_effector_frames
        store = Store(self.out, self.decides, frames, names,
                      self.variants.config.model.num_visual)
        with ExitStack() as stack:
            stack.callback(store.close)
            passes, memory = self.variants.passes()
            tell(memory)
            missing = [[name for name in precisions if name not in store.finished]
                       for precisions in passes]
            if any(missing) and not len(store.images):
                self._check_answerable(store)
            for precisions in filter(None, missing):
                _Pass(self, store, precisions).run()
            results = self._results(store, memory)
            stack.pop_all()
        return results, store

    def new_looking(self) -> Looking:
        """Return what looks at the images, from the beginning."""
        return Looking(self.recording, self.topics, self.looking,
                       self.variants.check_instruction)

    def expected(self) -> int:
        """Return about how many images will be looked at, by their times."""
        return expected_images(self.recording, self.topics, self.looking)

    def _check_answerable(self, store: Store) -> None:
        try:
            check_answerable(self.new_looking(), self.expected(), self.recording.losses,
                             self.topics)
        except ObservationError:
            store.remove()  # nothing to go on with, and other options are to be tried
            raise

    def _results(self, store: Store, memory: str) -> Results:
        images, looking = store.found_images(), store.looking
        images = replace(images, shifts_ns=np.array([
            shift_at(self.recording, int(time_ns)) for time_ns in images.times_ns], np.int64))
        answers = tuple(store.found_answers(row) for row in self.variants.rows)
        robot = Robot(looking['robot_description'], self.looking.shown.base_frame,
                      self.looking.shown.end_effector_frames[0]) if looking.get(
                          'robot_description') else None
        losses = [*self.recording.losses, *(
            f'{count} messages on {topic} could not be read'
            for topic, count in looking['damaged'].items())]
        sizes = store.images.read(store.done)['size']
        size = sizes[sizes.any(axis=1)][0].tolist() if sizes.any() else [0, 0]
        return Results({'memory': memory, 'image_size': size,
                        'policy_cameras': list(self.variants.config.cameras),
                        **patch_box(self.transform, size, self.variants.grid),
                        'image_transform': asdict(self.transform)},
                       tuple(losses), images, answers, robot=robot)

    @property
    def transform(self) -> ImageTransform:
        """Return what an image goes through on its way into the network."""
        config = self.variants.config
        side = config.model.vision.image_size
        return ImageTransform(**{'size': (side, side), **config.image})


class _Pass:
    """One way through the recording, with the rows of some precisions in memory."""

    def __init__(self, replay: Replay, store: Store, precisions):
        self._replay, self._store, self._precisions = replay, store, precisions
        self._looking = replay.new_looking()
        self._transform = replay.transform
        self._radius = replay.variants.options.policy.radius_patches

    def run(self) -> None:
        """Look at all images, and ask about those that are not answered yet."""
        with Progress('loading the policy'):
            rows = [_Resumed(asked, self._store)
                    for asked in self._replay.variants.load(self._precisions,
                                                            self._replay.joints)]
        begun = min(len(row.table) for row in rows)
        expected = self._replay.expected()
        with Progress(f'replay {", ".join(self._precisions)}', total=max(expected, begun),
                      unit='image') as progress:
            try:
                index = self._show(rows, progress)
            except KeyboardInterrupt:
                print(f'\ninterrupted: {progress.done} of about {expected} images are answered; '
                      f'{self._store.kept}, and the same command goes on')
                raise
            progress.total = max(index, 1)
        self._store.finish(self._precisions, {
            'damaged': self._looking.damaged,
            'robot_description': self._looking.robot_description})

    def _show(self, rows, progress) -> int:
        """Show all images to rows; return their number."""
        count = 0
        for index, look in enumerate(self._looking):
            if index >= len(self._store.images):
                self._keep(look)
            else:
                self._store.check_again(index, look)
            for row in rows:
                row.show(index, look, self._joints(look))
            progress.advance(note=look.instruction)
            count = index + 1
        self._store.check_whole(count)
        return count

    def _joints(self, look: Look) -> np.ndarray | None:
        """Return the joints that the policy tells, None where one is not known."""
        names, wanted = self._looking.joint_names, self._replay.joints
        if not wanted or not set(wanted) <= set(names):
            return None
        found = look.joints[[names.index(name) for name in wanted]]
        return found if np.isfinite(found).all() else None

    def _keep(self, look: Look) -> None:
        config, size = self._replay.variants.config, (0, 0)
        covered = np.zeros(config.model.num_visual, bool)
        if look.observation is not None:
            views = [look.observation.view(name) for name in config.cameras or ('',)]
            size = views[0].image.shape[1::-1]
            covered = np.isfinite(distances_of_views(
                [(view.protected.pixels, view.protected.radii_px, view.image.shape[:2])
                 for view in views], self._transform, config.model.vision.grid, self._radius))
        self._store.add_image(look, covered, size)


class _Resumed:
    """A row with its table, which has the answers of an earlier run already."""

    def __init__(self, asked: Asked, store: Store):
        self._asked, self._store, self.table = asked, store, store.table(asked)
        self.table.cut(len(store.images))  # of others the image was lost
        images = store.images.read()['problem']
        answered = (self.table.read()['problem'] == 0) & (images[:len(self.table)] == 0)
        known = np.flatnonzero(answered)
        memory = asked.policy.memory
        self._answered = answered
        self._again_from = (known[-memory] if 0 < memory <= len(known) else
                            0 if memory else len(self.table))

    def show(self, index: int, look: Look, joints) -> None:
        """Let the policy answer, or go on as if it had."""
        policy = self._asked.policy
        if look.begins:
            policy.reset()
        if index < len(self.table) and index < self._again_from:
            if self._answered[index]:
                policy.skip()
            return
        answered = self._asked.nothing() if look.observation is None else (
            self._asked.answer(look, joints))
        if index >= len(self.table):
            self._store.add_answer(self.table, answered)


def patch_box(transform: ImageTransform, size, grid) -> dict:
    """
    Return {'patch_box': left, top, right, bottom of what patches cover, as shares of an image}.

    size: (width, height) of the image.  grid: (rows, cols) of patches.  patch_reversed: whether
    rows and whether columns of patches come in reverse order.
    """
    if not size[0]:
        return {}
    ends = np.array([[0, 0], patch_step(grid, transform.size) * grid[::-1]]) - 0.5
    ends = (transform.input_to_pixels(ends, size[::-1]) + 0.5) / size
    return {'patch_box': [*ends.min(axis=0).tolist(), *ends.max(axis=0).tolist()],
            'patch_reversed': list(transform.reversed_axes)}
