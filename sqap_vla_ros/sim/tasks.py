# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The benchmark's tasks by suite: their instructions, task files and official initial states.

An instruction is what the benchmark's own evaluation tells a policy: the sentence in the name of
the task file. The LIBERO-PRO suites that reword it (`_lan`) or ask for something else (`_task`)
keep the file names of the suite they are made from; there the sentence in the file counts.
"""
from dataclasses import dataclass
import logging
from pathlib import Path
import re

import numpy as np

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support.validation import nearest

_SCENE_PREFIX = re.compile(r'^[A-Z_]*SCENE\d*_')  # of LIBERO-100's file names


@dataclass(frozen=True)
class Task:
    """One task: suite, name (of its file, without suffix), instruction and path of the file."""

    suite: str
    name: str
    instruction: str
    path: Path

    def parse(self):
        """Return the benchmark's parsed task: regions, objects, initial and goal state."""
        from libero.libero.envs import bddl_utils
        return bddl_utils.robosuite_parse_problem(str(self.path))

    def initial_states(self):
        """Return the official states float64 [n, d]: time, qpos, qvel; ConfigError for none."""
        from libero.libero import get_libero_path
        path = Path(get_libero_path('init_states'), self.suite, f'{self.name}.pruned_init.npz')
        if not path.is_file():
            raise ConfigError(f'{self.suite} has no official initial states of {self.name!r}: '
                              'turn initial_states off')
        with np.load(path) as stored:
            return stored['states']


def suite_tasks(suite):
    """Return all Tasks of a suite, in the order of their names; ConfigError for an unknown one."""
    quiet_robosuite()
    from libero.libero import get_libero_path
    root = Path(get_libero_path('bddl_files'))
    paths = sorted((root / suite).glob('*.bddl')) if suite else []
    if not paths:
        known = sorted(path.name for path in root.iterdir() if path.is_dir())
        raise ConfigError(f'no LIBERO suite {suite!r}{nearest(suite, known)}: use one of {known}')
    return [Task(suite, path.stem, _instruction(root, path), path) for path in paths]


def find_tasks(suite, wanted=None):
    """Return {instruction: Task} by instruction or file name; ConfigError for an unclear one."""
    tasks = suite_tasks(suite)
    names = [task.name for task in tasks] if wanted is None else list(wanted)
    found = {}
    for name in names:
        task = _one_task(tasks, name)
        if found.setdefault(task.instruction, task) is not task:
            raise ConfigError(f'{task.name!r} and {found[task.instruction].name!r} have the same '
                              'instruction: use one environment for each')
    if not found:
        raise ConfigError(f'no instruction: use some of {_instructions(tasks)}')
    return found


def _one_task(tasks, name):
    matches = ([task for task in tasks if task.name == name]
               or [task for task in tasks if task.instruction == name])
    if not matches:
        known = _instructions(tasks)
        raise ConfigError(f'{tasks[0].suite} has no instruction {name!r}{nearest(name, known)}: '
                          f'use some of {known}')
    if len(matches) > 1:
        raise ConfigError(f'several tasks have the instruction {name!r}: ask by name for one of '
                          f'{[task.name for task in matches]}')
    return matches[0]


def _instructions(tasks):
    return sorted({task.instruction for task in tasks})


def _instruction(root, path):
    """Return the sentence of a task file: its name's, unless LIBERO-PRO changed it."""
    stock = _stock_file(root, path)
    if stock is not None:
        sentence = _sentence(path)
        if sentence != _sentence(stock):
            return sentence
    return _SCENE_PREFIX.sub('', path.stem).replace('_', ' ')


def _stock_file(root, path):
    """Return the file of the suite that a LIBERO-PRO suite is made from, None for others."""
    parts = path.parent.name.split('_')
    stock = root / '_'.join(parts[:2]) / path.name
    return stock if len(parts) > 2 and stock.is_file() else None


def _sentence(path):
    match = re.search(r'\(:language\s+(.*?)\)', path.read_text(encoding='utf-8'), re.DOTALL)
    return ' '.join(match.group(1).split()) if match else ''


def quiet_robosuite():
    """Keep robosuite from warning, on import, about a macro file that nobody needs."""
    logging.getLogger('robosuite_logs').setLevel(logging.ERROR)
