# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
One side of benchmarks/cpu_peers.py, in a process of its own: it is told line by line what to do.

    prepare   write what the library runs
    load      take it, check its answers, and tell their error and the memory so far
    lap       run one inference and tell the milliseconds of its stages
    end       tell the most memory that the laps took
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
import json
from pathlib import Path
import pickle
import sys
import time

import numpy as np
from sqap_vla_ros.bench.sides import float32_model, quantized_model
from sqap_vla_ros.bench.timing import CLOCKS
from sqap_vla_ros.inference.plan import Plan
from sqap_vla_ros.support.memory import give_back
import torch

from .parts import choose, Given, parts, peer_config, plain_model, SELECTION
from .sides import ENCODER, GIVEN, OURS, PEERS, split, TIMED


class Peer:
    """A network that another library runs."""

    def __init__(self, side: str, size: str, directory: Path, threads: int):
        """Take what `prepare` has written."""
        name, self._selects = split(side)
        runtime = PEERS[name].runtime()
        self._config, self._given = peer_config(size), read_given(directory)
        self._names = part_names(size, self._selects)
        modules: dict = dict.fromkeys(self._names)
        if runtime.needs_module:
            modules = {name: module for name, (module, _) in
                       _parts(size, self._selects, self._given).items()}
            if 'vision' not in self._names:
                for module in modules.values():
                    module.model.vision = torch.nn.Identity()
        self._call = {part: runtime.load(part, modules[part], directory, threads)
                      for part in self._names}

    def raw(self) -> np.ndarray:
        """Return what it answers to the given visual tokens; those given are kept."""
        if not self._selects:
            return self._call['backbone'](self._given.visual.numpy())[0]
        x, _ = self._call['first'](self._given.visual.numpy())
        return self._call['second'](x, self._given.kept.numpy())[0]

    def lap(self, clock: Callable) -> dict[str, float]:
        """Return the milliseconds of one inference's stages."""
        marks, visual = [clock()], self._given.visual.numpy()
        if 'vision' in self._names:
            visual = self._call['vision'](self._given.inputs.pixels.numpy())[0]
        marks.append(clock())
        if self._selects:
            x, scores = self._call['first'](visual)
            self._call['second'](x, choose(scores[0], self._config).numpy())
        else:
            self._call['backbone'](visual)
        return stages(*marks, clock())


class Ours:
    """A network on our kernels, plain float32 or quantized."""

    def __init__(self, side: str, size: str, directory: Path, threads: int):
        """Make it, with the weights that every side has."""
        name, self._selects = split(side)
        precision, _, vision = name.partition(ENCODER)
        config, self._given = peer_config(size), read_given(directory)
        torch.manual_seed(0)
        self._model = (float32_model(config) if precision == 'float32' else quantized_model(
            config, precision, vision or 'fp'))
        self._has_vision = 'vision' in part_names(size, self._selects)
        if not self._has_vision:
            self._model.vision = torch.nn.Identity()  # as all sides of a decoder alone
        inputs = self._given.inputs
        self._plan = Plan(self._model, lambda image: inputs.pixels, inputs.pixels.device,
                          inputs.token_ids.shape[1], SELECTION if self._selects else None)
        side_px = config.vision.image_size
        self._plan.fill(np.zeros((config.images, side_px, side_px, 3), np.uint8),
                        inputs.token_ids, inputs.state)
        self._plan.inputs.upload()

    @torch.inference_mode()
    def raw(self) -> np.ndarray:
        """Return what it answers to the given features; the given tokens are kept."""
        model, inputs = self._model, self._given.inputs
        x = model.embed(model.project(self._given.features), inputs.token_ids, inputs.state)
        x, _ = model.prefill_full(x, scored=self._selects)
        hidden = model.prefill_kept(x, self._given.kept if self._selects else None)
        return model.answer(hidden, x.shape[1]).numpy()

    @torch.inference_mode()
    def lap(self, clock: Callable) -> dict[str, float]:
        """Return the milliseconds of one inference's stages."""
        run, plan = self._plan.stages, self._plan
        if not self._has_vision:
            plan.visual = self._model.project(self._given.features)
        start = clock()
        if self._has_vision:
            run['vision']()
        middle = clock()
        for name in ('prefill_1', 'selection', 'prefill_2', 'head'):
            run[name]()
        return stages(start, middle, clock())


def stages(start: float, middle: float, end: float) -> dict[str, float]:
    """Return milliseconds by stage; `prefill` is with selection and head."""
    return {'vision': (middle - start) * 1e3, 'prefill': (end - middle) * 1e3,
            'total': (end - start) * 1e3}


def part_names(size: str, selects: bool) -> list[str]:
    """Return the parts that are timed: decoders alone, but the whole bundled policy."""
    return ['vision'] * (size == 'bundled') + (['first', 'second'] if selects else ['backbone'])


def _parts(size: str, selects: bool, given: Given | None = None) -> dict[str, tuple]:
    model = plain_model(peer_config(size))
    with torch.no_grad():
        return parts(model, given or Given.of(model), size == 'bundled', selects)


def read_given(directory: Path) -> Given:
    """Return what `write_given` has written."""
    return pickle.loads((directory / GIVEN).read_bytes())


def write_given(size: str, directory: Path) -> None:
    """Write what every side is given, and the answer to it."""
    (directory / GIVEN).write_bytes(pickle.dumps(Given.of(plain_model(peer_config(size)))))


def prepare(side: str, size: str, directory: Path) -> None:
    """Write what a peer's library runs."""
    name, selects = split(side)
    runtime = PEERS[name].runtime()
    for part, (module, example) in _parts(size, selects, read_given(directory)).items():
        with torch.no_grad():
            module(*example)  # tables are made once, and not while a library looks
        runtime.prepare(part, module, example, directory)


def resident_mib(key: str = 'VmRSS') -> float:
    """Return this process's memory in MiB, now (VmRSS) or at most so far (VmHWM)."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise LookupError(f'/proc/self/status has no {key}')


def main(side: str, size: str, threads: int, clock: str, directory: Path) -> None:
    """Do what the lines of the standard input say, and answer each by one line of JSON."""
    torch.set_num_threads(threads)
    for module in set(PEERS[split(side)[0]].modules if split(side)[0] in PEERS else ()) & {*TIMED}:
        import_module(module)  # so that no side's own code counts as the network's memory
    give_back()
    before, runner = resident_mib(), None
    tell = sys.stdout
    sys.stdout = sys.stderr  # libraries print
    for line in sys.stdin:
        found = {}
        if line == 'prepare\n':
            prepare(side, size, directory)
        elif line == 'load\n':
            runner = (Ours if split(side)[0] in OURS else Peer)(side, size, directory, threads)
            wanted = read_given(directory).raw[split(side)[1]].numpy()
            found['error'] = float(np.linalg.norm(runner.raw() - wanted) / np.linalg.norm(wanted))
            runner.lap(time.perf_counter)
            del wanted
            give_back()  # what was freed while the network was made or loaded
            Path('/proc/self/clear_refs').write_text('5')  # VmHWM begins anew
        elif line == 'lap\n':
            found = runner.lap(time.process_time if clock == 'cpu' else CLOCKS[clock])
        else:
            found['memory_mib'] = resident_mib('VmHWM') - before
        print(json.dumps(found), file=tell, flush=True)


if __name__ == '__main__':
    side, size, threads, clock, place = sys.argv[1:]
    if side:
        main(side, size, int(threads), clock, Path(place))
    else:
        write_given(size, Path(place))
