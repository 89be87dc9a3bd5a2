# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The unfinished checkpoint: OUT.partial, which a run can go on with and nothing can load.

    OUT.partial/model.safetensors   full size from the start, filled unit by unit
    OUT.partial/progress.json       what is being made of what, and a checksum for each unit done
    OUT.partial/inputs-7.safetensors    GPTQ: the calibration set as it reaches block 7

The finished directory gets its name, and then its config.json, without which nothing loads it:
killed between both, the next run of the same command makes up for it.
"""

from __future__ import annotations

from collections.abc import Mapping
import errno
import fcntl
import json
import os
from pathlib import Path
import shutil

from safetensors import SafetensorError
from safetensors.torch import load_file
import torch

from ..errors import CheckpointError, ConfigError
from ..formats.checkpoint import read_json
from ..formats.tensor_file import Layout, layout_bytes, TensorFile
from ..loading.units import Unit
from ..support.files import MIB, write_whole

PROGRESS = 'progress.json'
INPUTS = 'inputs-{}.safetensors'
CONFIG, LAST = 'config.json', 'config.json.last'
_SPARE = 64 * MIB  # for the small files, and for what else the disk is used for


class WorkDirectory:
    """OUT.partial, locked against a second run, with its progress."""

    def __init__(self, out: Path, task: Mapping[str, str], layout: Layout):
        """
        Take up an unfinished conversion of the same task, or begin one.

        task: what is made of what; values by what they are, in words.  Raises ConfigError if
        `out` exists, if another task or another process is at work there, or if the disk is
        too small; OSError if it cannot be written.
        """
        self.out = Path(out)
        if _complete(self.out):
            raise ConfigError(f'{self.out} was all but finished, and is complete now')
        if self.out.exists():
            raise ConfigError(f'{self.out} exists: choose another name, or remove it first')
        self.path = self.out.with_name(f'{self.out.name}.partial')
        self._task, self._layout, self._file = dict(task), layout, None
        is_new = not self.path.exists()
        self.path.mkdir(exist_ok=True)
        self._lock = self._locked()
        try:
            self._done = self._progress()
            self._check_room()
            self._file = TensorFile(self.path / 'model.safetensors', layout)
        except (ConfigError, OSError):
            self.close()
            if is_new:
                shutil.rmtree(self.path)
            raise
        if self._file.is_new:
            self._done = {}
        self._save_progress()

    @property
    def size(self) -> int:
        """Return the bytes of the weights that are made."""
        return self._file.size

    def summary(self, units: int) -> str:
        """Tell how many of so many units are done, and where they are."""
        return f'{len(self._done)} of {units} parts are done and stay in {self.path}'

    def is_done(self, unit: Unit) -> bool:
        """Return whether an earlier run has finished a unit and its values are still there."""
        return (unit.name in self._done
                and self._file.checksum(unit.packed) == self._done[unit.name])

    def save(self, unit: Unit, tensors: Mapping[str, torch.Tensor],
             inputs: list[torch.Tensor] | None = None) -> None:
        """Write a converted unit, and what leaves it where it is a block under GPTQ."""
        for name in unit.packed:
            self._file.write(name, tensors[name])
        if inputs is not None:
            self.save_inputs(unit.block + 1, inputs)
        self._done[unit.name] = self._file.checksum(unit.packed)
        self._save_progress()
        if inputs is not None:
            (self.path / INPUTS.format(unit.block)).unlink(missing_ok=True)

    def save_inputs(self, block: int, inputs: list[torch.Tensor]) -> None:
        """Keep what reaches a block, so that a later run can go on there."""
        path = self.path / INPUTS.format(block)
        part = path.with_suffix('.part')
        layout = {f'{index:05}': (x.dtype, tuple(x.shape)) for index, x in enumerate(inputs)}
        file = TensorFile(part, layout)
        for name, x in zip(layout, inputs):
            file.write(name, x)
        file.close()
        os.replace(part, path)

    def read_inputs(self, block: int) -> list[torch.Tensor] | None:
        """Return what save_inputs kept, or None."""
        path = self.path / INPUTS.format(block)
        try:
            return [x for _, x in sorted(load_file(path).items())] if path.is_file() else None
        except (SafetensorError, OSError):
            return None  # cut off: begin with the first block

    def finish(self, contents: Mapping[str, str]) -> None:
        """
        Write the small files, config.json last, and give the directory its name.

        contents: text by file name, in the order of writing.
        """
        self._remove_inputs()
        self._file.sync()
        for name, text in contents.items():
            write_whole(self.path / (LAST if name == CONFIG else name), text.encode())
        os.rename(self.path, self.out)
        _complete(self.out)
        self.close()

    def discard(self) -> None:
        """Remove everything."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Close files and let others in; what is done stays."""
        if self._file is not None:
            self._file.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _locked(self) -> int | None:
        lock = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                return None  # a file system without locks
            raise ConfigError(f'another process is converting into {self.path}: wait for it, or '
                              'choose another name') from error
        return lock

    def _progress(self) -> dict[str, int]:
        """Return {unit: checksum} of an earlier run; ConfigError if it is of another task."""
        path = self.path / PROGRESS
        try:
            progress = read_json(path) if path.is_file() else {}
        except CheckpointError:
            progress = {}  # cut off by a loss of power
        if not progress:
            self._remove_inputs()
            return {}
        before = progress['task']
        changed = [f'{name} {before.get(name)!r} before, {self._task.get(name)!r} now'
                   for name in sorted({*before, *self._task})
                   if before.get(name) != self._task.get(name)]
        if changed:
            raise ConfigError(
                f'{self.path} holds an unfinished conversion of another kind '
                f'({"; ".join(changed)}): give the same options as before to go on with it, or '
                'remove that directory to begin anew')
        return progress['done']

    def _remove_inputs(self) -> None:
        for path in self.path.glob(INPUTS.format('*')):
            path.unlink()

    def _save_progress(self) -> None:
        content = {'task': self._task, 'done': self._done}
        write_whole(self.path / PROGRESS, json.dumps(content, indent=1).encode())

    def _check_room(self) -> None:
        """Raise ConfigError if the disk is too small for what is still to be written."""
        needed = layout_bytes(self._layout) + _SPARE
        path = self.path / 'model.safetensors'
        there = path.stat().st_blocks * 512 if path.is_file() else 0
        free = shutil.disk_usage(self.path).free
        if needed - there > free:
            raise ConfigError(
                f'No space left for {self.out}: it takes {needed // MIB} MiB and the disk has '
                f'{(free + there) // MIB}: free {(needed - there - free) // MIB + 1} MiB, or name '
                'another disk')


def _complete(out: Path) -> bool:
    """Do the last steps of a conversion that has its name; return whether there were any."""
    is_late = (out / LAST).is_file()
    if is_late:
        os.replace(out / LAST, out / CONFIG)
    if (out / CONFIG).is_file():
        (out / PROGRESS).unlink(missing_ok=True)
    return is_late
