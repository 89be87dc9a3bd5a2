// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Exponential and GELU of vectors.
#pragma once

#include <initializer_list>

#include "vectors.h"
#if defined(__AVX512VNNI__)
#include "coarse_functions.h"
#endif

namespace {

// e^x for x <= 0 within 2 units in the last place; below -87 it is about 1e-38.  Cephes'.
inline Floats exponential(Floats x) {
  x = larger(fill(-87.0f), x);
  const Ints power = round_to_ints(multiply(x, fill(1.44269504088896341f)));
  const Floats n = to_floats(power);
  x = fused(n, fill(-0.693359375f), x);
  x = fused(n, fill(2.12194440e-4f), x);
  constexpr float rest[] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f,
                            1.6666665459e-1f, 5.0000001201e-1f};
  Floats y = fill(1.9875691500e-4f);
  for (float coefficient : rest) y = fused(y, x, fill(coefficient));
  y = fused(multiply(y, x), x, add(x, fill(1.0f)));
  return floats_of(add(bits_of(y), shift_left(power, 23)));
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

// GELU of what is rounded then, to bfloat16 or 8 bits, or comes of rounded products: with AVX-512 as
// near as coarse_gelu's.
inline Floats gelu_to_round(Floats x, bool tanh) {
#if defined(__AVX512VNNI__)
  return coarse_gelu(x, tanh);
#else
  return gelu(x, tanh);
#endif
}

}  // namespace
