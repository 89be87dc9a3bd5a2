// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// A decoder's block in one call; included by level.cpp behind its products.
//
//   q, k, v of the normed rows, which are rounded once; rotary embedding, keys and values into the
//   cache; attention; output product, added to the rows; gate and up of these, normed; SwiGLU,
//   Hadamard and rounding; down product, added too
//
// All of it runs in one parallel region, in memory that is kept from call to call.
#pragma once

#include <cmath>

#include "attention.h"
#include "gated.h"
#include "rows.h"

namespace {

using sqap::Block;
using sqap::BlockCall;
using sqap::Visual;

// What lies between the steps.
struct Between {
  float *q, *others;      // [batch queries, heads head_width], [batch length, others_width]
  float *attended, *gated;  // [batch queries, heads head_width], [batch queries, inner]
  float* gates;             // [batch queries, 2 inner] where gate and up need memory, or null
  float* weights;         // [batch heads, length] of the queries that score
  int64_t others_width;
  bool q_apart;           // in a product of their own, of the rows that are computed
  Rows rows;
};

// Normalise x [width] to out, as model/llama.py does.
inline void norm_row(const float* x, int64_t width, const float* weight, float eps, float* out) {
  const float mean = dot_product(x, x, width) / float(width);
  const float factor = 1.0f / std::sqrt(mean + eps);
  for (int64_t i = 0; i < width; i++) out[i] = x[i] * factor * weight[i];
}

// Rotate one head by a row of the tables; to may be from.
inline void turn_head(const float* from, const float* cos, const float* sin, int64_t width,
                      float* to) {
  const int64_t half = width / 2;
  int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const Floats a = load(from + i), b = load(from + i + half);
    store(to + i, subtract(multiply(a, load(cos + i)), multiply(b, load(sin + i))));
    store(to + i + half,
          add(multiply(b, load(cos + i + half)), multiply(a, load(sin + i + half))));
  }
  for (; i < half; i++) {
    const float a = from[i], b = from[i + half];
    to[i] = a * cos[i] - b * sin[i];
    to[i + half] = b * cos[i + half] + a * sin[i + half];
  }
}

// Leave of a rotated head what qk_bits can hold, see quant/qk.py.
void round_head(const Block& block, float* head) {
  const int64_t width = block.head_width;
  if (block.qk_rotates) {
    const int64_t size = width & -width;  // the largest power of two that divides it
    hadamard(head, width, size, 1);
    const float factor = static_cast<float>(1.0 / std::sqrt(double(size)));
    for (int64_t i = 0; i < width; i++) head[i] *= factor;
  }
  float most = 0.0f;
  for (int64_t i = 0; i < width; i++) {
    const float size = std::fabs(head[i]);
    if (!(size <= most)) most = size;  // NaN wins
  }
  int32_t bits;
  std::memcpy(&bits, &most, sizeof bits);
  const float scale = activation_scale(bits, block.qk_bits);
  for (int64_t i = 0; i < width; i++) head[i] = std::nearbyint(head[i] / scale) * scale;
}

// Rotate the heads of one row, and round them where that is asked for.
void turn_heads(const Block& block, const float* from, const float* cos, const float* sin,
                int64_t heads, float* to, int64_t step) {
  for (int64_t head = 0; head < heads; head++, from += block.head_width, to += step) {
    turn_head(from, cos, sin, block.head_width, to);
    if (block.qk_bits != 16) round_head(block, to);
  }
}

// The row of all [batch length] that a row of the queries [batch queries] is.
inline int64_t source_row(const BlockCall& call, int64_t m) {
  const int64_t place = m % call.queries;
  return m / call.queries * call.length + (call.index ? call.index[place] : call.first + place);
}

// Whether the queries are all rows, in their order.
inline bool all_rows(const BlockCall& call) {
  return !call.index && call.queries == call.length;
}

// A product's call, of all rows or of the queries'.
Call product_call(const BlockCall& call, bool of_queries, float* y, int64_t y_stride, bool add) {
  const Visual& visual = of_queries ? call.visual_queries : call.visual;
  Call product = {};
  product.y = y;
  product.rows = call.batch * (of_queries ? call.queries : call.length);
  product.threads = call.threads;
  product.length = visual.length;
  product.first_visual = visual.first;
  product.visual = visual.count;
  product.y_stride = y_stride;
  product.add = add;
  return product;
}

