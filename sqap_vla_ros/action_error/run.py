# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Action errors of variants of a checkpoint against its full precision: `sqap-vla error`.

All variants are asked about the same recorded observations; nothing is executed, and no simulator
is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from .asking import Answers, Asked, FULL, REPEAT
from .columns import Columns, columns_of, Differences, differences
from .doubts import answers_doubts, doubts, learnt_doubts
from .memory import check_memory
from .options import ErrorOptions, SHARES
from .prediction import Prediction, shipped_fit
from .resampling import Resampling
from .summary import summarize
from ..errors import ConfigError
from ..evaluate.encoder_type import rounded_vision
from ..evaluate.evaluation import auto_of, check_keep, check_rows
from ..evaluate.plan import plan_rows, Row
from ..formats import open_checkpoint
from ..formats.source import Source
from ..loading.chosen_options import with_options
from ..loading.encoder_error import read_encoder_error
from ..options import PolicyOptions
from ..samples.doubts import check_samples
from ..samples.sample import Samples
from ..support.checkpoint_files import digest
from ..support.progress import Progress
from ..tokens.choice import FOLLOW


@dataclass(frozen=True, eq=False)
class Measured:
    """
    What was found.

    source: the checkpoint.  learnt: what GPTQ learns from where a curve is asked for, else None.
    answers: of each row, full precision's and controls' among them.
    found: how far they are from full precision's, or what was asked twice from the first time.
    table: see summary.summarize.  doubts: why all of it may not be what it seems.  rounded: in
    which type encoders multiply, see encoder_type.rounded_vision; not that of full precision.
    """

    options: ErrorOptions
    asked: Asked
    source: Source
    samples: Samples
    learnt: Samples | None
    columns: Columns
    resampling: Resampling
    prediction: Prediction
    answers: dict[Row, Answers]
    found: dict[Row, Differences]
    table: list[dict]
    doubts: tuple[str, ...]
    rounded: dict

    @property
    def tokens(self) -> int:
        """Return how many visual tokens there are."""
        return self.source.config.model.num_visual

    @property
    def full(self) -> Answers:
        """Return full precision's answers with all tokens."""
        return self.answers[FULL]

    def lost(self, row: Row) -> dict | None:
        """
        Return what episodes lost with a row: of this policy, these weights, this choice of tokens.

        It is a dict of Fit.rows or Fit.beside, None where no episodes were run with it.
        """
        if not self.prediction.is_own:
            return None
        fit, common = self.prediction.fit, self.options.policy
        chosen, usual = ((row.selection(options), options.prune_layer, options.radius_patches)
                         for options in (common, PolicyOptions(dropped=common.dropped)))
        if row.method is not None and chosen != usual:
            return None
        is_followed = chosen[0] is not None and chosen[0].dropped == FOLLOW
        method = FOLLOW if is_followed else row.method
        source = self.asked.source(row)
        weights = None if source == self.options.checkpoint else digest(source)
        wanted = row.precision, method, row.keep or self.tokens, weights
        return next((each for each in (*fit.rows, *fit.beside) if (
            each['precision'], each['method'], each['tokens'], each['weights']) == wanted), None)


