// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Exponential and GELU as near as what keeps 8 bits of a result has use for, with AVX-512.
#pragma once

#include "vectors.h"

namespace {

// 2^x within 8e-5 of its size, at least 2^-120: far from numbers that slow a processor down, which
// are not normal.  A NaN stays one.
inline Floats coarse_power(Floats x) {
  x = larger(fill(-120.0f), x);
  const Floats whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const Floats rest = subtract(x, whole);
  Floats y = fused(fill(0.05517167f), rest, fill(0.24261114f));
  y = fused(fused(y, rest, fill(0.69326099f)), rest, fill(0.99992807f));
  return _mm512_scalef_ps(y, whole);
}

// GELU within 3e-5 (the exact one, by Abramowitz and Stegun 7.1.25) or, of tanh's approximation,
// within 2e-4 of its size.
inline Floats coarse_gelu(Floats x, bool tanh) {
  const Floats zero = fill(0.0f), one = fill(1.0f);
  constexpr float log2e = 1.44269504f;
  if (tanh) {
    const Floats inner = fused(fill(0.044715f), multiply(x, x), one);
    const Floats power = coarse_power(_mm512_min_ps(
        fill(120.0f), multiply(multiply(inner, x), fill(-2.0f * 0.79788456f * log2e))));
    return multiply(x, _mm512_rcp14_ps(add(one, power)));
  }
  const Floats size = _mm512_abs_ps(x);
  const Floats t = _mm512_rcp14_ps(fused(fill(0.47047f * 0.70710678f), size, one));
  Floats sum = fused(fill(0.5f * 0.7478556f), t, fill(0.5f * -0.0958798f));
  sum = multiply(fused(sum, t, fill(0.5f * 0.3480242f)), t);
  const Floats tail = multiply(sum, coarse_power(multiply(multiply(x, x), fill(-0.5f * log2e))));
  return subtract(larger(x, zero), multiply(size, tail));
}

}  // namespace