// Queries, keys and values of the rows.
void project(const Block& block, const BlockCall& call, const Between& between) {
  const auto normed = [&](int64_t m, float* row) {
    norm_row(call.x + m * block.width, block.width, block.norm, block.eps, row);
  };
  const auto queries = [&](int64_t m, float* row) { normed(source_row(call, m), row); };
  const int64_t apart = between.q_apart;
  if (apart)
    multiply_layers(block.projections, 1,
                    product_call(call, true, between.q, block.heads * block.head_width, false),
                    between.rows, queries);
  multiply_layers(block.projections + apart, 3 - apart,
                  product_call(call, false, between.others, between.others_width, false),
                  between.rows, normed);
}

// Rotate queries and keys, and fill the cache.
void turn(const Block& block, const BlockCall& call, const Between& between) {
  const int64_t q_width = block.heads * block.head_width, width = block.head_width;
  const int64_t kv_width = block.kv_heads * width;
#pragma omp for nowait
  for (int64_t m = 0; m < call.batch * call.queries; m++) {
    const int64_t row = source_row(call, m), token = row % call.length * call.table_stride;
    float* to = between.q + m * q_width;
    turn_heads(block, between.q_apart ? to : between.others + row * between.others_width,
               call.cos + token, call.sin + token, block.heads, to, width);
  }
#pragma omp for nowait
  for (int64_t m = 0; m < call.batch * call.length; m++) {
    const int64_t token = m % call.length * call.table_stride, *strides = call.cache_strides;
    float* k = between.others + m * between.others_width + (between.q_apart ? 0 : q_width);
    const int64_t place = m / call.length * strides[0] + (call.past + m % call.length) * strides[2];
    turn_heads(block, k, call.cos + token, call.sin + token, block.kv_heads,
               call.keys ? call.keys + place : k, call.keys ? strides[1] : width);
    for (int64_t head = 0; call.keys && head < block.kv_heads; head++)
      std::memcpy(call.values + place + head * strides[1], k + kv_width + head * width,
                  width * sizeof(float));
  }
  meet();
}

// The attention that follows from what `turn` left.
Attention attention_call(const Block& block, const BlockCall& call, const Between& between) {
  const int64_t width = block.head_width, q_width = block.heads * width;
  Attention found = {};
  found.q = between.q;
  found.k = call.keys ? call.keys : between.others + (between.q_apart ? 0 : q_width);
  found.v = call.keys ? call.values : found.k + block.kv_heads * width;
  found.y = between.attended;
  found.batch = call.batch;
  found.heads = block.heads;
  found.kv_heads = block.kv_heads;
  found.queries = call.queries;
  found.keys = call.past + (call.causal && !call.seen ? call.first + call.queries : call.length);
  found.width = width;
  const int64_t strides[] = {call.length * between.others_width, width, between.others_width};
  const int64_t q_strides[] = {call.queries * q_width, width, q_width};
  for (int axis = 0; axis < 3; axis++) {
    found.q_strides[axis] = q_strides[axis];
    found.k_strides[axis] = found.v_strides[axis] =
        call.keys ? call.cache_strides[axis] : strides[axis];
  }
  found.causal = call.causal;
  found.bits = block.attention_bits;
  found.seen = call.seen;
  found.threads = call.threads;
  return found;
}