def measure(options: ErrorOptions, read: Callable[..., Samples],
            check: Callable[[Resampling], None] = lambda resampling: None) -> Measured:
    """
    Ask all variants about all frames.

    read(place, source, count, flag) gives samples for a checkpoint, see commands/sample_options.
    check: of their episodes, before anything is asked, may raise ConfigError.
    Raises CheckpointError, ConfigError or ObservationError for what cannot be compared, most of
    it before a weight is read.
    """
    source, rows = original(options)
    rounded = rounded_vision(options.checkpoint, options.policy, rows, options.quantized)
    config = source.config
    columns = columns_of(config, source.statistics())
    samples, learnt = _read(options, source, read)
    asked = Asked(options.checkpoint, rows,
                  _without_ensemble(options.policy, config, columns), options.quantized,
                  partial(read_encoder_error, source))
    resampling = Resampling([sample.episode for sample in samples.samples], options.policy.seed)
    check(resampling)
    answers = _asked(asked, samples, config)
    found = _compared(answers, asked.rows, columns)
    told = [*learnt_doubts(samples, options.quantized), *doubts(
        samples, source, resampling, any(row.method == 'sqap' for row in asked.rows)),
            *answers_doubts(samples, columns, answers, found)]
    fit = shipped_fit()
    prediction = Prediction(fit, digest(options.checkpoint) == fit.digest)
    table = summarize(found, columns, resampling, config.model.num_visual, prediction)
    return Measured(options, asked, source, samples, learnt, columns, resampling, prediction,
                    answers, found, table, tuple(told), rounded)


def _read(options: ErrorOptions, source: Source, read) -> tuple[Samples, Samples | None]:
    """Return what is asked, and what a curve learns from; raise ConfigError for bad ones."""
    samples = read(options.samples, source, options.frames, '--samples')
    check_samples(samples, source)
    if not options.calibrate:
        return samples, None
    learnt = read(options.calibration, source, max(options.calibrate), '--calibration')
    check_samples(learnt, source)
    return samples, learnt


def _without_ensemble(policy: PolicyOptions, config, columns: Columns) -> PolicyOptions:
    """Return what lets single answers be compared: an ensemble blends neighbours."""
    if not config.ensemble:
        return policy
    return replace(policy, ensemble=0, execute_steps=columns.rows)


def _compared(answers: dict[Row, Answers], rows, columns: Columns) -> dict[Row, Differences]:
    """
    Return each row from full precision, and what was asked twice from the first time.

    rows: in the order that was asked for; controls come behind them.
    """
    controls = [row for row in answers if row.control != 'none']
    return {row: differences(
        columns, answers[row].actions,
        answers[replace(row, control='none') if row.control == REPEAT else FULL].actions)
        for row in (*rows, *controls)}


def original(options: ErrorOptions) -> tuple[Source, tuple[Row, ...]]:
    """
    Return the checkpoint, with what the caller chose, and the rows that are asked of it.

    Raises ConfigError for a converted one, for a --quantized that was not made of it or serves
    no row, and for what does not fit into memory.
    """
    with Progress('reading the checkpoint'):
        source = open_checkpoint(options.checkpoint, options.policy.tokenizer).with_key(
            options.policy.unnorm_key)
        if stored := source.config.quantization:
            raise ConfigError(
                f'{options.checkpoint} is converted ({stored.get("precision")}): it holds no full '
                'precision to compare with. Name the original as CHECKPOINT, and this one as '
                f'--quantized {options.checkpoint}')
        config = with_options(source.config, options.policy)
    rows = planned(options, config)
    check_rows(source, rows, options.quantized and str(options.quantized))
    check_memory(config.model, {row.precision for row in (FULL, *rows)}, options.policy)
    return replace(source, config=config), rows


def planned(options: ErrorOptions, config) -> tuple[Row, ...]:
    """Return the rows that are asked for but full precision; raise ConfigError for what is not."""
    total = config.model.num_visual
    keep = options.keep or tuple(round(share * total) for share in SHARES)
    rows = plan_rows(options.variants, keep, ('none',), (),
                     auto_of(options.variants, config, options.policy, options.quantized))
    if any(row.method for row in rows):
        check_keep(keep, total)
    return tuple(row for row in rows if row != FULL)


def _asked(asked: Asked, samples: Samples, config) -> dict[Row, Answers]:
    observations = [sample.observation(config.cameras) for sample in samples.samples]
    total = asked.asked * len(observations)
    with Progress('asking all variants', total=total, unit='answer') as progress:
        return {each.row: each for each in asked.answers(
            observations, lambda name: progress.advance(note=name))}
