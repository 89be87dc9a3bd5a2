# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a policy can be asked for: one list for Python, the command line and ROS.

    load_policy('models/libero_goal', PolicyOptions(precision='w4a4', keep=154))

The fields of PolicyOptions carry everything that their parameters (ros/vla/config.py), command
line options (commands/options.py) and launch arguments (launch/) are made of.  Nothing here
imports torch, so that all of it is checked before anything slow begins.
"""

from __future__ import annotations

from dataclasses import dataclass, Field, field, fields
import re

from .control.action_space import ActionSpace
from .errors import ConfigError
from .numerics.precision import AUTO, OWN, PARTS, PRECISIONS
from .support.validation import is_count, is_number, nearest
from .tokens.choice import BUDGETS, DROPPED, METHODS, SelectionConfig
from .tokens.farthest import TIES

DTYPES = ('float32', 'bfloat16', 'float16')
VISION_DTYPES = (AUTO, 'float32', 'bfloat16', 'int8')
_LARGEST = 2 ** 31 - 1


@dataclass(frozen=True)
class Option:
    """
    What is known of one field besides its default.

    low, high: range, None for any.  choices: of a text, or of each in a list of texts; empty for
    any.  unset: what stands for None in YAML and on the command line, where that is the default.
    parameter, flag: other names than the field's in ROS and on the command line.  live: whether a
    running node takes a change.
    """

    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unset: object = None
    parameter: str = ''
    flag: str = ''
    live: bool = False


def option(default, description: str, low=None, high=None, **facts) -> Field:
    """Return a dataclass field with an Option; facts: of Option."""
    return field(default=default, metadata={'option': Option(description, low, high, **facts)})


def known(item: Field) -> Option:
    """Return what is known of a field that `option` made."""
    return item.metadata['option']


def renamed(item: Field, name: str, default) -> Field:
    """Return an option under another name and with another default."""
    result = field(default=default, metadata=dict(item.metadata))
    result.name = name
    return result


def plain_default(item: Field):
    """Return the default as YAML and the command line write it, a list as a tuple."""
    return known(item).unset if item.default is None else item.default


def parameter_name(item: Field) -> str:
    """Return the name of the ROS parameter and launch argument."""
    return known(item).parameter or item.name


def flag_name(item: Field) -> str:
    """Return the option of the command line."""
    return known(item).flag or '--' + item.name.replace('_', '-')


def title(item: Field) -> str:
    """Return the names of an option for messages: Python's, and those that differ from it."""
    others = [known(item).flag] if known(item).flag else []
    if known(item).parameter:
        others.append(f'parameter {known(item).parameter}')
    return f'{item.name} ({", ".join(others)})' if others else item.name


def description(item: Field) -> str:
    """Return what an option is, and the values that it may have."""
    facts = known(item)
    return facts.description + (f' One of {", ".join(facts.choices)}.' if facts.choices else '')


def from_text(item: Field, text: str):
    """Return the value that a text says, in the type of the parameter; raise ConfigError."""
    kind = type(plain_default(item))
    if is_list_of_numbers(item):
        return _numbers_from_text(item, text)
    if kind is tuple:
        return tuple(text.replace(',', ' ').split())
    if kind is bool:
        value = {'true': True, 'false': False}.get(text.lower())
    else:
        try:
            value = kind(text)
        except ValueError:
            value = None
    if value is None:
        raise ConfigError(f'{title(item)} is {text!r}, expected {_expected(item)}')
    return value


def _expected(item: Field) -> str:
    facts = known(item)
    between = '' if facts.low is None else f' from {facts.low} to {facts.high}'
    return _KINDS[type(plain_default(item))] + between


_KINDS = {str: 'a text', int: 'a whole number', float: 'a number', bool: 'true or false',
          tuple: 'a list of texts'}