// Mean probabilities [batch, length] that the queries that score give the keys.
void score(const BlockCall& call, const Attention& attention, float* weights) {
  const int64_t last = call.causal ? call.first_scored + call.scored : call.length;
  const int64_t heads = attention.heads, step = round_up(call.length, kPanel);
#pragma omp for nowait
  for (int64_t task = 0; task < call.batch * heads; task++) {
    const int64_t image = task / heads, head = task % heads;
    const int64_t kv = head / (heads / attention.kv_heads);
    const float* q = attention.q + image * attention.q_strides[0] +
                     head * attention.q_strides[1] +
                     (call.first_scored - call.first) * attention.q_strides[2];
    const float* k = attention.k + image * attention.k_strides[0] + kv * attention.k_strides[1];
    float *sums = weights + task * step, *own = scratch<float, 8>(step);
    std::memset(sums, 0, step * sizeof(float));
    for (int64_t row = 0; row < call.scored; row++) {
      const int64_t seen = call.causal ? call.first_scored + row + 1 : last;
      const float part = 1.0f / (weigh_keys(attention, q + row * attention.q_strides[2], k, seen,
                                            own) * float(heads * call.scored));
      for (int64_t key = 0; key < seen; key++) sums[key] += own[key] * part;
    }
  }
  meet();
#pragma omp for nowait
  for (int64_t image = 0; image < call.batch; image++)
    for (int64_t key = 0; key < call.length; key++) {
      float sum = 0.0f;
      for (int64_t head = 0; head < heads; head++)
        sum += weights[(image * heads + head) * step + key];
      call.scores[image * call.length + key] = sum;
    }
  meet();
}

// Output product, feed-forward, and their residuals, which y holds unless they are x.
void finish(const Block& block, const BlockCall& call, const Between& between) {
  const int64_t width = block.width, q_width = block.heads * block.head_width;
  const Call add = product_call(call, true, call.y, width, true);
  Call from_x = add;
  if (all_rows(call)) from_x.base = call.x;
  multiply_layers(&block.out, 1, from_x, between.rows, [&](int64_t m, float* row) {
    std::memcpy(row, between.attended + m * q_width, q_width * sizeof(float));
  });
  multiply_gate_and_up(
      block, product_call(call, true, between.gated, block.inner, false), between.rows,
      between.gates, [&](int64_t m, float* row) {
        norm_row(call.y + m * width, width, block.norm_behind, block.eps_behind, row);
      });
  multiply_layers(&block.down, 1, add, between.rows, [&](int64_t m, float* row) {
    std::memcpy(row, between.gated + m * block.inner, block.inner * sizeof(float));
  });
}

// Memory for all of it.
Between between_memory(const Block& block, const BlockCall& call) {
  const int64_t q_width = block.heads * block.head_width, rows = call.batch * call.length;
  const int64_t kv_width = block.kv_heads * block.head_width;
  int64_t most = block.width > q_width ? block.width : q_width;
  most = block.inner > most ? block.inner : most;
  Between found;
  found.q_apart = block.projections[0]->outputs == q_width;
  found.others_width = 2 * kv_width + (found.q_apart ? 0 : q_width);
  found.q = scratch<float, 11>(call.batch * call.queries * q_width);
  found.others = scratch<float, 12>(rows * found.others_width);
  found.attended = scratch<float, 13>(call.batch * call.queries * q_width);
  found.gated = scratch<float, 14>(call.batch * call.queries * block.inner);
  found.gates = gates_by_panel(block)
                    ? nullptr
                    : scratch<float, 20>(call.batch * call.queries * 2 * block.inner);
  found.weights = scratch<float, 15>(call.batch * block.heads * round_up(call.length, kPanel));
  found.rows = rows_memory(rows, round_up(most, 64), false);
  bool floats = in_floats(*block.out) || in_floats(*block.down);
  for (const Layer* layer : block.projections) floats |= layer && in_floats(*layer);
  for (const Layer* layer : block.gate_up) floats |= layer && in_floats(*layer);
  if (floats) found.rows.floats = rows_memory(rows, round_up(most, 64), true).floats;
  return found;
}

void block(const Block& block, const BlockCall& call) {
  const Between between = between_memory(block, call);
  const Attention attention = attention_call(block, call, between);
  Meeting meeting;
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
  {
    const Member member(meeting);
#pragma omp for nowait
    for (int64_t m = 0; m < (all_rows(call) ? 0 : call.batch * call.queries); m++)
      std::memcpy(call.y + m * block.width, call.x + source_row(call, m) * block.width,
                  block.width * sizeof(float));
    project(block, call, between);
    turn(block, call, between);
    share_heads(attention);
    if (call.scores) score(call, attention, between.weights);
    finish(block, call, between);
  }
}

}  // namespace
