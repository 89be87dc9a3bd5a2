// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// SwiGLU's two products and what is between them; included by level.cpp behind its products.
#pragma once

#include <cmath>

#include "panels.h"

namespace {

using sqap::Block;

// silu(gate) up.
inline Floats gated(Floats gate, Floats up) {
  const Floats zero = fill(0.0f), one = fill(1.0f), least = fill(-87.0f);
  const Floats power = exponential(subtract(zero, larger(gate, least)));
  return multiply(divide(gate, add(one, power)), up);
}

// out [inner] = silu(gate) up, for a row that has both side by side.
inline void gated_row(const float* row, int64_t inner, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= inner; i += kLanes)
    store(out + i, gated(load(row + i), load(row + inner + i)));
  for (; i < inner; i++) out[i] = row[i] / (1.0f + std::exp(-row[i])) * row[inner + i];
}

// A writer of panels.h that keeps values of one panel [rows, kPanel], from row `first` on.
struct Keep {
  float* panel;
  int64_t first;

  float* at(int64_t row, int64_t column) const {
    return panel + (row - first) * kPanel + column % kPanel;
  }
  template <class Size>
  void expect(Size, int64_t, int64_t) const {}  // in the L2 cache already

  template <class Size, class Value>
  void operator()(Size, int64_t row, int64_t column, Value value) const {
    write_columns<Size::value>(at(row, column), Size::value, value);
  }
};

// A writer of panels.h: a call's y = silu(gate) times what it is given, of gates that Keep has.
struct Gate {
  const Keep& gates;
  const Call& call;
  int64_t width, shift;  // of a row; of columns, to where they stand there

  template <class Size>
  void expect(Size, int64_t row, int64_t column) const {
    expect_floats(call.y + row * call.y_stride + column - shift, Size::value);
  }

  template <class Size, class Value>
  void operator()(Size, int64_t row, int64_t column, Value value) const {
    const float* gate = gates.at(row, column);
    column -= shift;
    float* y = call.y + row * call.y_stride + column;
    write_columns<Size::value>(
        y, width - column, [&](int64_t i) { return gated(load(gate + i), value(i)); });
  }
};

// Whether a panel of a block's gates meets one panel of its layer of ups, of the same rows.
inline bool gates_by_panel(const Block& block) {
  return block.gate_up[1] ? reads_alike(*block.gate_up[0], *block.gate_up[1])
                          : block.inner % kPanel == 0;
}

// y [rows, inner] = silu(gate) up of rows from source(m, row); inside a parallel region.
// both: [rows, 2 inner] of memory for them where they do not meet panel by panel.
template <class Source>
void multiply_gate_and_up(const Block& block, const Call& call, const Rows& rows, float* both,
                          Source source) {
  const int64_t inner = block.inner;
  if (!gates_by_panel(block)) {
    Call product = call;
    product.y = both;
    product.y_stride = 2 * inner;
    multiply_layers(block.gate_up, 2, product, rows, source);
#pragma omp for nowait
    for (int64_t m = 0; m < call.rows; m++)
      gated_row(both + m * 2 * inner, inner, call.y + m * call.y_stride);
    meet();
    return;
  }
  const Layer &gate = *block.gate_up[0], &up = block.gate_up[1] ? *block.gate_up[1] : gate;
  const int64_t shift = &up == &gate ? inner : 0, stride = round_up(gate.inputs, 64);
  make_rows(gate, call, rows, 0.0f, source);
  share_panels(inner, call, [&](int64_t panel, int64_t first, int64_t last) {
    const Keep gates = {scratch<float, 19>((last - first) * kPanel), first};
    multiply_rows_by_panel(gate, call, rows, stride, panel, first, last, gates);
    multiply_rows_by_panel(up, call, rows, stride, panel + shift / kPanel, first, last,
                           Gate{gates, call, inner, shift});
  });
}

}  // namespace
