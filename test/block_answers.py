# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Small networks whose blocks run natively or plain, and how answers are compared."""
from sqap_vla_ros.kernels import native_block
from sqap_vla_ros.quant import prepare_kernels, quantize_model
import torch


def attend_in_floats(monkeypatch):
    """Have native blocks attend in floats where there is AMX, too, as plain ones do."""
    monkeypatch.setattr(native_block, 'attention_bits', lambda behind: 32)


def quantized(model, precision='w4a8', **options):
    _rounds[0] = precision not in ('fp', 'w4a16') or bool(options.get('overrides'))
    if precision != 'fp':
        quantize_model(model, precision, **options)
        prepare_kernels(model)
    return model


def random(*shape, seed=2):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


_rounds, _compared, _ties = [False], [], []


def close(found, expected, limit=1e-5):
    """
    Assert that answers agree to the limit, but for a value at a tie in a few of rounded networks.

    Sums in another order put a value in about ten thousand on the other side of a tie, which ones
    by the processor: then an integer is another one, and answers differ by some thousandths.
    Networks are those that `quantized` made last; float ones have no ties.
    """
    if expected is None or expected.dtype == torch.int64:
        assert found is expected or torch.equal(found, expected)
        return
    off = float((found - expected).abs().max() / expected.abs().max().clamp(min=1.0))
    _compared.append(off)
    if _rounds[0] and limit < off <= 0.01:
        _ties.append(off)
        assert len(_ties) <= 2 + 0.1 * len(_compared), f'{_ties} of {len(_compared)} are off'
    else:
        assert off <= limit, f'off by {off:.1e}, not {limit:.1e}'
