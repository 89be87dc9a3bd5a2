// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// A convolution as one product: a row for every place of the kernel; included by level.cpp.
#pragma once

#include "sqap_kernels.h"

namespace {

using sqap::ConvCall;

// Write what the kernel sees at output place m to row [kernel, kernel, channels]; zeros outside.
inline void seen_patch(const ConvCall& call, int64_t m, float* row) {
  const int64_t column = m % call.out_width, line = m / call.out_width % call.out_height;
  const float* image = call.x + m / (call.out_width * call.out_height) * call.height * call.width *
                                    call.channels;
  const int64_t left = column * call.stride - call.padding, span = call.kernel * call.channels;
  const int64_t from = left < 0 ? -left : 0, to = smaller(call.kernel, call.width - left);
  for (int64_t i = 0; i < call.kernel; i++, row += span) {
    const int64_t y = line * call.stride - call.padding + i;
    const bool inside = y >= 0 && y < call.height;
    if (!inside || from > 0 || to < call.kernel) std::memset(row, 0, span * sizeof(float));
    if (inside)
      std::memcpy(row + from * call.channels,
                  image + (y * call.width + left + from) * call.channels,
                  (to - from) * call.channels * sizeof(float));
  }
}

void conv(const Layer& layer, const ConvCall& call) {
  Call product = {};
  product.y = call.y;
  product.rows = product.length = call.batch * call.out_height * call.out_width;
  product.y_stride = layer.outputs;
  product.threads = call.threads;
  product.gelu = call.gelu;
  product.add = call.add;
  const int64_t stride = round_up(layer.inputs, 64);
  const Rows rows = rows_memory(product.rows, stride, in_floats(layer));
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
  {
    make_rows(layer, product, rows, 0.0f,
              [&](int64_t m, float* row) { seen_patch(call, m, row); });
    multiply_rows(layer, product, rows, stride);
  }
}

}  // namespace
