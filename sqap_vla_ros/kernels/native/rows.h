// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// What happens to one row of activations before the product: Hadamard and rounding.
#pragma once

#include <cmath>

#include "sqap_kernels.h"
#include "vectors.h"

namespace {

using sqap::Call;
using sqap::Layer;

// Butterflies between x[i] and x[i + d] for all i of one block of `length` values.
inline void stage(float* x, int64_t length, int64_t d) {
  for (int64_t first = 0; first < length; first += 2 * d)
    for (int64_t i = first; i < first + d; i++) {
      const float a = x[i], b = x[i + d];
      x[i] = a + b;
      x[i + d] = a - b;
    }
}

// Two stages, d and 2 d, in one pass; d is a multiple of the vector's length.
inline void double_stage(float* x, int64_t length, int64_t d) {
  for (int64_t first = 0; first < length; first += 4 * d)
    for (float* p = x + first; p < x + first + d; p += kLanes) {
      const Floats a = load(p), b = load(p + d), c = load(p + 2 * d), e = load(p + 3 * d);
      const Floats ab = add(a, b), a_b = subtract(a, b), ce = add(c, e), c_e = subtract(c, e);
      store(p, add(ab, ce));
      store(p + d, add(a_b, c_e));
      store(p + 2 * d, subtract(ab, ce));
      store(p + 3 * d, subtract(a_b, c_e));
    }
}

// The stages inside a vector: distances 1, 2, 4 (and 8).
inline void inner_stages(float* x, int64_t length) {
  for (int64_t i = 0; i < length; i += kLanes) {
    Floats v = butterfly<4>(butterfly<2>(butterfly<1>(load(x + i))));
    if constexpr (kLanes == 16) v = butterfly<8>(v);
    store(x + i, v);
  }
}

// Multiply x [width] by Sylvester's matrices on blocks of channels `stride` apart; not normalised.
inline void hadamard(float* x, int64_t width, int64_t block, int64_t stride) {
  const int64_t length = block * stride;
  for (float* part = x; part < x + width; part += length) {
    int64_t d = stride;
    if (stride == 1 && block >= kLanes) {
      inner_stages(part, length);
      d = kLanes;
    }
    while (d < length) {
      const bool two = 2 * d < length && d % kLanes == 0;
      two ? double_stage(part, length, d) : stage(part, length, d);
      d *= two ? 4 : 2;
    }
  }
}

// Apply the layer's online Hadamard to a row [inputs], and put zeros up to whole vectors behind it.
inline void transform(const Layer& layer, float* row) {
  for (int64_t k = layer.inputs; k % kLanes; k++) row[k] = 0.0f;
  if (layer.hadamard_block == 1) return;
  hadamard(row, layer.inputs, layer.hadamard_block, layer.hadamard_stride);
  const Floats factor = fill(static_cast<float>(1.0 / std::sqrt(double(layer.hadamard_block))));
  for (int64_t k = 0; k < layer.inputs; k += kLanes) store(row + k, multiply(load(row + k), factor));
}

// The largest magnitude of x [width] as the bits of a float, which order like the floats.
inline int32_t magnitude_bits(const float* x, int64_t width) {
  Ints found = fill_ints(0);
  for (int64_t k = 0; k < width; k += kLanes) found = larger_magnitude(found, load(x + k));
  return largest(found);
}

// s_x as quant/int4.py defines it: the largest magnitude lands on 7.49 (127.49).
inline float activation_scale(int32_t largest_bits, int32_t act_bits) {
  float largest;
  std::memcpy(&largest, &largest_bits, sizeof largest);
  if (largest < 1e-30f) largest = 1e-30f;
  return largest * (act_bits == 4 ? float(1.0 / 7.49) : float(1.0 / 127.49));
}

// q [round_up(width, 64)] = round to nearest even of x / scale, and zeros; returns the sum of q.
inline int32_t round_row(const float* x, int64_t width, float scale, int8_t* q) {
  const Floats divisor = fill(scale);
  Ints sum = fill_ints(0);
  int64_t k = 0;
  for (; k < width; k += kLanes) {
    const Ints value = round_to_ints(divide(load(x + k), divisor));
    sum = add(sum, value);
    store_as_bytes(q + k, value);
  }
  std::memset(q + k, 0, sqap::round_up(width, 64) - k);
  return total(sum);
}

}  // namespace
