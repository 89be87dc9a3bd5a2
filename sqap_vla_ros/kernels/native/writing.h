// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// What happens to a product's sums on their way to memory: GELU, residual.
#pragma once

#include <cstring>

#include "functions.h"
#include "sqap_kernels.h"

namespace {

using sqap::Call;
using sqap::kPanel;
using sqap::Layer;
using sqap::smaller;

// Copy n values and fill up with zeros to one panel; null gives zeros.
void padded_copy(const float* from, int64_t n, float* to) {
  for (int64_t i = 0; i < kPanel; i++) to[i] = from && i < n ? from[i] : 0.0f;
}

// Bring `count` floats of memory that will be written into the L2 cache.
inline void expect_floats(const float* y, int64_t count) {
  for (int64_t i = 0; i < count; i += 16)
    _mm_prefetch(reinterpret_cast<const char*>(y + i), _MM_HINT_T1);
}

// Write value(i) for columns i..i+kLanes-1 of `count`, of which the first n are there, to y.
template <int64_t count, class Value>
inline void write_columns(float* y, int64_t n, Value value) {
  alignas(64) float edge[count];
  float* to = n >= count ? y : edge;
  constexpr int64_t share = count < 4 * kLanes ? count : 4 * kLanes;
  for (int64_t first = 0; first < count; first += share) {
    Floats values[share / kLanes];  // all before the first is written: what it is may be anything
    for (int64_t i = 0; i < share; i += kLanes) values[i / kLanes] = value(first + i);
    for (int64_t i = 0; i < share; i += kLanes) store(to + first + i, values[i / kLanes]);
  }
  if (to == edge && n > 0) std::memcpy(y, edge, n * sizeof(float));
}

// A writer of panels.h: to a call's y, by GELU for what rounds if it says so, and to what stands
// there or in its base if it is to be added.
struct ToFloats {
  float* y;
  const float* base;
  int64_t stride, outputs;
  bool by_gelu, adds;

  ToFloats(const Layer& layer, const Call& call)
      : y(call.y), base(call.base ? call.base : call.y), stride(call.y_stride),
        outputs(layer.outputs), by_gelu(call.gelu), adds(call.add) {}

  template <class Size>
  void expect(Size, int64_t row, int64_t column) const {
    expect_floats(y + row * stride + column, Size::value);
  }

  template <class Size, class Value>
  void operator()(Size, int64_t row, int64_t column, Value value) const {
    constexpr int64_t count = Size::value;
    const int64_t n = outputs - column;
    float* to = y + row * stride + column;
    if (!adds) {
      if (by_gelu)
        write_columns<count>(to, n, [&](int64_t i) { return gelu_to_round(value(i), false); });
      else
        write_columns<count>(to, n, value);
      return;
    }
    alignas(64) float stood[count];
    const float* before = base + row * stride + column;
    if (n < count) {
      std::memcpy(stood, before, n * sizeof(float));
      before = stood;
    }
    write_columns<count>(to, n, [&](int64_t i) {
      const Floats v = value(i);
      return add(by_gelu ? gelu_to_round(v, false) : v, load(before + i));
    });
  }
};

}  // namespace
