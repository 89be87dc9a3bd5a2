# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded observations by options: a directory, a bag or a LeRobot data set."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .recording_options import add_config_arguments, add_part_arguments
from ..errors import ConfigError

SOURCES = ('images with instructions.jsonl, shards of `sqap-vla collect`, a bag or a LeRobot data '
           'set')


def add_sample_arguments(parser, flag: str) -> None:
    """Add the options that say how what `flag` names is looked at; none for a directory."""
    group = parser.add_argument_group(f'what of a bag or data set, where {flag} names one')
    add_config_arguments(group.add_argument)
    add_part_arguments(group)


def check_sample_arguments(args, places: Mapping) -> None:
    """
    Raise ConfigError, naming it, for an option of recordings where none is given.

    places: what each option that names samples was given, {'--calibration': PLACE or None}.
    """
    given = {flag: place for flag, place in places.items() if place}
    found = [Path(place).expanduser() for place in given.values()]
    if any(not place.exists() or _is_recording(place) for place in found):
        return  # what is not there is told where it is read
    parser = argparse.ArgumentParser()
    add_sample_arguments(parser, '')
    for name, usual in vars(parser.parse_args([])).items():
        if getattr(args, name) != usual:
            what = ' and '.join(f'{flag} {place}' for flag, place in given.items())
            raise ConfigError(
                f'--{name.replace("_", "-")} says how a bag or data set is looked at, '
                + (f'and {what} is neither: leave it out' if given else
                   f'and none is given by {" or ".join(places)}: name one, or leave it out'))


@dataclass(frozen=True)
class _Asker:
    """A checkpoint of which no weight is read; see replay_looking.Asker."""

    config: object
    space: object
    protects: bool
    check_instruction: object


def samples_of(args, place, source, count: int, flag: str, protects: bool = False):
    """
    Return Samples for a checkpoint.

    args: with add_sample_arguments, and the options of a policy if there are any.  place: a
    directory, bag or data set, which `flag` named.  source: formats.Source with a key.
    protects: whether what is missing to find the robot in the images is worth a note.
    Raises ConfigError or ObservationError for what is none, or not for this checkpoint.
    """
    from ..samples.reading import read_samples
    place = Path(place).expanduser()
    if not _is_recording(place):
        return read_samples(place, count, source.config, flag=flag)
    from ..recordings.open import open_recording
    from ..samples.recorded import Recorded
    from .replay_config import node_config
    from .replay_looking import check_text, seen_of
    config = node_config(args, str(source.path))
    check_text('--instruction', args.instruction, config)
    with closing(open_recording(place)) as recording:
        asker = _asker(source, protects)
        seen = seen_of(args, config, recording, asker)
        return read_samples(
            Recorded(seen.recording, seen.topics, seen.looking, asker.check_instruction,
                     seen.notes), count, source.config, config.policy.radius_patches, flag)


def _is_recording(place: Path) -> bool:
    """Return whether it has to be opened as a bag or data set; raise ConfigError for a bad one."""
    from ..recordings.bag_files import is_bag
    from ..recordings.lerobot_info import data_set_root
    return place.exists() and (place.is_file() or is_bag(place)
                               or data_set_root(place) is not None)


def _asker(source, protects: bool) -> _Asker:
    from ..model.prompt import check_known, make_prompt
    config = source.config
    prompt = make_prompt(config.prompt, source.read_tokenizer(), config.model.text_length,
                         config.model.llm.vocab_size)
    space = config.action_space if config.declares_actions else None
    return _Asker(config, space, protects, partial(_check, check_known, prompt, config))


def _check(check_known, prompt, config, text: str) -> None:
    check_known(text, config.instructions)
    prompt.encode(text)
