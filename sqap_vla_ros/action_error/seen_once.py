# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Each picture is looked at once: what the encoder makes of it serves all variants.

Variants differ in the decoder; the encoder of one checkpoint's files is the same in all of them,
and in a small policy it is most of the work.
"""

from __future__ import annotations

from contextlib import contextmanager

from torch import nn

MOST_BYTES = 2 ** 29  # of remembered features; what comes later is computed each time


class Remembered:
    """Features of pictures by the number of their frame; `frame` is set before each."""

    def __init__(self):
        """Remember nothing yet."""
        self.frame, self._features, self._bytes = 0, {}, 0

    def of(self, make):
        """Return the features of the frame, which make() computes where they are not known."""
        if self.frame not in self._features:
            features = make()
            size = features.numel() * features.element_size()
            if self._bytes + size > MOST_BYTES:
                return features
            self._features[self.frame] = features.clone()
            self._bytes += size
        return self._features[self.frame]


class _Encoder(nn.Module):
    """An encoder that asks what is remembered first."""

    def __init__(self, encoder: nn.Module, remembered: Remembered):
        super().__init__()
        self._encoder, self._remembered = encoder, remembered

    def forward(self, *arguments, **named):
        """Return what the encoder returns."""
        return self._remembered.of(lambda: self._encoder(*arguments, **named))


@contextmanager
def seen_once(policy, remembered: Remembered | None):
    """
    Let a policy use what is remembered, and have its own encoder again behind it.

    Nothing is shared without it, on a GPU (which replays graphs), or where the prompt has a part
    in what the encoder does.
    """
    model = policy.model
    if remembered is None or policy.device.type != 'cpu' or model.config.film:
        yield
        return
    encoder = model.vision
    model.vision = _Encoder(encoder, remembered)
    try:
        yield
    finally:
        model.vision = encoder