def checked(item: Field, value):
    """
    Return a value in the type of its field; raise ConfigError, naming the option, if it has none.

    None and what stands for it become the default; [''] is how a list is empty in ROS.
    """
    facts, kind = known(item), type(plain_default(item))
    if value is None:
        return item.default
    if is_list_of_numbers(item):
        return _numbers(item, value)
    if not _has_kind(kind, value):
        raise ConfigError(f'{title(item)} is {value!r}, expected {_expected(item)}')
    value = () if kind is tuple and list(value) == [''] else kind(value)
    for name in value if kind is tuple else (value,):
        if facts.choices and name not in (*facts.choices, facts.unset):
            raise ConfigError(f'{title(item)} is {name!r}{nearest(name, facts.choices)}, expected '
                              f'one of {", ".join(facts.choices)}')
    if facts.low is not None and not facts.low <= value <= facts.high:
        raise ConfigError(f'{title(item)} is {value}, expected {facts.low} to {facts.high}')
    return item.default if item.default is None and value == facts.unset else value


def kind_text(item: Field) -> str:
    """Return what an option wants, in words, such as 'a number'."""
    if not is_list_of_numbers(item):
        return _KINDS[type(plain_default(item))]
    count = len(plain_default(item))
    return 'one number, or one a joint' if count == 1 else f'{count} numbers'


def is_list_of_numbers(item: Field) -> bool:
    """Return whether an option is a list of as many numbers as its default has; 1: or of more."""
    default = plain_default(item)
    return isinstance(default, tuple) and len(default) > 0 and isinstance(default[0], float)


def _numbers_from_text(item: Field, text: str) -> tuple[float, ...]:
    words = text.strip(' []').replace(',', ' ').replace('.inf', 'inf').split()
    try:
        return _numbers(item, [float(word) for word in words])
    except ValueError:  # a ConfigError is one
        raise ConfigError(f'{title(item)} is {text!r}, expected {kind_text(item)}') from None


def _numbers(item: Field, value) -> tuple[float, ...]:
    """Return a list of numbers, which may be infinite; raise ConfigError for anything else."""
    count = len(plain_default(item))
    if isinstance(value, str) or not (len(value) == count or 1 == count <= len(value)) or not all(
            isinstance(number, (int, float)) and not isinstance(number, bool)
            and number == number for number in value):
        raise ConfigError(f'{title(item)} is {value!r}, expected {kind_text(item)}')
    return tuple(map(float, value))


def _has_kind(kind: type, value) -> bool:
    if kind is int:
        return is_count(value)
    if kind is float:
        return is_number(value)
    if kind is tuple:
        return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
    return isinstance(value, kind)


