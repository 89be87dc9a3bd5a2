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

// out [width] = function(x) of vectors.
template <class Function>
inline void map_row(const float* x, int64_t width, float* out, Function function) {
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) store(out + i, function(load(x + i)));
  if (i == width) return;
  float rest[kLanes] = {};
  std::memcpy(rest, x + i, (width - i) * sizeof(float));
  store(rest, function(load(rest)));
  std::memcpy(out + i, rest, (width - i) * sizeof(float));
}

// out [width] = GELU(x); rounds: whether it is rounded then.
inline void gelu_row(const float* x, int64_t width, bool tanh, bool rounds, float* out) {
  if (rounds)
    map_row(x, width, out, [tanh](Floats v) { return gelu_to_round(v, tanh); });
  else
    map_row(x, width, out, [tanh](Floats v) { return gelu(v, tanh); });
}

#if defined(__AMX_INT8__)
// A writer of panels.h: GELU of what it is given in bfloat16, among tiles of so many bytes a row.
struct ToHalves {
  int8_t* tiles;
  int64_t bytes;
  bool tanh;

  template <class Size>
  void expect(Size, int64_t, int64_t) const {}

  template <class Size, class Value>
  void operator()(Size, int64_t row, int64_t column, Value value) const {
    int8_t* to = tiles + row / kTileRows * kTileRows * bytes + row % kTileRows * kTileBytes;
    for (int64_t i = 0; i < Size::value && 2 * (column + i) < bytes; i += 32)
      store_halves(coarse_gelu(value(i), tanh), coarse_gelu(value(i + kLanes), tanh),
                   to + 2 * (column + i) * kTileRows);
  }
};

// Columns from..from+n-1, n being a multiple of 32, of row m among tiles of so many bytes a row
// become values [n] times a factor in bfloat16.
inline void write_tiles(const float* values, float factor, int64_t n, int64_t m, int64_t from,
                        int64_t bytes, int8_t* tiles) {
  int8_t* to = tiles + m / kTileRows * kTileRows * bytes + m % kTileRows * kTileBytes +
               2 * from * kTileRows;
  for (int64_t i = 0; i < n; i += 32, to += kTile)
    store_halves(multiply(load(values + i), fill(factor)),
                 multiply(load(values + i + kLanes), fill(factor)), to);
}

// A writer of panels.h: rows in bfloat16, `stride` values apart, which have room for whole panels.
struct ToHalfRows {
  uint16_t* rows;
  int64_t stride;

  template <class Size>
  void expect(Size, int64_t, int64_t) const {}

  template <class Size, class Value>
  void operator()(Size, int64_t row, int64_t column, Value value) const {
    uint16_t* to = rows + row * stride + column;
    for (int64_t i = 0; i < Size::value; i += 32)
      store_halves(value(i), value(i + kLanes), to + i);
  }
};

#endif

// Whether queries, keys and values are written in bfloat16, and what attention makes of them as
// the tiles that the next product reads.
bool attends_in_halves(const VitBlock& block, const VitCall& call) {
#if defined(__AMX_INT8__)
  return block.attention_bits == 16 && call.length >= kFewQueries && in_halves(*block.out) &&
         block.out->hadamard_block == 1 && block.width / block.heads % 32 == 0;
#else
  return false;
#endif
}

// Attention of queries, keys and values that lie side by side in rows `stride` apart, if qkv is not
// null.
Attention vit_attention(const VitBlock& block, const VitCall& call, const float* qkv,
                        int64_t stride, float* attended) {
  Attention found = {};
  if (qkv) {
    found.q = qkv;
    found.k = qkv + block.width;
    found.v = qkv + 2 * block.width;
  }
  found.y = attended;
  found.batch = call.batch;
  found.heads = found.kv_heads = block.heads;
  found.queries = found.keys = call.length;
  found.width = block.width / block.heads;
  const int64_t strides[] = {call.length * stride, found.width, stride};
  for (int axis = 0; axis < 3; axis++)
    found.q_strides[axis] = found.k_strides[axis] = found.v_strides[axis] = strides[axis];
  found.threads = call.threads;
  found.bits = block.attention_bits;
  return found;
}

// y = base (y if null) + a product, times a factor a channel if there is one; between: memory for
// it, multiply(call) computes it.
template <class Multiply>
void add_branch(const Layer* layer, const float* scale, const Call& call, float* between,
                Multiply multiply) {
  Call product = call;
  product.add = !scale;
  if (scale) product.y = between;
  multiply(product);
  if (!scale) return;
  const float* base = call.base ? call.base : call.y;
#pragma omp for nowait
  for (int64_t m = 0; m < call.rows; m++)
    for (int64_t i = 0; i < layer->outputs; i++) {
      const int64_t at = m * call.y_stride + i;
      call.y[at] = base[at] + between[at] * scale[i];
    }
  meet();
}

