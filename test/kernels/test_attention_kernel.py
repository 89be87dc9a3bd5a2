# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The native attention against torch's in float64, and what is left to torch."""
from kernel_layers import needs_level
import pytest
from sqap_vla_ros.kernels import attention, levels
from sqap_vla_ros.kernels.attention import attend, native_attention
import torch
from torch.nn import functional as F

# heads, key-value heads, queries, keys, width, causal
CASES = [(4, 2, 285, 285, 64, True), (9, 3, 77, 77, 64, True), (2, 2, 13, 200, 72, False),
         (3, 1, 130, 130, 20, True), (4, 4, 64, 64, 128, True), (2, 2, 31, 31, 8, False),
         (4, 2, 13, 200, 72, True), (2, 1, 100, 130, 64, True), (1, 1, 12, 64, 16, True)]


@pytest.fixture(params=range(1, len(levels.NAMES)), ids=levels.NAMES[1:])
def level(request):
    needs_level(request.param)
    return request.param


def random_heads(heads, kv_heads, queries, keys, width, batch=2):
    """Return q, k, v as they leave the projections: heads side by side in memory."""
    generator = torch.Generator().manual_seed(heads * queries)
    return (torch.randn(batch, queries, heads, width, generator=generator).transpose(1, 2),
            *(torch.randn(batch, keys, kv_heads, width, generator=generator).transpose(1, 2)
              for _ in 'kv'))


def exact(q, k, v, causal):
    """Return it in float64; causal: the queries are those of the last tokens."""
    groups, behind = q.shape[1] // k.shape[1], k.shape[2] - q.shape[2]
    k, v = (x.double().repeat_interleave(groups, dim=1) for x in (k, v))
    before = torch.zeros(*q.shape[:2], behind, q.shape[3], dtype=torch.float64)
    q = torch.cat([before, q.double()], dim=2) if causal else q.double()
    found = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return found[:, :, behind:] if causal else found


@pytest.mark.parametrize('case', CASES, ids=str)
@torch.inference_mode()
def test_it_is_as_accurate_as_torch(level, case):
    *sizes, causal = case
    q, k, v = random_heads(*sizes)
    expected = exact(q, k, v, causal)
    assert (native_attention(q, k, v, causal, level) - expected).abs().max() < 3e-6


@pytest.mark.parametrize('native', [True, False], ids=['native', 'torch'])
@torch.inference_mode()
def test_each_query_sees_so_many_keys(level, native):
    q, k, v = random_heads(4, 2, 40, 150, 24)
    seen = torch.randint(1, 151, (40,), generator=torch.Generator().manual_seed(3)).sort().values
    seen = torch.cat([seen[:-1], torch.tensor([150])]).int()
    mask = torch.arange(150) < seen[:, None]
    keys, values = (x.double().repeat_interleave(2, dim=1) for x in (k, v))
    expected = F.scaled_dot_product_attention(q.double(), keys, values, attn_mask=mask)
    found = native_attention(q, k, v, False, level, seen) if native else attend(
        q.double(), k.double(), v.double(), seen=seen)
    assert (found - expected).abs().max() < 3e-6


@pytest.mark.parametrize('threads', [2, 3, 8])
@torch.inference_mode()
def test_threads_change_no_bit(level, threads):
    q, k, v = random_heads(6, 2, 40, 40, 32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = native_attention(q, k, v, True, level)
        torch.set_num_threads(threads)
        assert torch.equal(native_attention(q, k, v, True, level), expected)
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def test_large_scores_do_not_overflow(level):
    q, k, v = random_heads(2, 2, 30, 30, 64)
    found = native_attention(q * 100, k * 100, v, True, level)
    assert torch.allclose(found, exact(q * 100, k * 100, v, True).float(), atol=1e-3)


@torch.inference_mode()
def test_a_later_token_changes_nothing_before_it(level):
    q, k, v = random_heads(2, 1, 50, 50, 16)
    before = native_attention(q, k, v, True, level)
    k[:, :, 30:] = 7.0
    v[:, :, 30:] = 9.0
    after = native_attention(q, k, v, True, level)
    assert torch.equal(after[:, :, :30], before[:, :, :30])
    assert not torch.equal(after[:, :, 30:], before[:, :, 30:])


@torch.inference_mode()
def test_nan_stays_visible(level):
    q, k, v = random_heads(1, 1, 20, 20, 16)
    q[0, 0, 5, 3] = float('nan')
    found = native_attention(q, k, v, True, level)[0, 0]
    assert found[5].isnan().all() and not found[6:].isnan().any()
    q, k, v = random_heads(1, 1, 20, 20, 16)
    k[0, 0, 5, 3] = float('nan')
    assert native_attention(q, k, v, True, level)[0, 0, 5:].isnan().all()


def no_native(*arguments):
    raise AssertionError('this call belongs to torch')


@pytest.mark.parametrize('change', [
    lambda x: x.bfloat16(), lambda x: x.requires_grad_(), lambda x: x[:, :, :1],
    lambda x: x.transpose(2, 3).contiguous().transpose(2, 3)],
    ids=['bfloat16', 'gradient', 'one query', 'channels apart'])
def test_the_rest_is_left_to_torch(change, monkeypatch):
    monkeypatch.setattr(attention, 'native_attention', no_native)
    monkeypatch.setattr(attention, 'native_reason', lambda: '')
    with pytest.raises(AssertionError, match='belongs to torch'):
        attend(*random_heads(2, 2, 20, 20, 16))
    q, k, v = (change(x) for x in random_heads(2, 2, 20, 20, 16))
    found = attend(q, k, v)
    assert found.shape == q.shape and found.dtype == q.dtype


@pytest.mark.parametrize('queries', [1, 3, 11, 20])
@torch.inference_mode()
def test_the_queries_of_the_last_tokens_see_no_later_one(queries):
    q, k, v = random_heads(6, 2, queries, 20, 16)
    assert torch.allclose(attend(q, k, v, True), exact(q, k, v, True).float(), atol=1e-6)
    assert torch.allclose(attend(q, k, v), exact(q, k, v, False).float(), atol=1e-6)


@pytest.mark.parametrize('grouped', [True, False])
@torch.inference_mode()
def test_without_native_kernels_grouped_queries_work_on_every_torch(grouped, monkeypatch):
    if grouped and not attention.HAS_GROUPED_ATTENTION:
        pytest.skip('this torch has no grouped queries of its own')
    monkeypatch.setattr(attention, 'native_reason', lambda: 'off')
    monkeypatch.setattr(attention, 'HAS_GROUPED_ATTENTION', grouped)
    for queries in (20, 13, 4):
        q, k, v = random_heads(6, 2, queries, 20, 16)
        assert torch.allclose(attend(q, k, v, True), exact(q, k, v, True).float(), atol=1e-5)
