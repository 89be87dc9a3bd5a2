// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// A vision transformer's block in one call; included by level.cpp behind block.h.
#pragma once

#include <cmath>
#include <initializer_list>

#include "block.h"

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

// Half of what the error function of |x| / sqrt(2) lacks to 1, within 8e-8: Abramowitz and Stegun
// 7.1.26.
inline Floats half_tail(Floats size) {
  const Floats one = fill(1.0f), z = multiply(size, fill(0.70710678118654752f));
  const Floats t = divide(one, fused(fill(0.3275911f), z, one));
  Floats sum = fill(0.5f * 1.061405429f);
  for (float coefficient : {0.5f * -1.453152027f, 0.5f * 1.421413741f, 0.5f * -0.284496736f,
                            0.5f * 0.254829592f})
    sum = fused(sum, t, fill(coefficient));
  return multiply(multiply(sum, t), exponential(multiply(subtract(fill(0.0f), z), z)));
}

// GELU of a vector: exact (x times the normal distribution's integral), or tanh's approximation.
inline Floats gelu(Floats x, bool tanh) {
  const Floats zero = fill(0.0f), negative = subtract(zero, x);
  if (!tanh) {
    const Floats size = larger(x, negative);
    return subtract(larger(x, zero), multiply(size, half_tail(size)));
  }
  const Floats cubed = multiply(multiply(x, x), x);
  const Floats u = multiply(fused(fill(0.044715f), cubed, x), fill(-2.0f * 0.79788456080286536f));
  const Floats power = exponential(subtract(zero, larger(subtract(zero, u), fill(-87.0f))));
  return divide(x, add(fill(1.0f), power));
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

// y += a product, times a factor a channel if there is one; between: memory for it.
template <class Source>
void add_branch(const Layer* layer, const float* scale, const Call& call, const Rows& rows,
                float* between, Source source) {
  Call product = call;
  product.add = !scale;
  if (scale) product.y = between;
  multiply_layers(&layer, 1, product, rows, source);
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
  float* hidden = scratch<float, 14>(rows * block.inner);
  Rows made = rows_memory(rows, most, false);
  for (const Layer* layer : {block.qkv, block.out, block.up, block.down})
    if (layer->act_bits == 16) made.floats = rows_memory(rows, most, true).floats;
  Attention attention = {qkv,        qkv + width, qkv + 2 * width, attended,    call.batch,
                         block.heads, block.heads, call.length,     call.length, width / block.heads,
                         {},          {},          {},              0,           nullptr,
                         call.threads};
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
    add_branch(block.out, block.scale, to, made, qkv, [&](int64_t m, float* row) {
      std::memcpy(row, attended + m * width, width * sizeof(float));
    });
    multiply_layers(&block.up, 1, to_hidden, made, [&](int64_t m, float* row) {
      layer_norm_row(call.y + m * width, width, block.norm_behind, block.norm_behind_bias,
                     block.eps_behind, row);
    });
    add_branch(block.down, block.scale_behind, to, made, qkv, [&](int64_t m, float* row) {
      gelu_row(hidden + m * block.inner, block.inner, block.tanh, row);
    });
  }
}

}  // namespace
