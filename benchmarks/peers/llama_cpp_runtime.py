# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
llama.cpp, by llama-cpp-python, as a runtime of benchmarks/cpu_peers.py.

A decoder is written as a GGUF file of its architecture `llama`.  Embeddings go in, and the head's
first layer stands where a language model's output layer would, so that llama.cpp computes it, and
what only it needs of the last block, for the rows that the head reads and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import ctypes
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

BLOCKS = {  # names in a GGUF file, and ours
    'attn_norm': 'input_layernorm', 'attn_q': 'self_attn.q_proj', 'attn_k': 'self_attn.k_proj',
    'attn_v': 'self_attn.v_proj', 'attn_output': 'self_attn.o_proj',
    'ffn_norm': 'post_attention_layernorm', 'ffn_gate': 'mlp.gate_proj', 'ffn_up': 'mlp.up_proj',
    'ffn_down': 'mlp.down_proj'}
HEAD_KIND = 'Q8_0'
SUPPORTED = 'backbone'


class LlamaCpp:
    """Weights as blocks of a GGUF type, activations rounded to 8 bits as they come."""

    needs_module = False

    def __init__(self, kind: str):
        """kind: of the decoder's matrices, 'Q4_0' or 'Q8_0'."""
        self.kind = kind

    def _files(self, name: str, directory: Path) -> tuple[Path, Path]:
        return directory / f'{name}-{self.kind}.gguf', directory / f'{name}-{self.kind}.pt'

    def prepare(self, name: str, module, example, directory: Path) -> None:
        """Write a decoder, and what stands in front of it and behind; raise for other parts."""
        if name != SUPPORTED:
            raise ValueError(f'llama.cpp takes a whole decoder, and this is its part {name!r}')
        model, decoder = module.model, self._files(name, directory)
        with torch.no_grad():
            rows = model.embed(example[0], module.ids, module.state)[0]
        write_gguf(model, len(rows), self.kind, decoder[0])
        torch.save({'rows': rows, 'prefix': model.config.prefix, 'count': example[0].shape[1],
                    'read': model.config.head_rows(len(rows)), 'bias': model.head.fc1.bias,
                    'last': (model.head.fc2.weight, model.head.fc2.bias)}, decoder[1])

    def load(self, name: str, module, directory: Path, threads: int) -> Callable:
        """Return a function of numpy arrays."""
        model, around = self._files(name, directory)
        around = torch.load(around, weights_only=False)
        rows = around['rows'].numpy().copy()
        decoder = Decoder(model, len(rows), around['read'], threads)
        visual = slice(around['prefix'], around['prefix'] + around['count'])

        @torch.inference_mode()
        def call(tokens):
            rows[visual] = tokens[0]
            first = torch.from_numpy(decoder(rows)) + around['bias']
            return [F.linear(F.gelu(first), *around['last'])[None].numpy()]
        return call


class Decoder:
    """A GGUF file's network for sequences of one length."""

    def __init__(self, file: Path, length: int, read: range, threads: int):
        """read: the rows whose output is wanted."""
        import llama_cpp
        self._lib, self._length, self._read = llama_cpp, length, read
        llama_cpp.llama_backend_init()
        options = llama_cpp.llama_model_default_params()
        options.use_extra_bufts = True  # weights laid out for the processor's instructions
        self._model = llama_cpp.llama_model_load_from_file(str(file).encode(), options)
        if not self._model:
            raise ValueError(f'llama.cpp does not load {file.name}')
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = context.n_batch = context.n_ubatch = 32 * -(-length // 32)
        context.n_threads = context.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, context)
        if not self._context:
            raise ValueError(f'llama.cpp makes no context of {length} tokens for {file.name}')
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._width = llama_cpp.llama_vocab_n_tokens(vocabulary)
        width = llama_cpp.llama_model_n_embd(self._model)
        self._batch = llama_cpp.llama_batch_init(length, width, 1)
        self._batch.n_tokens = length
        for row in range(length):
            self._batch.pos[row], self._batch.n_seq_id[row] = row, 1
            self._batch.seq_id[row][0], self._batch.logits[row] = 0, row in read
        self._rows = np.ctypeslib.as_array(self._batch.embd, (length, width))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return float32 [R, V] of the rows that are read, for embeddings [S, D]."""
        self._rows[:] = rows
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self._context), False)
        failed = self._lib.llama_decode(self._context, self._batch)
        if failed:
            raise ValueError(f'llama_decode gave {failed}, expected 0')
        found = self._lib.llama_get_logits(self._context)
        shape = len(self._read), self._width
        return np.ctypeslib.as_array(ctypes.cast(
            found, ctypes.POINTER(ctypes.c_float)), shape).copy()


def write_gguf(model, length: int, kind: str, file: Path) -> None:
    """Write a VLA's decoder and the first layer of its head; length: of its sequences."""
    import gguf
    config = model.config.llm
    writer = gguf.GGUFWriter(file, 'llama')
    writer.add_context_length(length)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.hidden_size)  # outputs of the head's first layer
    writer.add_tokenizer_model('no_vocab')
    writer.add_tensor('token_embd.weight',  # which nothing asks for
                      np.zeros((config.hidden_size, config.hidden_size), np.float16))
    for name, matrix, to in tensors(model, kind):
        to = gguf.GGMLQuantizationType[to]
        writer.add_tensor(name, gguf.quants.quantize(matrix, to), raw_dtype=to)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(model, kind: str) -> Iterator[tuple[str, np.ndarray, str]]:
    """Yield names, float32 arrays and GGUF types of a decoder and the first layer of its head."""
    config = model.config.llm
    yield 'output_norm.weight', _array(model.llm.norm), 'F32'
    yield 'output.weight', _array(model.head.fc1), HEAD_KIND
    for index, layer in enumerate(model.llm.layers):
        for name, ours in BLOCKS.items():
            matrix = _array(layer.get_submodule(ours))
            heads = {'attn_q': config.num_heads, 'attn_k': config.num_kv_heads}.get(name)
            if heads:
                matrix = side_by_side(matrix, heads)
            yield f'blk.{index}.{name}.weight', matrix, 'F32' if 'norm' in name else kind


def side_by_side(matrix: np.ndarray, heads: int) -> np.ndarray:
    """
    Return rows [H * d, K] in the order of a rotary embedding of neighbouring channels.

    Ours rotates channel i with i + d / 2, llama.cpp's architecture `llama` 2 i with 2 i + 1.
    """
    halves = matrix.reshape(heads, 2, -1, matrix.shape[1])
    return halves.swapaxes(1, 2).reshape(matrix.shape)


def _array(layer) -> np.ndarray:
    return layer.weight.detach().float().numpy()
