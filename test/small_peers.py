# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A small network as other libraries run it in benchmarks/cpu_peers.py."""
from peers import parts
from sqap_vla_ros.bench import sizes
from sqap_vla_ros.model import llama, vit


def small_peer(monkeypatch, shape):
    """
    Return the network and what it is given; its size's name is 'tiny' until monkeypatch ends.

    shape: of its decoder, as bench/sizes.py has them.
    """
    monkeypatch.setitem(sizes._DECODERS, 'tiny', shape)
    for module in (llama, vit):  # which plain_model changes
        monkeypatch.setattr(module, 'attend', module.attend)
    monkeypatch.setattr(llama, 'HAS_RMS_NORM', llama.HAS_RMS_NORM)
    model = parts.plain_model(parts.peer_config('tiny'))
    return model, parts.Given.of(model)
