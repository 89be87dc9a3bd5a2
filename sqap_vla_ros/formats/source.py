# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One checkpoint, opened but not read, whatever its format."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
from dataclasses import dataclass
from pathlib import Path

from .checkpoint import CheckpointConfig, read_tokenizer
from .norm_stats import action_width, statistics
from .tensors import RenamedReader
from ..control.action_report import doubts
from ..errors import CheckpointError, ConfigError
from ..model.heads import TokenHeadConfig
from ..support.files import nearest_path


@dataclass(frozen=True)
class Source:
    """
    A checkpoint of any format.

    family: 'sqap_vla_ros', 'openvla', 'openvla_oft' or 'cogact'.  path: what the user named.
    config: as our own config.json would hold it; config.unnorm_key is '' while none is chosen.
    tensors: the network's, under this engine's names.  norm_stats: statistics by data set, and
    stats_file, where they come from.  tokenizer: directory or file, None if there is none.
    notes: what `info` should say besides.  obstacles: why no robot may be driven, though it
    answers.  doubts: what one who drives a robot should know.  for_key(key,
    is_told) returns the same checkpoint with what depends on the data set chosen for a key; None
    if nothing does.
    """

    family: str
    path: Path
    config: CheckpointConfig
    tensors: RenamedReader
    norm_stats: dict
    stats_file: str
    tokenizer: Path | None
    notes: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    for_key: Callable[..., Source] | None = None

    def with_key(self, unnorm_key: str | None) -> Source:
        """
        Choose the data set whose statistics un-normalise the actions; None takes the default.

        Raises CheckpointError for an unknown key and ConfigError where one has to be chosen;
        both list the keys.  Raises CheckpointError too where actions are declared that may drive
        no robot.
        """
        key = unnorm_key or self.config.unnorm_key
        if not key and len(self.norm_stats) == 1:
            key = next(iter(self.norm_stats))
        if not key:
            raise ConfigError(
                f'{self.path} was trained on {len(self.norm_stats)} data sets: choose the one '
                f'whose actions your robot takes by unnorm_key, one of {sorted(self.norm_stats)}')
        if self.for_key and key in self.norm_stats and key != self.config.unnorm_key:
            return self.for_key(key).with_key(key)
        self.check_driving(self.config)
        model = self.config.model
        if key in self.norm_stats and _answers_with_tokens(model.head):
            width = action_width(self.norm_stats[key], f'{self.path}/{self.stats_file}, {key}')
            head = dataclasses.replace(model.head, action_dim=width)
            model = dataclasses.replace(model, head=head)
        chosen = dataclasses.replace(
            self, config=dataclasses.replace(self.config, model=model, unnorm_key=key))
        return dataclasses.replace(chosen, notes=(*self.notes, *chosen.action_doubts()))

    def for_keeping(self) -> Source:
        """Return it with the statistics of those data sets alone of which the config is true."""
        if self.for_key is None or not self.config.unnorm_key:
            return self
        kept = {key: entry for key, entry in self.norm_stats.items()
                if key == self.config.unnorm_key or self._is_true_of(key)}
        return dataclasses.replace(self, norm_stats=kept)

    def _is_true_of(self, key: str) -> bool:
        """Whether what depends on the data set is the same for another one."""
        try:
            other = self.for_key(key, False).config
        except CheckpointError:
            return False
        return all(getattr(other, name) == getattr(self.config, name) for name in (
            'cameras', 'state_names', 'normalization')) and (
                other.model.images, other.model.head.chunk_length) == (
                    self.config.model.images, self.config.model.head.chunk_length)

    def check_driving(self, config: CheckpointConfig | None = None) -> None:
        """
        Raise CheckpointError for an obstacle to driving a robot.

        config: with what the caller declares, which matters only if it declares actions; None
        for whoever keeps the checkpoint in a form that does not tell of obstacles.
        """
        if self.obstacles and (config is None or config.declares_actions):
            raise CheckpointError(self.obstacles[0])

    def statistics(self) -> dict:
        """Return the chosen data set's statistics as arrays; see norm_stats.statistics."""
        return statistics(self.norm_stats, self.config.unnorm_key, self.config.model,
                          f'{self.path}', self.stats_file, self.config.normalization)

    def action_doubts(self) -> tuple[str, ...]:
        """
        Return what makes the units of the chosen data set's actions doubtful.

        Raises CheckpointError for statistics without sense, or where nobody declared how large
        rotations are meant; see control.action_report.
        """
        stats, space = self.statistics(), self.config.action_space
        if not self.config.declares_actions or len(space.names) != len(stats['low']):
            return ()
        try:
            return doubts(space, stats, f'{self.path}, {self.config.unnorm_key}')
        except ConfigError as error:
            raise CheckpointError(str(error)) from error

    def read_tokenizer(self):
        """Return the `tokenizers.Tokenizer`; raise ConfigError if none is there."""
        if self.tokenizer is None:
            raise ConfigError(
                f'{self.path} brings no tokenizer: name the directory of a Llama-2 one, with '
                'tokenizer.json, by --tokenizer (such as that of any OpenVLA checkpoint)')
        return read_tokenizer(self.tokenizer)


def _answers_with_tokens(head) -> bool:
    """Whether no tensor tells how many values an action has."""
    return isinstance(head, TokenHeadConfig) or getattr(head, 'reads', '') == 'tokens'


def find_tokenizer(path: Path, given) -> Path | None:
    """
    Return the tokenizer that was given, else the checkpoint's own, else None.

    given: a directory with tokenizer.json, or such a file.  Raises ConfigError if it is neither.
    """
    if given is None:
        return path if (path / 'tokenizer.json').is_file() else None
    given = Path(given)
    if given.is_file() or (given / 'tokenizer.json').is_file():
        return given.parent if given.name == 'tokenizer.json' else given
    if not given.exists():
        raise ConfigError(f'tokenizer {given} does not exist{nearest_path(given)}: name the '
                          "directory of Llama 2's tokenizer.json, or this file")
    raise ConfigError(
        f'tokenizer {given} has no tokenizer.json; where there is only a tokenizer.model, '
        "transformers' AutoTokenizer.from_pretrained(...).save_pretrained(...) writes one")
