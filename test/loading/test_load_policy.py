# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVLA and CogACT policies pruned, quantized and saved: what must and must not change."""
import dataclasses
import json
import math

from block_answers import attend_in_floats
import golden_data
import numpy as np
import pytest
from safetensors.torch import load_file
from sqap_vla_ros.control.action_space import ActionSpace, DELTA_NAMES
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.formats import checkpoint, open_checkpoint
from sqap_vla_ros.inference.recording import StageRecorder
from sqap_vla_ros.kernels import attention
from sqap_vla_ros.model import llama
from sqap_vla_ros.model.prompt import QuestionPrompt
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import packed_state, quantize_model
import torch

SPACE = ActionSpace('delta', (*DELTA_NAMES, 'gripper'), dt=0.2, execute_steps=1)
HEADS = ('openvla', 'cogact')


def prefill(policy, kept):
    """Return what the head reads, the sequence's length and the caches."""
    model = policy.model
    with torch.inference_mode():
        seen = golden_data.observation(0)
        x = model.embed(model.encode_image(policy.inputs.pixels(seen.image)),
                        policy.inputs.token_ids(seen.instruction))
        caches = model.make_caches()
        after, scores = model.prefill_full(x, caches)
        return x, scores, model.prefill_kept(after, kept, caches), caches


def llama_oracle(directory, eps):
    """Return transformers' own decoder with a directory's weights."""
    transformers = pytest.importorskip('transformers', reason='the oracle is transformers')
    text = json.loads((directory / 'config.json').read_text())['text_config']
    weights = {}
    for path in directory.glob('*.safetensors'):
        weights.update(load_file(path))
    oracle = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        **{name: value for name, value in text.items() if name != 'model_type'},
        rms_norm_eps=eps, attn_implementation='eager')).eval()
    oracle.load_state_dict({name.removeprefix('language_model.'): tensor.float()
                            for name, tensor in weights.items()
                            if name.startswith('language_model.')})
    return oracle


@pytest.mark.parametrize(
    'sizes', [{'kv_heads': 1}, {'kv_heads': 2}, golden_data.OTHER_SIZES], ids=['1', '2', 'other'])
@torch.inference_mode()
def test_grouped_query_decoding_equals_transformers_without_a_cache(sizes):
    policy = golden_data.load('openvla', sizes)
    oracle = llama_oracle(golden_data.openvla(**sizes), 1e-6)
    x, _, hidden, caches = prefill(policy, None)
    ids = policy.model.generate(hidden[:, -1], x.shape[1], caches)[0]
    for step in range(len(ids)):
        so_far = policy.model.llm.embed_tokens(ids[None, :step])
        logits = oracle(inputs_embeds=torch.cat([x, so_far], dim=1)).logits[0, -1]
        assert logits.argmax() == ids[step]
    assert policy.model.config.llm.num_kv_heads == sizes['kv_heads']


def test_older_versions_of_torch_give_the_same_answer(monkeypatch):
    seen = golden_data.observation(0)
    policy = golden_data.load('cogact', golden_data.OTHER_SIZES)
    expected = policy.infer(seen).actions
    monkeypatch.setattr(llama, 'HAS_RMS_NORM', False)
    monkeypatch.setattr(attention, 'HAS_GROUPED_ATTENTION', False)
    monkeypatch.setattr(attention, 'native_reason', lambda: 'off')
    policy.reset()
    np.testing.assert_allclose(policy.infer(seen).actions, expected, atol=1e-5)


@pytest.mark.parametrize('precision', ['fp', 'w4a4'])
@pytest.mark.parametrize('keep', [None, 154])
@pytest.mark.parametrize('head', HEADS)
def test_two_different_images_give_different_actions(head, keep, precision):
    policy = golden_data.loaded(head, precision, keep)
    first, second = (policy.infer(golden_data.observation(0, image=golden_data.image(case)))
                     for case in (0, 1))
    assert np.isfinite(first.actions).all() and np.isfinite(second.actions).all()
    assert np.abs(first.actions - second.actions).max() > 1e-3


@pytest.mark.parametrize('head', HEADS)
def test_keeping_every_token_equals_not_pruning(head):
    plain, kept = (golden_data.load(head, keep=keep) for keep in (None, 256))
    first, second = (policy.infer(golden_data.observation(0)) for policy in (plain, kept))
    np.testing.assert_allclose(first.actions, second.actions, atol=1e-5)
    assert first.selection is None and len(second.selection.kept) == 256


