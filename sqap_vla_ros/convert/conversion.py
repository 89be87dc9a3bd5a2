# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Convert one checkpoint: check everything, stream the units, finish the directory."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
from dataclasses import dataclass
import hashlib
import json
from pathlib import Path

import torch

from .calibration import decoder_inputs
from .work import WorkDirectory
from .. import __version__
from ..errors import CheckpointError, ConfigError, UnreadableError
from ..evaluate.converted import WEIGHTS
from ..formats import Source
from ..formats.checkpoint import CheckpointConfig, config_to_dict, file_contents
from ..formats.lora import CONFIG as ADAPTER_CONFIG, WEIGHTS as ADAPTER_WEIGHTS
from ..formats.reading import unreadable
from ..formats.tensor_file import layout_bytes
from ..loading.stream import Stream
from ..loading.units import empty_model, make_layout, make_record, make_units, Unit, unit_bytes
from ..model.prompt import make_prompt
from ..quant import QuantScheme
from ..samples.sample import Samples
from ..support.checkpoint_files import weights_digest
from ..support.files import saving_to

FLOAT_TYPES = {'bfloat16': torch.bfloat16, 'float16': torch.float16, 'float32': torch.float32}


@dataclass(frozen=True)
class Task:
    """
    What to make of a checkpoint.

    float_type: of what stays in floats, one of FLOAT_TYPES.  calibration: of GPTQ; None rounds
    to nearest.
    """

    source: Source
    scheme: QuantScheme
    float_type: str = 'bfloat16'
    calibration: Samples | None = None

    def __post_init__(self):
        """Raise ConfigError for an unknown float type, or weights that are quantized already."""
        if self.float_type not in FLOAT_TYPES:
            raise ConfigError(f'float type {self.float_type!r} is unknown: use one of '
                              f'{", ".join(FLOAT_TYPES)}')

        record = self.source.config.quantization
        if record:
            raise ConfigError(
                f'{self.source.path} is converted already ({record.get("precision")}), expected '
                'weights in floats: name the original checkpoint')

    def in_words(self) -> dict[str, str]:
        """Return everything that the result depends on, to compare with an earlier run."""
        words = {name: str(value) for name, value in dataclasses.asdict(self.scheme).items()}
        return {**words, 'float_type': self.float_type, 'source': _fingerprint(self.source),
                'calibration': self.calibration.fingerprint if self.calibration else 'none',
                'unnorm_key': self.source.config.unnorm_key, 'version': __version__}


def convert(task: Task, out, progress: Callable[[Unit, int], None] = lambda unit, size: None,
            note: Callable[[str], None] = lambda text: None) -> int:
    """
    Write the converted checkpoint directory `out` and return the bytes of its weights.

    progress(unit, bytes) is called for each unit that is done; note(text) with what a person
    may want to know.  Raises CheckpointError for an original that cannot be used and
    ConfigError for options that do not fit, and leaves nothing behind then; ConfigError for a
    disk that is full and UnreadableError for an original whose disk fails.  What such a run, or a
    killed one, has done is taken up by the next.
    """
    float_type = FLOAT_TYPES[task.float_type]
    stream = Stream(task.source, task.scheme, float_type)
    config, tokenizer = check(task, stream)
    layout = make_layout(empty_model(config.model, config.quantization), float_type)
    out = Path(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f'{out.parent} cannot be made ({error}): name another OUT') from error
    with saving_to(out.parent, layout_bytes(layout), 'nothing was written'):
        work = WorkDirectory(out, task.in_words(), layout)
    with saving_to(out.parent, layout_bytes(layout), f'what is done is in {work.path}'):
        try:
            units = make_units(task.source.tensors.shapes, layout)
            _convert_units(task, stream, units, work, progress, note)
            work.finish(file_contents(
                _with_digest(config, task.source), task.source.norm_stats, tokenizer))
        except UnreadableError as error:
            raise UnreadableError(f'{error}; {work.summary(len(units))}: start the same command '
                                  'again when the file can be read (from another copy, with its '
                                  'time stamp: cp -p)') from error
        except (CheckpointError, ConfigError):  # another run would end here too
            work.discard()
            raise
        finally:
            work.close()
    return work.size


def check(task: Task, stream: Stream):
    """
    Return the converted checkpoint's config and its tokenizer.

    Raises CheckpointError or ConfigError, before anything is written, for what can be known
    without reading weights.
    """
    source = task.source
    tokenizer, model = source.read_tokenizer(), source.config.model
    make_prompt(source.config.prompt, tokenizer, model.text_length, model.llm.vocab_size)
    source.tensors.check(stream.model.state_dict())
    record = make_record(stream.model, task.scheme, task.calibration is not None)
    conversion = {'name': source.path.resolve().name, 'family': source.family,
                  'float_type': task.float_type, 'version': __version__}
    if task.calibration:
        conversion['calibration'] = task.calibration.record
    return dataclasses.replace(
        source.config, quantization=record, conversion=conversion), tokenizer


def _with_digest(config: CheckpointConfig, source: Source) -> CheckpointConfig:
    """Return the config with what tells the original again; raise UnreadableError."""
    try:
        found = weights_digest(source.tensors)
    except OSError as error:
        raise unreadable(Path(error.filename or source.path), error) from error
    return dataclasses.replace(config, conversion={**config.conversion, WEIGHTS: found})


def _convert_units(task: Task, stream: Stream, units: list[Unit], work: WorkDirectory, progress,
                   note) -> None:
    """Convert what is not done yet: the decoder blocks in order, then everything else."""
    tensors = task.source.tensors
    blocks = sorted((unit for unit in units if unit.block is not None), key=lambda u: u.block)
    others = [unit for unit in units if unit.block is None]
    inputs, left = None, [unit for unit in blocks if not work.is_done(unit)]
    if task.calibration and left:
        left = blocks[left[0].block:]  # later ones saw what this one gave
        inputs = work.read_inputs(left[0].block)
        if inputs is None:
            left = blocks
            note(f'computing what the decoder gets for {len(task.calibration.samples)} '
                 'calibration samples')
            inputs = stream.rotated(decoder_inputs(task.source, task.calibration))
            work.save_inputs(0, inputs)
    left += [unit for unit in others if not work.is_done(unit)]
    if len(left) < len(units):
        note(f'{len(units) - len(left)} of {len(units)} parts were done by an earlier run')
    for unit in units:
        if unit not in left:
            progress(unit, unit_bytes(unit, tensors))
    for unit in left:
        given = inputs if unit.block is not None else None
        work.save(unit, stream.convert(unit, given), given)
        progress(unit, unit_bytes(unit, tensors))


def _fingerprint(source: Source) -> str:
    """Return a digest of what the original is, without reading its weights."""
    tensors = source.tensors
    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in tensors.files]
    content = [files, sorted((name, str(tensors.dtypes[name]), shape)
                             for name, shape in tensors.shapes.items()),
               config_to_dict(source.config), source.norm_stats]
    content += [file.with_name(ADAPTER_CONFIG).read_text() for file in tensors.files
                if file.name == ADAPTER_WEIGHTS]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
