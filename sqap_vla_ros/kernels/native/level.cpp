// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// The kernels for one instruction set; compiled once for each, with its flags (see build.py).
//
// A panel of 64 output channels is unpacked block by block of input channels into a buffer that
// stays in the L1 cache, and meets all rows there, in tiles of sums that stay in registers.
#include "attention.h"
#if defined(__AMX_INT8__)
#include "amx_attention.h"
#else
#include "byte_attention.h"
#endif
#include "panels.h"
#include "rows.h"

namespace {

// Rows that one task takes: all, unless there are too few panels for the threads.
int64_t rows_a_task(int64_t panels, const Call& call) {
  const int64_t parts = call.threads == 1 ? 1 : (4 * call.threads + panels - 1) / panels;
  return round_up((call.rows + parts - 1) / parts, kRowsTogether);
}

// Call function(panel, first row, last row) for all of so many outputs; inside a parallel region.
template <class Function>
void share_panels(int64_t outputs, const Call& call, Function function) {
  if (call.rows == 0) return;
  const int64_t panels = round_up(outputs, kPanel) / kPanel;
  const int64_t share = rows_a_task(panels, call), parts = (call.rows + share - 1) / share;
#pragma omp for schedule(dynamic) nowait
  for (int64_t task = 0; task < panels * parts; task++) {
    const int64_t first = task % parts * share;
    function(task / parts, first, smaller(first + share, call.rows));
  }
  meet();
}

// Bits of a row's integers, by whether it is one of the visual rows.
int32_t row_bits(const Layer& layer, const Call& call, int64_t row) {
  const int64_t place = row % call.length - call.first_visual;
  return place >= 0 && place < call.visual ? layer.act_bits : layer.text_bits;
}

// Make the rows of a layer's input; inside a parallel region.  source(m, row) writes row m's
// floats [inputs], which a Hadamard may follow.  scale: of all rows if > 0, else each row's own.
template <class Source>
void make_rows(const Layer& layer, const Call& call, const Rows& rows, float scale,
               Source source) {
  const int64_t stride = round_up(layer.inputs, 64);
  float* own = scratch<float, 2>(stride);
#pragma omp for nowait
  for (int64_t m = 0; m < call.rows; m++) {
    float* row = in_floats(layer) ? rows.floats + m * stride : own;
    source(m, row);
    transform(layer, row);
    if (in_floats(layer)) continue;
#if defined(__AMX_INT8__)
    if (in_halves(layer)) {
      for (int64_t k = layer.inputs; k < stride; k++) row[k] = 0.0f;
      uint16_t* halves = scratch<uint16_t, 16>(stride);
      round_to_halves(row, round_up(layer.inputs, 32), halves);
      place_row(halves, tiled_bytes(2 * layer.inputs), m, rows.values);
      continue;
    }
#endif
    rows.scales[m] = scale > 0 ? scale
                               : activation_scale(magnitude_bits(row, layer.inputs),
                                                  row_bits(layer, call, m));
    int8_t* to = in_tiles(layer, call) ? scratch<int8_t, 16>(stride)
                                       : rows.values + m * byte_stride(layer.inputs);
    rows.sums[m] = round_row(row, layer.inputs, rows.scales[m], to);
#if defined(__AMX_INT8__)
    if (in_tiles(layer, call)) place_row(to, tiled_bytes(layer.inputs), m, rows.values);
#endif
  }
  meet();
}

// Multiply rows by a layer's weights, for a writer of panels.h; inside a parallel region.
// stride: of floats.
template <class Writer>
void multiply_rows(const Layer& layer, const Call& call, const Rows& rows, int64_t stride,
                   const Writer& write) {
  share_panels(layer.outputs, call, [&](int64_t panel, int64_t first, int64_t last) {
    multiply_rows_by_panel(layer, call, rows, stride, panel, first, last, write);
  });
}

void multiply_rows(const Layer& layer, const Call& call, const Rows& rows, int64_t stride) {
  multiply_rows(layer, call, rows, stride, ToFloats(layer, call));
}

// Whether two layers read their rows in the same form.
inline bool reads_alike(const Layer& a, const Layer& b) {
  return a.act_bits == b.act_bits && a.text_bits == b.text_bits && in_halves(a) == in_halves(b) &&
         a.hadamard_block == b.hadamard_block && a.hadamard_stride == b.hadamard_stride;
}

// Products of several layers side by side, from source(m, row); rows are made once for all that
// read them alike.
template <class Source>
void multiply_layers(const Layer* const* layers, int64_t count, const Call& call, const Rows& rows,
                     Source source) {
  Call part = call;
  for (int64_t i = 0; i < count && layers[i]; i++) {
    if (i == 0 || !reads_alike(*layers[i - 1], *layers[i]))
      make_rows(*layers[i], part, rows, 0.0f, source);
    multiply_rows(*layers[i], part, rows, round_up(layers[i]->inputs, 64));
    part.y += layers[i]->outputs;
    if (part.base) part.base += layers[i]->outputs;
  }
}

// Copy a row of a call.
void copy_row(const Layer& layer, const Call& call, int64_t m, float* row) {
  std::memcpy(row, call.x + m * call.x_stride, layer.inputs * sizeof(float));
}

// One scale for all rows.
float tensor_scale(const Layer& layer, const Call& call) {
  int32_t found = 0;
  float* row = scratch<float, 2>(round_up(layer.inputs, 64));
  for (int64_t m = 0; m < call.rows; m++) {
    copy_row(layer, call, m, row);
    transform(layer, row);
    const int32_t bits = magnitude_bits(row, layer.inputs);
    if (bits > found) found = bits;
  }
  return activation_scale(found, layer.act_bits);
}

// Bytes that so many rows of so many values take at most when they are rounded.
int64_t rows_bytes(int64_t rows, int64_t width) {
  return round_up(rows, kRowsTogether) * byte_stride(kMostBytes * width);
}

// Memory for rows of so many floats or integers, of the thread that asks.
Rows rows_memory(int64_t rows, int64_t width, bool floats) {
  const int64_t bytes = rows_bytes(rows, width);
  return {floats ? nullptr : scratch<int8_t, 3>(bytes), scratch<int32_t, 4>(rows),
          scratch<float, 5>(rows), floats ? scratch<float, 10>(rows * width) : nullptr};
}

void linear(const Layer& layer, const Call& call) {
  const bool floats = in_floats(layer), as_is = floats && layer.hadamard_block == 1;
  const int64_t stride = as_is ? call.x_stride : round_up(layer.inputs, 64);
  Rows rows = rows_memory(as_is ? 0 : call.rows, stride, floats);
  if (as_is) rows.floats = const_cast<float*>(call.x);
  const float scale = call.fixed_scale > 0 || layer.per_token || layer.act_bits == 16
                          ? call.fixed_scale
                          : tensor_scale(layer, call);
  Meeting meeting;
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
  {
    const Member member(meeting);
    if (!as_is)
      make_rows(layer, call, rows, scale, [&](int64_t m, float* row) {
        copy_row(layer, call, m, row);
      });
    multiply_rows(layer, call, rows, stride);
  }
}

}  // namespace

#include "block.h"
#include "conv.h"
#include "vit.h"

namespace sqap {
const Level SQAP_LEVEL = {linear, attention, block, vit_block, conv};
}
