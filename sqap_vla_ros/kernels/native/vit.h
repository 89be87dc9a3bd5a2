// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// A vision transformer's block in one call; included by level.cpp behind its products.
#pragma once

#include <cmath>

#include "panels.h"

namespace {

using sqap::VitBlock;
using sqap::VitCall;

// Normalise x [width] to out: mean 0 and variance 1, then a factor and a shift a channel.
inline void layer_norm_row(const float* x, int64_t width, const float* weight, const float* bias,
                           float eps, float* out) {
  Floats sum = fill(0.0f);
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) sum = add(sum, load(x + i));
  float mean = total(sum);
  for (; i < width; i++) mean += x[i];
  mean /= float(width);
  for (i = 0; i < width; i++) out[i] = x[i] - mean;
  const float factor = 1.0f / std::sqrt(dot_product(out, out, width) / float(width) + eps);
  for (i = 0; i < width; i++) out[i] = out[i] * factor * weight[i] + bias[i];
}

// out [width] = GELU(x); whole vectors, so that both have room for them.
inline void gelu_row(const float* x, int64_t width, bool tanh, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) store(out + i, gelu(load(x + i), tanh));
  if (i == width) return;
  float rest[kLanes] = {};
  std::memcpy(rest, x + i, (width - i) * sizeof(float));
  store(rest, gelu(load(rest), tanh));
  std::memcpy(out + i, rest, (width - i) * sizeof(float));
}

#if defined(__AMX_INT8__)
// A writer of panels.h: GELU of what it is given in bfloat16, among tiles of so many bytes a row.
struct ToHalves {
  int8_t* tiles;
  int64_t bytes;
  bool tanh;

  template <class Size, class Value>
  void operator()(Size, int64_t row, int64_t column, Value value) const {
    int8_t* to = tiles + row / kTileRows * kTileRows * bytes + row % kTileRows * kTileBytes;
    for (int64_t i = 0; i < Size::value && 2 * (column + i) < bytes; i += 32)
      store_halves(coarse_gelu(value(i), tanh), coarse_gelu(value(i + kLanes), tanh),
                   to + 2 * (column + i) * kTileRows);
  }
};
#endif

// y += a product, times a factor a channel if there is one; between: memory for it, multiply(call)
// computes it.
template <class Multiply>
void add_branch(const Layer* layer, const float* scale, const Call& call, float* between,
                Multiply multiply) {
  Call product = call;
  product.add = !scale;
  if (scale) product.y = between;
  multiply(product);
  if (!scale) return;
#pragma omp for
  for (int64_t m = 0; m < call.rows; m++)
    for (int64_t i = 0; i < layer->outputs; i++)
      call.y[m * call.y_stride + i] += between[m * call.y_stride + i] * scale[i];
}

void vit_block(const VitBlock& block, const VitCall& call) {
  const int64_t width = block.width, rows = call.batch * call.length;
  const int64_t most = round_up(block.inner > width ? block.inner : width, 64);
  float* qkv = scratch<float, 12>(rows * 3 * width);
  float* attended = scratch<float, 13>(rows * width);
  // Whether what is between both products of the feed-forward needs no floats in memory.
  const bool in_halves_between = in_halves(*block.down) && block.down->hadamard_block == 1;
  float* hidden = in_halves_between ? nullptr : scratch<float, 14>(rows * block.inner);
  Rows made = rows_memory(rows, most, false), hidden_rows = made;
  if (in_halves_between) hidden_rows.values = scratch<int8_t, 20>(rows_bytes(rows, most));
  for (const Layer* layer : {block.qkv, block.out, block.up, block.down})
    if (in_floats(*layer)) made.floats = rows_memory(rows, most, true).floats;
  Attention attention = {qkv,        qkv + width, qkv + 2 * width, attended,    call.batch,
                         block.heads, block.heads, call.length,     call.length, width / block.heads,
                         {},          {},          {},              0,           nullptr,
                         call.threads, block.attention_bits};
  const int64_t strides[] = {call.length * 3 * width, attention.width, 3 * width};
  for (int axis = 0; axis < 3; axis++)
    attention.q_strides[axis] = attention.k_strides[axis] = attention.v_strides[axis] =
        strides[axis];
  Call to = {};
  to.y = call.y;
  to.rows = rows;
  to.threads = call.threads;
  to.length = 1;
  to.y_stride = width;
  Call to_qkv = to, to_hidden = to;
  to_qkv.y = qkv;
  to_qkv.y_stride = 3 * width;
  to_hidden.y = hidden;
  to_hidden.y_stride = block.inner;
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
  {
#pragma omp for nowait
    for (int64_t m = 0; m < rows; m++)
      std::memcpy(call.y + m * width, call.x + m * width, width * sizeof(float));
    multiply_layers(&block.qkv, 1, to_qkv, made, [&](int64_t m, float* row) {
      layer_norm_row(call.x + m * width, width, block.norm, block.norm_bias, block.eps, row);
    });
    share_heads(attention);
    add_branch(block.out, block.scale, to, qkv, [&](const Call& product) {
      multiply_layers(&block.out, 1, product, made, [&](int64_t m, float* row) {
        std::memcpy(row, attended + m * width, width * sizeof(float));
      });
    });
    const auto normed = [&](int64_t m, float* row) {
      layer_norm_row(call.y + m * width, width, block.norm_behind, block.norm_behind_bias,
                     block.eps_behind, row);
    };
#if defined(__AMX_INT8__)
    if (in_halves_between) {
      make_rows(*block.up, to_hidden, made, 0.0f, normed);
      multiply_rows(*block.up, to_hidden, made, round_up(width, 64),
                    ToHalves{hidden_rows.values, tiled_bytes(2 * block.inner), block.tanh != 0});
    }
#endif
    if (!in_halves_between) multiply_layers(&block.up, 1, to_hidden, made, normed);
    add_branch(block.down, block.scale_behind, to, qkv, [&](const Call& product) {
      if (in_halves_between)
        multiply_rows(*block.down, product, hidden_rows, 0);
      else
        multiply_layers(&block.down, 1, product, made, [&](int64_t m, float* row) {
          gelu_row(hidden + m * block.inner, block.inner, block.tanh, row);
        });
    });
  }
}

}  // namespace
