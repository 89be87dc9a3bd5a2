// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention of bytes, for processors that add four of their products at once; the softmax and its
// sums stay floats.
//
// Keys, of which the mean key of all is taken away, since that shifts all scores of a query alike, and
// queries are rounded to 8 bits a row, as SageAttention does (arXiv 2410.02367); values to 8 bits a
// channel, over all keys, so that one that a query does not see decides how its answer is rounded; a
// query's weights to 16 bits of its largest one, which are two products.
#pragma once

#include "attention.h"
#include "bytes.h"
#include "rows.h"
#include "writing.h"

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
namespace {

// As Bytes, of unsigned rows and signed panels.
struct Weighed : Bytes<8> {
  static Vector step(Vector sum, Vector w, Vector a) { return dot(sum, a, w); }
};

constexpr float kMostWeight = 65535.0f;

// What one key-value head's queries meet.
struct PackedHead {
  uint8_t* keys;       // panels [depth / 4, 64 keys, 4], plus 128
  float* key_scale;    // [keys]
  int8_t* values;      // panels [keys / 4, 64 channels, 4]
  float* value_scale;  // [channels]
  int64_t depth;       // channels, a multiple of 8
};

PackedHead packed_memory(const Attention& call) {
  const int64_t keys = round_up(call.keys, kPanel), channels = round_up(call.width, kPanel);
  const int64_t depth = round_up(call.width, kGroup);
  auto* bytes = scratch<uint8_t, 6>(keys * (depth + channels));
  auto* scales = scratch<float, 7>(keys + channels);
  return {bytes, scales, reinterpret_cast<int8_t*>(bytes) + keys * depth, scales + keys, depth};
}

// mean [width] of keys [keys, width].
void mean_key(const float* k, int64_t stride, int64_t keys, int64_t width, float* mean) {
  std::memset(mean, 0, width * sizeof(float));
  for (int64_t key = 0; key < keys; key++)
    for (int64_t i = 0; i < width; i++) mean[i] += k[key * stride + i];
  for (int64_t i = 0; i < width; i++) mean[i] /= float(keys);
}

// Round a row [width], with room for whole vectors, to q [round_up(width, 64)], of which the
// largest is 127; returns the scale.
inline float round_alone(float* row, int64_t width, int8_t* q, int32_t* sum) {
  for (int64_t i = width; i % kLanes; i++) row[i] = 0.0f;
  const float scale = activation_scale(magnitude_bits(row, width), 8) * float(127.49 / 127);
  *sum = round_row(row, width, scale, q);
  return scale;
}

void pack_byte_keys(const float* k, int64_t stride, int64_t keys, int64_t width,
                    const PackedHead& head) {
  const int64_t room = round_up(width, 64);
  float *mean = scratch<float, 23>(2 * room), *row = mean + room;
  auto* q = scratch<int8_t, 24>(room);
  mean_key(k, stride, keys, width, mean);
  for (int64_t key = 0; key < round_up(keys, kPanel); key++) {
    uint8_t* to = head.keys + key / kPanel * kPanel * head.depth + key % kPanel * 4;
    int32_t sum = 0;
    std::memset(q, 0, room);
    if (key < keys) {
      for (int64_t i = 0; i < width; i++) row[i] = k[key * stride + i] - mean[i];
      head.key_scale[key] = round_alone(row, width, q, &sum);
    } else {
      head.key_scale[key] = 0.0f;
    }
    for (int64_t i = 0; i < head.depth; i += 4, to += kPanel * 4) {
      uint32_t word;
      std::memcpy(&word, q + i, 4);
      word ^= 0x80808080u;
      std::memcpy(to, &word, 4);
    }
  }
}

void pack_byte_values(const float* v, int64_t stride, int64_t keys, int64_t width,
                      const PackedHead& head) {
  const int64_t padded = round_up(keys, kPanel);
  alignas(64) float edge[kPanel], inverse[kPanel];
  for (int64_t first = 0; first < width; first += kPanel) {
    const int64_t here = smaller(kPanel, width - first);
    const auto values_of = [&](int64_t key) {
      const float* from = v + key * stride + first;
      if (here == kPanel) return from;
      std::memcpy(edge, from, here * sizeof(float));
      std::memset(edge + here, 0, (kPanel - here) * sizeof(float));
      return static_cast<const float*>(edge);
    };
    Ints most[kPanel / kLanes];
    for (Ints& each : most) each = fill_ints(0);
    for (int64_t key = 0; key < keys; key++) {
      const float* from = values_of(key);
      for (int64_t i = 0; i < kPanel / kLanes; i++)
        most[i] = larger_magnitude(most[i], load(from + i * kLanes));
    }
    for (int64_t i = 0; i < kPanel / kLanes; i++) {
      const Floats largest = larger(fill(1e-30f), floats_of(most[i]));  // NaN if there is one
      store(head.value_scale + first + i * kLanes, multiply(largest, fill(1.0f / 127.0f)));
      store(inverse + i * kLanes, divide(fill(127.0f), largest));
    }
    auto* to = reinterpret_cast<int32_t*>(head.values + first * padded);
    for (int64_t key = 0; key < padded; key += 4, to += kPanel)
      for (int64_t i = 0; i < kPanel; i += kLanes) {
        Ints words = fill_ints(0);
        for (int64_t part = 0; part < 4 && key + part < keys; part++) {
          const Floats scaled = multiply(load(values_of(key + part) + i), load(inverse + i));
          const Ints byte = both_bits(round_to_ints(scaled), fill_ints(255));
          words = add(words, shift_left(byte, 8 * int(part)));
        }
        store(to + i, words);
      }
  }
}

// e^x for x <= 0, within 8e-5 of its size.
inline Floats weight_of(Floats x) {
#if defined(__AVX512VNNI__)
  return coarse_power(multiply(x, fill(1.44269504f)));
#else
  return exponential(x);
#endif
}

// Scores of one row, which lie in panels `step` apart, become e^(factor (score - largest)) for its
// first `seen` keys and 0 behind them, in 16 bits of two planes; returns their sum, or NaN.
inline float soften_to_bytes(float* scores, int64_t step, int64_t seen, int64_t panels,
                             float factor, int8_t* high, int8_t* low) {
  for (int64_t key = seen; key < panels * kPanel; key++)
    scores[key / kPanel * step + key % kPanel] = -INFINITY;
  Floats most = fill(-INFINITY), sum = fill(0.0f), unrounded = sum;
  for (int64_t key = 0; key < seen; key += kLanes)
    most = larger(load(scores + key / kPanel * step + key % kPanel), most);
  const Floats top = fill(largest(most));
  for (int64_t p = 0; p < panels; p++, scores += step, high += kPanel, low += kPanel)
    for (int64_t i = 0; i < kPanel; i += kLanes) {
      const Floats score = multiply(subtract(load(scores + i), top), fill(factor));
      const Floats weight = multiply(weight_of(score), fill(kMostWeight));
      const Ints value = round_to_ints(weight);
      sum = add(sum, to_floats(value));
      unrounded = add(unrounded, weight);
      store_low_bytes(high + i, shift_right(value, 8));
      store_low_bytes(low + i, value);
    }
  return total(sum) + 0.0f * total(unrounded);
}

// As attend_tile, of packed bytes.
void attend_byte_tile(const Attention& call, const float* q, const PackedHead& head,
                      int64_t first, int64_t rows, float* y, int64_t y_stride) {
  const int64_t width = call.width, room = round_up(width, 64);
  const int64_t last = keys_seen(call, first + rows - 1);
  const int64_t panels = round_up(last, kPanel) / kPanel, planes = panels * kPanel;
  float *scores = scratch<float, 8>(panels * kRows * kPanel + room), *row = scores +
                  panels * kRows * kPanel;
  auto* sums = scratch<int32_t, 9>(2 * kRows * kPanel);
  auto* bytes = scratch<int8_t, 24>(kRows * (room + 2 * planes));
  int8_t *high = bytes + kRows * room, *low = high + kRows * planes;
  float scale[kRows], inverse[kRows];
  int32_t total_of[kRows];
  for (int64_t r = 0; r < rows; r++) {
    std::memcpy(row, q + (first + r) * call.q_strides[2], width * sizeof(float));
    scale[r] = round_alone(row, width, bytes + r * room, total_of + r);
  }
  for (int64_t p = 0; p < panels; p++) {
    kTiles<Bytes<8>>[rows](bytes, room, head.keys + p * kPanel * head.depth, head.depth / 4, sums,
                           true);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t i = 0; i < kPanel; i += kLanes) {
        const Floats value = to_floats(
            subtract(load(sums + r * kPanel + i), fill_ints(int32_t(128u * total_of[r]))));
        store(scores + (p * kRows + r) * kPanel + i,
              multiply(multiply(value, load(head.key_scale + p * kPanel + i)), fill(scale[r])));
      }
  }
  const float factor = 1.0f / std::sqrt(float(width));
  for (int64_t r = 0; r < rows; r++) {
    inverse[r] = 1.0f / soften_to_bytes(scores + r * kPanel, kRows * kPanel,
                                        keys_seen(call, first + r), panels, factor,
                                        high + r * planes, low + r * planes);
  }
  const int64_t padded = round_up(call.keys, kPanel), steps = (last + 3) / 4;
  for (int64_t channel = 0; channel < width; channel += kPanel) {
    const auto* values = reinterpret_cast<const uint8_t*>(head.values + channel * padded);
    int32_t* of_low = sums + kRows * kPanel;
    kTiles<Weighed>[rows](high, planes, values, steps, sums, true);
    kTiles<Weighed>[rows](low, planes, values, steps, of_low, true);
    for (int64_t r = 0; r < rows; r++)
      write_columns<kPanel>(
          y + (first + r) * y_stride + channel, smaller(kPanel, width - channel),
          [&](int64_t i) {
            const int64_t at = r * kPanel + i;
            const Floats sum = fused(to_floats(load(sums + at)), fill(256.0f),
                                     to_floats(load(of_low + at)));
            return multiply(multiply(sum, load(head.value_scale + channel + i)),
                            fill(inverse[r]));
          });
  }
}

// As attend_heads, of bytes.
void attend_byte_heads(const Attention& call, int64_t image, int64_t kv, int64_t first,
                       int64_t last) {
  const int64_t width = call.width, y_stride = call.heads * width;
  const PackedHead head = packed_memory(call);
  pack_byte_keys(call.k + image * call.k_strides[0] + kv * call.k_strides[1], call.k_strides[2],
                 call.keys, width, head);
  pack_byte_values(call.v + image * call.v_strides[0] + kv * call.v_strides[1],
                   call.v_strides[2], call.keys, width, head);
  for (int64_t each = first; each < last; each++) {
    const float* q = call.q + image * call.q_strides[0] + each * call.q_strides[1];
    float* y = call.y + image * call.queries * y_stride + each * width;
    for (int64_t row = 0; row < call.queries; row += kRows)
      attend_byte_tile(call, q, head, row, smaller(kRows, call.queries - row), y, y_stride);
  }
}

}  // namespace
#endif