@dataclass(frozen=True)
class PolicyOptions:
    """
    All that load_policy takes besides the checkpoint; raises ConfigError when made.

    None is the checkpoint's own, or the usual.  In Python, device and types may be torch's, and
    tokenizer a Path.  action_space: what actions mean to the robot, instead of what the checkpoint
    or its deployment.json declares.  rotate: Hadamard rotations when quantizing here.  prepare:
    give the layers their fastest kernels, which hold the weights in forms of their own; False
    leaves the weights as they can be saved.  capture: replay CUDA graphs; see inference/.
    """

    precision: str | None = option(
        None, "Precision of the decoder; empty or own takes the checkpoint's own, auto what loses "
        'least at full speed on the device, and says why.', unset='',
        choices=(AUTO, OWN, *PRECISIONS))
    device: str = option(
        'cpu', 'Where the policy runs: cpu, cuda, cuda:0 and so on, or auto for a GPU where there '
        'is one. A GPU computes in bfloat16, whose answers differ a little, see dtype.')
    dtype: str | None = option(
        None, 'Type of what is not quantized; empty takes bfloat16 on a GPU and float32 on a CPU.',
        unset='', choices=DTYPES)
    vision_dtype: str = option(
        AUTO, 'Type that the vision encoder and the projector multiply in on a CPU: auto takes '
        'bfloat16 where the processor has AMX, else int8 where the checkpoint says that its '
        'action error was measured and is small (sqap-vla error --record), else float32, and '
        "tells; where dtype is not float32, as on a GPU, dtype's.", choices=VISION_DTYPES)
    int8: tuple[str, ...] = option(
        (), 'Parts outside the decoder to hold at w8a8, of a checkpoint that is not converted '
        'yet; vision saves 0.6 GiB of a 7B model.', choices=PARTS, parameter='int8_parts')
    threads: int | None = option(
        None, "Threads for the policy's arithmetic; 0 leaves PyTorch's choice.", 0, 256, unset=0,
        parameter='torch_threads')
    unnorm_key: str | None = option(
        None, "Data set whose statistics give actions their units; empty takes the checkpoint's.",
        unset='')
    tokenizer: str | None = option(
        None, "Directory with tokenizer.json, for CogACT; empty takes the checkpoint's.", unset='')
    ddim_steps: int | None = option(
        None, 'Denoising steps of a diffusion head, up to 50 of OpenVLA-OFT; -1 takes the '
        "checkpoint's, 0 all 100 of CogACT's DDPM.", -1, 100, unset=-1)
    guidance: float | None = option(
        None, "Guidance of a diffusion head, up to 1 for none; -1 takes the checkpoint's.",
        -1.0, 100.0, unset=-1.0, flag='--cfg-scale')
    seed: int = option(0, 'Seed of the noise of a diffusion head.', 0, _LARGEST)
    ensemble: int | None = option(
        None, 'How many of the last chunks to blend into one action, 0 for none; -1 takes the '
        "checkpoint's.", -1, 1000, unset=-1)
    execute_steps: int | None = option(
        None, 'Rows of an answer to execute before the next image is asked about, up to as many '
        "as it has; 0 takes the checkpoint's.", 0, 1000, unset=0)
    keep: int | None = option(
        None, 'Visual tokens to keep; 0 keeps them all (no pruning).', 0, 4096, unset=0,
        parameter='keep_tokens')
    prune_layer: int | None = option(
        None, 'First decoder layer, counted from 0, that pruned tokens do not reach; 0 takes the '
        "checkpoint's.", 0, 1000, unset=0)
    selection_method: str = option(
        'sqap', 'How tokens are chosen; all but sqap are baselines.', choices=METHODS)
    preserve: bool = option(True, 'Keep the tokens that the task attends to most.')
    preserve_top_k: int = option(32, 'How many tokens preserve may keep.', 0, 4096)
    protect: bool = option(True, 'Keep the tokens round the end effector frames.')
    sample: bool = option(True, 'Fill the budget with spatially spread tokens.')
    sample_ties: str = option(
        'even', 'Which of equally far tokens sample takes first: the lowest index, or evenly '
        'spread ones.', choices=TIES)
    camera_budget: str = option(
        'joint', 'Of a policy that sees several cameras: one budget for all of them, of which '
        'none gets less than half of an equal share, or an equal share for each.',
        choices=BUDGETS, live=True)
    dropped: str = option(
        'gone', 'What becomes of dropped tokens behind prune_layer: gone, or follow, where they '
        'are still seen and change as the nearest kept one does. Answers are then far nearer to '
        'those with all tokens, for a part of what keeping them costs; best where few are kept.',
        choices=DROPPED, parameter='dropped_tokens')
    selection_seed: int = option(0, 'Seed of random token choices.', 0, _LARGEST)
    radius_patches: float = option(
        2.0, 'Radius of the protected disk round each frame [patches].', 0.0, 64.0,
        parameter='protected_radius')
    action_space: ActionSpace | None = field(default=None)
    rotate: bool = field(default=True)
    prepare: bool = field(default=True)
    capture: bool = field(default=True)

    def __post_init__(self):
        """Check each value, and bring it into the type of its field."""
        for name in ('device', 'dtype', 'vision_dtype', 'tokenizer'):
            if getattr(self, name) is not None:
                self._set(name, str(getattr(self, name)).removeprefix('torch.'))
        for item in OPTIONS:
            self._set(item.name, checked(item, getattr(self, item.name)))
        if self.precision == OWN:
            self._set('precision', None)
        if not re.fullmatch(r'cpu|auto|cuda(:\d+)?', self.device):
            raise ConfigError(f"device is {self.device!r}, expected 'cpu', 'cuda', 'cuda:0' and "
                              "so on, or 'auto'")

    def _set(self, name: str, value) -> None:
        object.__setattr__(self, name, value)

    @property
    def selection(self) -> SelectionConfig | None:
        """Return how visual tokens are chosen, None to keep them all."""
        if self.keep is None:
            return None
        return SelectionConfig(
            keep=self.keep, preserve_top_k=self.preserve_top_k, preserve=self.preserve,
            protect=self.protect, sample=self.sample, method=self.selection_method,
            seed=self.selection_seed, ties=self.sample_ties, budget=self.camera_budget,
            dropped=self.dropped)


OPTIONS = tuple(item for item in fields(PolicyOptions) if 'option' in item.metadata)
