// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// What happens to a product's sums on their way to memory: bias, GELU, residual.
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

// Write one row of a panel: value(i) of columns i..i+kLanes-1 and bias, by GELU if the call says
// so, and what stands there if it is to be added.
template <class Value>
inline void write_row(const Layer& layer, const Call& call, int64_t row, int64_t panel,
                      const float* bias, Value value) {
  const int64_t column = panel * kPanel, n = smaller(kPanel, layer.outputs - column);
  float* y = call.y + row * call.y_stride + column;
  alignas(64) float edge[kPanel];
  float* to = n == kPanel ? y : edge;
  if (to == edge && call.add) std::memcpy(edge, y, n * sizeof(float));
  for (int64_t i = 0; i < kPanel; i += kLanes) {
    Floats v = value(i);
    if (layer.bias) v = add(v, load(bias + i));
    if (call.gelu) v = gelu(v, false);
    if (call.add) v = add(v, load(to + i));
    store(to + i, v);
  }
  if (to == edge) std::memcpy(y, edge, n * sizeof(float));
}

}  // namespace
