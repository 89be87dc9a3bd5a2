# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The action head of OpenVLA-OFT: a whole chunk from one pass in which every token sees every token.

    [BOS] [patches, image by image] [state] [time] [prompt .. 29871] [placeholders] [stop]

There is a placeholder for each value of each step.  They are zeros, or where the head diffuses the
noisy values themselves, and the token of the denoising step stands behind the state.  A value is
read from the row in front of its placeholder, as next-token prediction has it.  The modules are
in oft_heads.py.  See Kim et al., arXiv 2502.19645.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError
from ..support.validation import check_counts

READINGS = ('regression', 'diffusion', 'tokens')


@dataclass(frozen=True)
class OFTHeadConfig:
    """
    A chunk of `chunk_length` actions of `action_dim` values.

    reads: 'regression' (trained with an L1 loss), 'diffusion' (the placeholders are noisy actions,
    and the network is run once a step) or 'tokens' (the language model's own output layer).
    width, blocks: of the head's residual blocks.  training_steps, ddim_steps: of 'diffusion'.
    bins, vocab_end: of 'tokens', see TokenHeadConfig.
    """

    chunk_length: int = 8
    action_dim: int = 7
    reads: str = 'regression'
    width: int = 4096
    blocks: int = 2
    training_steps: int = 50
    ddim_steps: int = 50
    bins: int = 256
    vocab_end: int = 32000
    kind: str = 'oft'

    def __post_init__(self):
        """Raise ConfigError for a chunk without actions, or a reading that there is not."""
        check_counts(self, 'chunk_length', 'action_dim', 'width', 'blocks', 'training_steps',
                     'ddim_steps')
        if self.reads not in READINGS:
            raise ConfigError(f'reads is {self.reads!r}, expected one of {READINGS}')
        if self.ddim_steps > self.training_steps:
            raise ConfigError(f'ddim_steps is {self.ddim_steps}, expected at most the '
                              f'{self.training_steps} of training')

    @property
    def placeholders(self) -> int:
        """Return the number of rows between the prompt and the stop token, one a value."""
        return self.chunk_length * self.action_dim

    @property
    def diffuses(self) -> bool:
        """Whether the network is run once for each denoising step."""
        return self.reads == 'diffusion'

    def rows(self, length: int) -> range:
        """Return the rows that are read of a sequence, whatever was dropped in front of them."""
        return range(length - self.placeholders - 2, length - 2)


def score_rows(config, length: int) -> range:
    """
    Return the rows of a whole sequence whose attention scores the patches.

    config: a VLAConfig.  They are the prompt's, behind BOS, and those that are read, which follow
    them.  Placeholders of a head that regresses are zeros, whose attention is uniform in the first
    block; in the second their queries hold no more than the mean of all tokens, and ask what was
    learned all the same.  Measured by benchmarks/pruning_images.py.
    """
    head = config.head
    first = config.prefix + config.num_visual + (config.state_dim > 0) + head.diffuses
    return range(first, head.rows(length).stop)
