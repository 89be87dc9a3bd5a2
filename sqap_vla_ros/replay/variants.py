# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The variants of a policy that a replay asks, and how many of them are in memory together.

Rows of one precision share its weights. Where all precisions fit, each image is looked at once
and shown to all; else the recording is gone through once for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .asking import Asked
from ..errors import ConfigError
from ..evaluate.conventions import middle_state
from ..evaluate.evaluation import auto_of, check_keep, check_rows, usual_variants
from ..evaluate.plan import plan_rows
from ..formats import open_checkpoint
from ..inference.device import find_device
from ..loading.chosen_options import with_options
from ..loading.needs import needed_bytes
from ..model.prompt import check_known, make_prompt
from ..observation import CameraView, Observation
from ..options import PolicyOptions
from ..policy import load_policy
from ..support.files import MIB
from ..support.memory import available_bytes

MOST_OF_MEMORY = 0.7  # that weights may take


@dataclass(frozen=True)
class VariantOptions:
    """
    What is asked: of what checkpoint, and as what; see evaluation.EvaluationOptions.

    variants: empty for the usual ones.  control_variants: empty for the first one.  other: the
    instruction of the control other-instruction; '' for another one of the checkpoint's.
    """

    checkpoint: Path
    policy: PolicyOptions = PolicyOptions()
    variants: tuple[str, ...] = ()
    keep: tuple[int, ...] = (154,)
    controls: tuple[str, ...] = ()
    control_variants: tuple[str, ...] = ()
    other: str = ''


class Variants:
    """
    Rows that are settled, of a checkpoint of which no weight is read yet.

    rows: what is asked.  config: the checkpoint's.
    """

    def __init__(self, options: VariantOptions):
        """Raise CheckpointError or ConfigError for what cannot be asked."""
        self.options = options
        self._source = open_checkpoint(options.checkpoint, options.policy.tokenizer).with_key(
            options.policy.unnorm_key)
        self.config = with_options(self._source.config, options.policy)
        self._source.check_driving(self.config)
        self.space = self.config.action_space  # raises where nobody declared it
        record = self.config.quantization
        stored = record.get('precision', 'fp')
        names = options.variants or usual_variants(stored if record else None)
        check_keep(options.keep, self.config.model.num_visual)
        controls = tuple(name for name in options.controls if name != 'none')
        self.rows = tuple(plan_rows(
            names, options.keep, controls, options.control_variants or names[:1],
            auto_of(names, self.config, options.policy)))
        check_rows(self._source, self.rows)
        self._prompt = make_prompt(
            self.config.prompt, self._source.read_tokenizer(), self.config.model.text_length,
            self.config.model.llm.vocab_size)
        self._check_controls(controls)

    @property
    def grid(self) -> tuple[int, int]:
        """Return rows and columns of patches."""
        return self.config.model.vision.grid

    @property
    def protects(self) -> bool:
        """Return whether a row keeps the tokens round the robot's frames."""
        return self.options.policy.protect and any(row.method == 'sqap' for row in self.rows)

    def check_instruction(self, text: str) -> None:
        """Raise ObservationError for an instruction that the policy cannot follow."""
        check_known(text, self.config.instructions)
        self._prompt.encode(text)

    def _check_controls(self, controls) -> None:
        if 'other-instruction' in controls:
            if self.options.other:
                self.check_instruction(self.options.other)
            elif len(self.config.instructions) < 2:
                raise ConfigError('the control other-instruction needs another instruction, and '
                                  f'{self.options.checkpoint} names '
                                  f'{len(self.config.instructions)}: give --other-instruction')
        if 'no-state' in controls and middle_state(self._source.statistics()) is None:
            raise ConfigError('the control no-state needs a policy that takes the state of the '
                              'arm; this one does not')

    def passes(self) -> tuple[list[tuple[str, ...]], str]:
        """Return (the precisions that are in memory together, pass by pass, and why)."""
        device = find_device(self.options.policy.device)
        on_cpu = device.type == 'cpu'
        precisions = tuple(dict.fromkeys(row.precision for row in self.rows))
        needs = {name: needed_bytes(self.config.model, self.config.quantization, name,
                                    self.options.policy.int8, on_cpu) for name in precisions}
        free = available_bytes() if on_cpu else _free_on(device)
        whole = sum(needs.values())
        text = ' + '.join(f'{name} {size / MIB:.0f} MiB' for name, size in needs.items())
        if len(precisions) == 1 or free is None or whole <= MOST_OF_MEMORY * free:
            return [precisions], f'in memory together: {text}'
        return [(name,) for name in precisions], (
            f'one precision after the other ({text}; {free / MIB:.0f} MiB are free, of which '
            f'{MOST_OF_MEMORY:.0%} may be used): the recording is gone through '
            f'{len(precisions)} times')

    def load(self, precisions: Sequence[str], joint_names: tuple[str, ...]) -> Iterator[Asked]:
        """Yield the rows of precisions, each with a policy of its own that shares weights."""
        options = self.options
        others = self.config.instructions or ()
        for precision in precisions:
            loaded = load_policy(options.checkpoint, options.policy, precision=precision,
                                 keep=None)
            loaded.warm_up(rounds=1)
            shape = _shape(loaded)
            for row in self.rows:
                if row.precision == precision:
                    policy = loaded.twin(row.selection(options.policy))
                    yield Asked(row, policy, shape, joint_names,
                                (options.other,) if options.other else others)


def _shape(policy) -> tuple[int, tuple[str, ...]]:
    """Return (rows, stages) of a policy's answers."""
    size = policy.config.model.vision.image_size
    text = (policy.instructions or ('pick up the object',))[0]
    state = np.zeros(len(policy.state_names), np.float32) if policy.state_names else None
    grey, (camera, *others) = np.full((size, size, 3), 128, np.uint8), policy.cameras or ('',)
    chunk = policy.infer(Observation(
        grey, 0, text, state=state, camera=camera,
        views={name: CameraView(grey, 0) for name in others}))
    policy.reset()
    return len(chunk.actions), tuple(chunk.timings)


def _free_on(device) -> int:
    import torch
    return torch.cuda.mem_get_info(device)[0]