void vit_block(const VitBlock& block, const VitCall& call) {
  const int64_t width = block.width, rows = call.batch * call.length;
  const int64_t most = round_up(block.inner > width ? block.inner : width, 64);
  // Whether what is between two products needs no floats in memory.
  const bool attends = attends_in_halves(block, call);
  const bool in_halves_between = in_halves(*block.down) && block.down->hadamard_block == 1;
  float* qkv = attends ? nullptr : scratch<float, 12>(rows * 3 * width);
  float* branch =
      block.scale || block.scale_behind ? scratch<float, 22>(rows * width) : nullptr;
  float* attended = attends ? nullptr : scratch<float, 13>(rows * width);
  float* hidden = in_halves_between ? nullptr : scratch<float, 14>(rows * block.inner);
  Rows made = rows_memory(rows, most, false), hidden_rows = made;
  if (in_halves_between) hidden_rows.values = scratch<int8_t, 20>(rows_bytes(rows, most));
  for (const Layer* layer : {block.qkv, block.out, block.up, block.down})
    if (in_floats(*layer)) made.floats = rows_memory(rows, most, true).floats;
  const Attention attention = vit_attention(block, call, qkv, 3 * width, attended);
  Call to = {};
  to.y = call.y;
  to.rows = rows;
  to.threads = call.threads;
  to.length = 1;
  to.y_stride = width;
  Call to_qkv = to, to_out = to, to_hidden = to;
  to_qkv.y = qkv;
  to_qkv.y_stride = 3 * width;
  to_out.base = call.x;
  to_hidden.y = hidden;
  to_hidden.y_stride = block.inner;
  const auto normed = [&](int64_t m, float* row) {
    layer_norm_row(call.x + m * width, width, block.norm, block.norm_bias, block.eps, row);
  };
  const auto normed_behind = [&](int64_t m, float* row) {
    layer_norm_row(call.y + m * width, width, block.norm_behind, block.norm_behind_bias,
                   block.eps_behind, row);
  };
#if defined(__AMX_INT8__)
  const int64_t pitch = round_up(3 * width, kPanel), wide = round_up(width, 64);
  auto* rounded = attends ? scratch<uint16_t, 21>(rows * pitch) : nullptr;
  const Attention of_rounded = vit_attention(block, call, nullptr, pitch, nullptr);
  const ToHalves to_halves = {hidden_rows.values, tiled_bytes(2 * block.inner), block.tanh != 0};
#endif
  Meeting meeting;
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
  {
    const Member member(meeting);
#if defined(__AMX_INT8__)
    if (attends) {
      make_rows(*block.qkv, to_qkv, made, 0.0f, normed);
      multiply_rows(*block.qkv, to_qkv, made, wide, ToHalfRows{rounded, pitch});
      share_groups(of_rounded, [&](int64_t image, int64_t kv, int64_t first, int64_t last) {
        attend_heads_by_tiles(
            of_rounded, rounded, rounded + width, rounded + 2 * width, image, kv, first, last,
            [&](int64_t head, int64_t query, const float* sums, float factor) {
              write_tiles(sums, factor, of_rounded.width, image * call.length + query,
                          head * of_rounded.width, tiled_bytes(2 * width), made.values);
            });
      });
    }
#endif
    if (!attends) {
      multiply_layers(&block.qkv, 1, to_qkv, made, normed);
      share_heads(attention);
    }
    add_branch(block.out, block.scale, to_out, branch, [&](const Call& product) {
      if (attends)
        multiply_rows(*block.out, product, made, 0);
      else
        multiply_layers(&block.out, 1, product, made, [&](int64_t m, float* row) {
          std::memcpy(row, attended + m * width, width * sizeof(float));
        });
    });
#if defined(__AMX_INT8__)
    if (in_halves_between) {
      make_rows(*block.up, to_hidden, made, 0.0f, normed_behind);
      multiply_rows(*block.up, to_hidden, made, wide, to_halves);
    }
#endif
    if (!in_halves_between) multiply_layers(&block.up, 1, to_hidden, made, normed_behind);
    add_branch(block.down, block.scale_behind, to, branch, [&](const Call& product) {
      if (in_halves_between)
        multiply_rows(*block.down, product, hidden_rows, 0);
      else
        multiply_layers(&block.down, 1, product, made, [&](int64_t m, float* row) {
          gelu_row(hidden + m * block.inner, block.inner, block.tanh, !in_floats(*block.down), row);
        });
    });
  }
}

}  // namespace