@pytest.mark.parametrize('sizes', [{}, {'kv_heads': 2}], ids=['4 of 4', '2 of 4'])
@torch.inference_mode()
def test_pruned_decoding_sees_all_tokens_in_early_layers_and_the_kept_ones_later(sizes):
    """Transformers' decoder with a mask a layer, and without a cache, is the oracle."""
    policy = golden_data.load('openvla', sizes)
    oracle = llama_oracle(golden_data.openvla(**sizes), 1e-6)
    kept = torch.arange(0, 256, 3)
    x, _, hidden, caches = prefill(policy, kept)
    length = x.shape[1]
    ids = policy.model.generate(hidden[:, -1], length, caches)[0]
    logits = _masked_logits(oracle, torch.cat(
        [x, policy.model.llm.embed_tokens(ids[None, :-1])], dim=1), kept)
    assert ids.tolist() == logits[length - 1:].argmax(dim=-1).tolist()
    assert [cache.length for cache in caches] == [length + 6] * 2 + [length + 6 - 256 + 86] * 2
    plain = prefill(policy, None)
    assert not torch.allclose(plain[2], hidden, atol=1e-3)  # pruning does change something


def _masked_logits(oracle, x, kept):
    """Run transformers' layers: causal, and from layer 2 on without the pruned tokens as keys."""
    length = x.shape[1]
    causal = torch.tril(torch.ones(length, length, dtype=torch.bool))
    visible = torch.ones(length, dtype=torch.bool)
    visible[1:257] = False
    visible[1 + kept] = True
    positions = torch.arange(length)[None]
    tables = oracle.model.rotary_emb(x, positions)
    for index, layer in enumerate(oracle.model.layers):
        mask = causal if index < 2 else causal & (visible[None] | torch.eye(length).bool())
        bias = torch.zeros(1, 1, length, length).masked_fill(~mask, -math.inf)
        x = layer(x, attention_mask=bias, position_ids=positions, position_embeddings=tables)
        x = x[0] if isinstance(x, tuple) else x
    return oracle.lm_head(oracle.model.norm(x))[0]


@pytest.mark.parametrize('head', HEADS)
def test_the_forward_pass_never_asks_the_device_for_a_value(head):
    """On the meta device there are no values: whatever needs one on the host fails."""
    policy = golden_data.loaded(head)
    with torch.device('meta'):
        model = type(policy.model)(policy.config.model)
        pixels, ids = torch.empty(1, 6, 224, 224), torch.empty(1, 20, dtype=torch.int64)
        noise, kept = torch.empty(1, 16, 7), torch.empty(154, dtype=torch.int64)
    x, caches = model.embed(model.encode_image(pixels), ids), model.make_caches()
    length = x.shape[1]
    x, scores = model.prefill_full(x, caches)
    raw = model.answer(model.prefill_kept(x, kept, caches), length, caches, noise)
    assert scores.shape == (1, 256)
    assert raw.shape == ((1, 7) if head == 'openvla' else (1, 16, 7))


@pytest.mark.parametrize('head', HEADS)
@torch.inference_mode()
def test_the_rotated_network_is_the_plain_one(head):
    plain = golden_data.load(head)
    rotated = golden_data.load(head, prepare=False)
    record = quantize_model(rotated.model, 'fp')
    assert record['rotation']['unrotated_final'] is (head == 'cogact')  # the head is not linear
    for case in golden_data.CASES:
        stages = []
        for policy in (plain, rotated):
            policy.reset()
            with StageRecorder(policy) as recorder:
                policy.infer(golden_data.observation(case))
            stages.append(recorder.stages())
        name = 'logits_last' if head == 'openvla' else 'cognition_feature'
        np.testing.assert_allclose(stages[1][name], stages[0][name], rtol=0, atol=1e-3)
        np.testing.assert_allclose(stages[1]['actions'], stages[0]['actions'], atol=2e-3)


