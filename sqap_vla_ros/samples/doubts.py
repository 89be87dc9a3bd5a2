# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What of recorded observations is unlike what a checkpoint was trained on, in words."""

from __future__ import annotations

from collections import Counter

import numpy as np

from .sample import Samples
from ..errors import ConfigError, ObservationError
from ..formats.source import Source
from ..inference.inputs import ModelInputs
from ..ingest.image_health import statistics
from ..model.prompt import check_known, make_prompt

WIDE = 3.0  # standard deviations, where the statistics hold no bounds
FEW = 8
MOST_OUTSIDE = 0.1  # of the samples; between q01 and q99 lie 98 % of what was trained on
LEAST_OUTSIDE = 3  # samples: one or two of a few are chance
LEAST_SEEN = 0.02  # that black images change actions, if a policy looks; a bundled one had 0.1
LOOKS = 0.6  # of a black image's error; the bundled policy has 0.3, of another camera 0.8
LEAST_CONTRAST = 3.0  # levels, as the node's parameter min_contrast


def model_inputs(source: Source) -> ModelInputs:
    """Return what turns samples into tensors, of the first data set where none is chosen."""
    config = source.config
    prompt = make_prompt(config.prompt, source.read_tokenizer(), config.model.text_length,
                         config.model.llm.vocab_size)
    key = config.unnorm_key or next(iter(source.norm_stats))  # only a state's depend on it
    return ModelInputs(config, source.with_key(key).statistics(), prompt)


def check_samples(samples: Samples, source: Source) -> None:
    """Raise ConfigError, with its place among the samples, for one that a policy cannot take."""
    inputs = model_inputs(source)
    for index, sample in enumerate(samples.samples):
        try:
            check_known(sample.instruction, source.config.instructions)
            inputs.token_ids(sample.instruction)
            inputs.state(sample.state)
            _check_action(sample.action, inputs.statistics)
        except ObservationError as error:
            raise ConfigError(f'samples of {samples.name}: {error} (sample {index + 1} of '
                              f'{len(samples.samples)}, episode {sample.episode})') from error


def _check_action(action: np.ndarray | None, stats: dict) -> None:
    width = len(stats['low'])
    if action is not None and action.shape[1] != width:
        raise ObservationError(
            f'its recorded actions have {action.shape[1]} numbers, and those of the checkpoint '
            f'{width}: it is of another robot. Give what the robot of this checkpoint recorded')


def doubts(samples: Samples, source: Source) -> list[str]:
    """Return what makes it doubtful that samples are of the checkpoint's robot and camera."""
    return [f'{samples.name}: {text}' for text in (
        *_blank(samples), *_sizes(samples), *_states(samples, model_inputs(source)))]


def unseen(seen: float) -> str:
    """
    Return why full precision may not look at samples, '' if it does.

    seen: how far its actions are from those with black images, on average, in units of -1..1.
    """
    return '' if seen >= LEAST_SEEN else (
        f'with black images in place of these full precision answers the same but for '
        f'{seen:.4f}, expected at least {LEAST_SEEN:g}: it sees nothing in them that it acts on, '
        'so the action error says little. Are they of the camera and scene that the policy was '
        'trained on?')


def unknown_pictures(seeing: float, blind: float) -> str:
    """
    Return why full precision may not know the pictures, '' if it does.

    seeing, blind: how far its actions are from those that were recorded, on average, with the
    pictures and with black ones in their place.
    """
    return '' if seeing <= LOOKS * blind else (
        f'full precision is {seeing:.3f} from the recorded actions, and {blind:.3f} with a '
        'black image in place of each: it does not know these pictures. Are they of '
        "another camera or robot, or are actions in other units than the checkpoint's?")


def few(samples: Samples, source: Source) -> str:
    """Return why samples are too few to round weights by, '' if they are not."""
    count, llm = len(samples.samples), source.config.model.llm
    rows, widest = count * source.config.model.num_visual, max(
        llm.hidden_size, llm.intermediate_size)
    if count < FEW:
        return (f'{samples.name}: {count} sample{"s" * (count != 1)} to round by, expected at '
                f'least {FEW}: with fewer GPTQ takes less of the error away. Give more, of '
                'other episodes')
    if rows < widest:
        enough = -(-widest // source.config.model.num_visual)
        return (f'{samples.name}: {count} samples give {rows} visual tokens, and the widest layer '
                f'has {widest} inputs: give --samples {enough} or more')
    return ''


def _blank(samples: Samples) -> list[str]:
    found = [f'sample {index + 1}' for index, sample in enumerate(samples.samples)
             if any(statistics(image).contrast < LEAST_CONTRAST for image in sample.images)]
    if not found:
        return []
    return [f'{len(found)} of {len(samples.samples)} have an image that shows nothing (a contrast '
            f'below {LEAST_CONTRAST:g} levels of 255), the first is {found[0]}: was the lens '
            'covered or the light off? Leave them out']


def _sizes(samples: Samples) -> list[str]:
    counts = Counter(tuple(image.shape[1::-1] for image in sample.images)
                     for sample in samples.samples)
    if len(counts) < 2:
        return []
    listed = ', '.join(f'{number} of {" and ".join(f"{w} x {h}" for w, h in sizes)}'
                       for sizes, number in counts.most_common(4))
    return [f'the images have {len(counts)} sizes, {listed}: are all of one camera?']


def _states(samples: Samples, inputs: ModelInputs) -> list[str]:
    if not inputs.state_names:
        return []
    states = np.array([sample.state for sample in samples.samples], np.float64)
    low, high, known = state_range(inputs.statistics)
    outside = ((states < low) | (states > high)) & known
    counts, share = outside.sum(axis=0), outside.mean(axis=0)
    usual = '' if 'state_low' in inputs.statistics else f', mean +-{WIDE:g} deviations'
    worst = np.argsort(-share, kind='stable')[:3]
    told = [f'{inputs.state_names[index]} in {share[index]:.0%} of them ('
            f'{states[:, index].min():.3g} .. {states[:, index].max():.3g}, trained on '
            f'{low[index]:.3g} .. {high[index]:.3g}{usual})' for index in worst
            if share[index] > MOST_OUTSIDE and counts[index] >= LEAST_OUTSIDE]
    return [f'states lie outside what the checkpoint was trained on: {"; ".join(told)}. Are they '
            'of its robot, in its frames and units?'] if told else []


def state_range(stats: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return low, high [S] of the states that were trained on, and where they are known."""
    if 'state_low' in stats:
        known = stats['state_mask'] & (stats['state_high'] > stats['state_low'])
        return stats['state_low'], stats['state_high'], known
    mean, std = (np.asarray(stats[name], np.float64) for name in ('state_mean', 'state_std'))
    return mean - WIDE * std, mean + WIDE * std, np.ones(len(mean), bool)
