// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// One quantized linear layer, and the C interface that kernels/native.py binds with ctypes.
//
//   x' = the online Hadamard of x                           [M, K] floats, one row at a time in L1
//   s_x = max|x'| / (7.49 or 127.49), q = round(x' / s_x)    one byte a value, and sum(q) a row
//   y = (q @ w^T) * s_w * s_x + bias                         the product is exact in int32
//
// Weights are stored unsigned (w + 8, w + 128), so that x86's unsigned x signed byte products
// apply; the epilogue subtracts 8 (128) times sum(q), which is exact too.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sqap {

constexpr int64_t kPanel = 64;   // output channels that are stored and computed together
constexpr int64_t kGroup = 8;    // K is padded to a multiple of this with zeros
constexpr int64_t kBlock = 512;  // input channels whose unpacked panel stays in the L1 cache

// Static, like everything here and in level.cpp: a function that the linker shared between files
// would be one file's version, with instructions that not every processor has.
static inline int64_t round_up(int64_t value, int64_t step) {
  return (value + step - 1) / step * step;
}
static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// What a layer is; filled once by kernels/native.py.  Pointers belong to its tensors.
struct Layer {
  int64_t inputs, outputs;
  int32_t weight_bits;     // 4 or 8; without a scale 32 (floats) or 16 (bfloat16, with AMX only)
  int32_t act_bits;        // 4, 8, or 16: floats, or bfloat16 as the weights
  int64_t hadamard_block, hadamard_stride;
  int64_t groups;          // weight scales a channel; more than 1 only with act_bits 16
  int32_t per_token;
  int32_t level;           // instruction set, see processor.h
  int32_t text_bits;       // as act_bits, of the rows that are not visual
  const uint8_t* weight;   // as sqap_pack writes it
  const float* scale;      // [outputs, groups]
  const float* bias;       // [outputs] or null
};

// What one call brings.  Rows are `x_stride` floats apart.
struct Call {
  const float* x;          // [rows, inputs]
  float* y;                // [rows, outputs]
  int64_t rows, x_stride;
  int32_t threads;
  float fixed_scale;       // s_x if > 0, else found in x'
  int64_t length;          // rows of a sequence, of which `visual` from first_visual on are visual
  int64_t first_visual, visual;
  int64_t y_stride;        // rows of y are so many floats apart
  int32_t add;             // to what base holds
  int32_t gelu;            // of the sums and bias, before that
  const float* base;       // [rows, outputs], as y; null for what y holds already
};

// softmax(q k^T / sqrt(width)) v for all heads; every head's channels lie side by side.
// Strides are in values.  Query heads share key-value heads in groups of heads / kv_heads.
struct Attention {
  const float *q, *k, *v;  // [batch, heads or kv_heads, queries or keys, width]
  float* y;                // [batch, queries, heads, width], contiguous
  int64_t batch, heads, kv_heads, queries, keys, width;
  int64_t q_strides[3], k_strides[3], v_strides[3];  // of batch, head, token
  int32_t causal;          // query i of the last `queries` tokens sees keys 0..keys-queries+i
  const int32_t* seen;     // [queries], rising: query i sees keys 0..seen[i]-1; null: see causal
  int32_t threads;
  int32_t bits;            // 16: queries, keys, values and weights are rounded, to bfloat16 with
                           // AMX, to bytes with VNNI
};

// A decoder's block: RMSNorm, rotary embedding, grouped-query attention, SwiGLU.  Layers read rows
// by a scale for each, or floats.
struct Block {
  int64_t width, heads, kv_heads, head_width, inner;
  const float *norm, *norm_behind;   // [width], in front of attention and of feed-forward
  float eps, eps_behind;
  int32_t qk_bits, qk_rotates;       // 16 for rotated queries and keys that stay floats
  int32_t attention_bits;            // see Attention
  const Layer* projections[3];       // of q, k, v side by side: one layer or more, then null
  const Layer* gate_up[2];           // side by side too
  const Layer *out, *down;
};

// Where a row of visual tokens stands, see Call.
struct Visual {
  int64_t length, first, count;
};

// What one call of a block brings: `queries` rows of each sequence are computed, all of them if
// index is null and there are as many.
struct BlockCall {
  const float* x;          // [batch, length, width]
  float* y;                // [batch, queries, width]
  const float *cos, *sin;  // [length, head_width], rows table_stride apart
  int64_t table_stride, batch, length, queries;
  int64_t first;           // the first of the queries, which are neighbours
  const int64_t* index;    // [queries], or the rows that they are
  const int32_t* seen;     // [queries], see Attention
  int32_t causal, threads;
  float *keys, *values;    // a cache [batch, kv_heads, past + length, head_width], or null
  int64_t cache_strides[3], past;
  Visual visual, visual_queries;
  float* scores;           // [batch, length]: mean probabilities of some queries, or null
  int64_t first_scored, scored;  // rows of the sequence, among the queries
};

// A vision transformer's block: LayerNorm, full attention, GELU, with biases.
struct VitBlock {
  int64_t width, heads, inner;
  const float *norm, *norm_bias, *norm_behind, *norm_behind_bias;  // [width]
  float eps, eps_behind;
  int32_t tanh;                       // GELU's approximation
  int32_t attention_bits;             // see Attention
  const float *scale, *scale_behind;  // [width] factors of both branches, or null
  const Layer *qkv, *out, *up, *down;
};

// What one call of it brings.
struct VitCall {
  const float* x;          // [batch, length, width]
  float* y;                // the same
  int64_t batch, length;
  int32_t threads;
};

// A convolution of square kernels over images by a layer of kernel^2 channels inputs (rows,
// columns, channels of the kernel, in this order; of planar images channels, rows, columns).
struct ConvCall {
  const float* x;          // [batch, height, width, channels], planar [batch, channels, ...]
  float* y;                // [batch, out_height, out_width, outputs]; may be x
  int64_t batch, height, width, channels, out_height, out_width, kernel, stride, padding;
  int32_t threads;
  int32_t gelu;            // of the sums and bias
  int32_t add;             // to what base holds, see Call
  int32_t planar;
  const float* base;
};

// One set of functions for each instruction set that was compiled in.
struct Level {
  void (*linear)(const Layer&, const Call&);
  void (*attention)(const Attention&);
  void (*block)(const Block&, const BlockCall&);
  void (*vit_block)(const VitBlock&, const VitCall&);
  void (*conv)(const Layer&, const ConvCall&);
};

extern const Level level_avx2, level_avx_vnni, level_avx512_vnni;
extern const Level level_amx __attribute__((weak));  // absent where the compiler knows no tiles

}  // namespace sqap