@pytest.mark.parametrize('precision', ['fp', 'w4a4'])
@pytest.mark.parametrize('head', HEADS)
def test_a_saved_network_answers_as_before(head, precision, tmp_path, monkeypatch):
    """Converted checkpoints have the same parts under the same names as opened ones."""
    attend_in_floats(monkeypatch)
    before = golden_data.load(head, precision='fp', action_space=SPACE, prepare=False)
    record = {} if precision == 'fp' else quantize_model(before.model, precision)
    config = dataclasses.replace(before.config, quantization=record)
    stats = json.loads((golden_data.GOLDEN / 'statistics.json').read_text())[head]
    tokenizer = open_checkpoint(golden_data.openvla()).read_tokenizer()
    checkpoint.save(tmp_path / 'saved', config, packed_state(before.model), stats, tokenizer)
    after = load_policy(tmp_path / 'saved')
    assert after.precision == precision
    first, second = (policy.infer(golden_data.observation(0)) for policy in (before, after))
    np.testing.assert_allclose(second.actions, first.actions, atol=1e-6)
    assert second.dt == 0.2 and second.names[-1] == 'gripper'


def test_noise_follows_the_seed_and_the_step():
    policy = golden_data.load('cogact', seed=3)
    seen = golden_data.observation(0)
    first, second = policy.infer(seen).actions, policy.infer(seen).actions
    policy.reset()
    np.testing.assert_array_equal(policy.infer(seen).actions, first)
    assert np.abs(first - second).max() > 1e-6
    assert np.abs(golden_data.load('cogact', seed=4).infer(seen).actions - first).max() > 1e-6
    for noise in (np.zeros((3, 7)), np.full((16, 7), np.nan)):
        with pytest.raises(ObservationError, match='noise must be'):
            policy.infer(seen, noise)
    with pytest.raises(ObservationError, match='takes none'):
        golden_data.loaded('openvla').infer(seen, np.zeros((16, 7)))


def test_an_ensemble_blends_what_chunks_say_about_now_and_forgets_when_time_jumps_back():
    policy = golden_data.load('cogact', action_space=SPACE, ensemble=2)
    plain = golden_data.load('cogact', action_space=SPACE)
    noise = golden_data.expected('cogact_case0')['noise']
    seen = [golden_data.observation(case, stamp_ns=round(stamp * 1e9))
            for case, stamp in ((0, 10.0), (1, 10.4), (1, 5.0))]
    found = [policy.infer(each, noise).actions for each in seen]
    rows = [plain.infer(each, noise).actions for each in seen]
    assert found[0].shape == (1, 7)
    np.testing.assert_allclose(found[0][0], rows[0][0], atol=1e-6)
    between = np.sort([rows[0][2], rows[1][0]], axis=0)  # 0.4 s are two rows of 0.2 s
    assert (between[0] - 1e-6 <= found[1][0]).all() and (found[1][0] <= between[1] + 1e-6).all()
    np.testing.assert_allclose(found[2][0], rows[2][0], atol=1e-6)


def test_quantizing_in_memory_leaves_the_mapped_file_as_it_was():
    file = next(golden_data.cogact().glob('checkpoints/*.pt'))
    before = file.read_bytes()
    golden_data.load('cogact', precision='w4a4')
    assert file.read_bytes() == before


def test_prompts_are_lower_case_and_not_endless():
    tokenizer = open_checkpoint(golden_data.openvla()).read_tokenizer()
    openvla, cogact = (QuestionPrompt(tokenizer, kind, 32064) for kind in HEADS)
    assert openvla.encode('PICK up the cup') == openvla.encode('pick up the cup')
    for text in (' pick up the cup', 'pick up the cup '):
        question = f'In: What action should the robot take to {text}?\nOut:'
        ids = tokenizer.encode(question, add_special_tokens=False).ids
        assert openvla.encode(text) == [*ids, 29871] != openvla.encode(text.strip())
    assert cogact.encode('pick up the cup') == [*openvla.encode('pick up the cup'), 2]
    with pytest.raises(ObservationError, match='empty'):
        openvla.encode('  ')
    with pytest.raises(ObservationError, match='shorten it'):
        openvla.encode('pick up the cup ' * 500)


def test_an_answer_that_ends_early_never_leaves_the_policy(monkeypatch):
    policy = golden_data.loaded('openvla')
    monkeypatch.setattr(type(policy.model), 'generate', lambda self, *args: torch.tensor(
        [[31900, 2, 31744, 31744, 31744, 31744, 31744]]))
    with pytest.raises(ObservationError, match='ended its answer early'):
        policy.infer(golden_data.observation(0))
