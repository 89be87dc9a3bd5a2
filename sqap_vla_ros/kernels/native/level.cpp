// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// The kernels for one instruction set; compiled once for each, with its flags (see build.py).
//
// A panel of 64 output channels is unpacked block by block of input channels into a buffer that
// stays in the L1 cache, and meets all rows there, in tiles of sums that stay in registers.
#include "attention.h"
#include "bytes.h"
#if defined(__AMX_INT8__)
#include "amx_attention.h"
#endif
#include "rows.h"
#include "tile.h"
#include "writing.h"

namespace {

#if defined(__AMX_INT8__)
constexpr int64_t kRowsTogether = 2 * kTileRows;  // that a product takes at once
constexpr int64_t kMostBytes = 2;                 // of a rounded value
#else
constexpr int64_t kRowsTogether = kRows, kMostBytes = 1;
#endif

// Bytes from one rounded row to the next: an odd number of cache lines, so that neighbouring rows
// do not fight for the same places in the cache.
int64_t byte_stride(int64_t inputs) { return round_up(inputs, 64) | 64; }

// Whether weights and rows are bfloat16.
inline bool in_halves(const Layer& layer) { return layer.weight_bits == 16; }

// Whether rows stay floats.
inline bool in_floats(const Layer& layer) { return layer.act_bits == 16 && !in_halves(layer); }

// Whether a call's rows are made as tiles.
inline bool in_tiles(const Layer& layer, const Call& call) {
#if defined(__AMX_INT8__)
  return in_halves(layer) || call.rows >= kFewestTileRows;
#else
  return false;
#endif
}

// Rows as a product reads them: rounded, or with 16-bit activations floats.
struct Rows {
  int8_t* values;  // [rows, byte_stride], or the tiles of amx.h
  int32_t* sums;   // [rows]
  float* scales;   // [rows]
  float* floats;   // [rows, stride]
};

// sums [last - first, kPanel] of one panel over all input channels.
template <class Kind>
typename Kind::Sum* multiply_panel(const Layer& layer, const typename Kind::Input* a,
                                   int64_t stride, int64_t panel, int64_t first, int64_t last) {
  const int64_t inputs = round_up(layer.inputs, Kind::multiple);
  auto* buffer = scratch<typename Kind::Weight, 0>(Kind::planes * Kind::block * kPanel);
  auto* sums = scratch<typename Kind::Sum, 1>((last - first) * kPanel);
  const int64_t share = even_share(inputs, Kind::block, kGroup);
  // A single fetch behind a tile of few rows only holds up what reads that memory next (floats).
  const bool is_small = last - first <= kRows && Kind::low < kRows;
  const int64_t step = is_small ? Kind::low : kRows;
  for (int64_t k = 0; k < inputs; k += share) {
    const int64_t count = smaller(share, inputs - k);
    const auto* w = Kind::unpack(layer, panel, k, count, buffer);
    Ahead ahead(packed_at(layer, panel, k + count),
                is_small ? 0 : count * kPanel * layer.weight_bits / 8,
                (last - first + kRows - 1) / kRows);
    for (int64_t row = first; row < last; row += step, ahead.fetch())
      Kind::accumulate(smaller(step, last - row), a + row * stride + k, stride, w, count,
                     sums + (row - first) * kPanel, k == 0);
  }
  return sums;
}

// Call done(row, sums) for rows of a panel of bytes, multiplied by what is fastest for so many.
template <int bits, class Done>
void multiply_bytes(const Layer& layer, const Call& call, const int8_t* a, int64_t panel,
                    int64_t first, int64_t last, Done done) {
#if defined(__AMX_INT8__)
  if (in_tiles(layer, call)) {
    auto* buffer = scratch<uint8_t, 0>(kMostTileBytes * kPanel);
    const int64_t padded = round_up(layer.inputs, kGroup);
    multiply_panel_by_tiles<ByteTiles, int32_t>(
        tiled_bytes(layer.inputs), a, first, last,
        [&](int64_t k, int64_t count, int64_t fetches) {
          const int64_t next = count * kTileRows;
          unpack_panel<bits>(packed_at(layer, panel, k), smaller(count, padded - k), buffer, next);
          return TileWeights{buffer, next, Ahead(packed_at(layer, panel, k + count),
                                                 count * kPanel * bits / 8, fetches)};
        },
        done);
    return;
  }
#endif
  const int32_t* sums =
      multiply_panel<Bytes<bits>>(layer, a, byte_stride(layer.inputs), panel, first, last);
  for (int64_t row = first; row < last; row++, sums += kPanel) done(row, sums);
}

template <int bits>
void integer_panel(const Layer& layer, const Call& call, const Rows& rows, int64_t panel,
                   int64_t first, int64_t last) {
  alignas(64) float scale[kPanel], bias[kPanel];
  const int64_t column = panel * kPanel, n = smaller(kPanel, layer.outputs - column);
  padded_copy(layer.scale + column, n, scale);
  padded_copy(layer.bias ? layer.bias + column : nullptr, n, bias);
  multiply_bytes<bits>(layer, call, rows.values, panel, first, last,
                       [&](int64_t row, const int32_t* sums) {
    const Ints offset = fill_ints((bits == 4 ? 8 : 128) * rows.sums[row]);
    const Floats row_scale = fill(rows.scales[row]);
    write_row(layer, call, row, panel, bias, [&](int64_t i) {
      const Floats value = to_floats(subtract(load(sums + i), offset));
      return multiply(multiply(value, load(scale + i)), row_scale);
    });
  });
}

#if defined(__AMX_INT8__)
void half_panel(const Layer& layer, const Call& call, const Rows& rows, int64_t panel,
                int64_t first, int64_t last) {
  alignas(64) float bias[kPanel];
  const int64_t column = panel * kPanel;
  padded_copy(layer.bias ? layer.bias + column : nullptr, layer.outputs - column, bias);
  const int64_t bytes = tiled_bytes(2 * layer.inputs);
  multiply_panel_by_tiles<HalfTiles, float>(
      bytes, rows.values, first, last,
      [&](int64_t k, int64_t count, int64_t fetches) {
        const uint8_t *own = layer.weight + panel * bytes * kPanel, *behind = own + bytes * kPanel;
        return TileWeights{own + k * kTileRows, bytes * kTileRows,
                           Ahead(behind + k * kPanel, count * kPanel, fetches)};
      },
      [&](int64_t row, const float* sums) {
        write_row(layer, call, row, panel, bias, [&](int64_t i) { return load(sums + i); });
      });
}
#endif

template <int bits>
void float_panel(const Layer& layer, const Call& call, const float* values, int64_t stride,
                 int64_t panel, int64_t first, int64_t last) {
  const float* sums = multiply_panel<Reals<bits>>(layer, values, stride, panel, first, last);
  alignas(64) float bias[kPanel];
  const int64_t column = panel * kPanel;
  padded_copy(layer.bias ? layer.bias + column : nullptr, layer.outputs - column, bias);
  for (int64_t row = first; row < last; row++, sums += kPanel)
    write_row(layer, call, row, panel, bias, [&](int64_t i) { return load(sums + i); });
}

// Rows that one task takes: all, unless there are too few panels for the threads.
int64_t rows_a_task(const Layer& layer, const Call& call) {
  const int64_t panels = round_up(layer.outputs, kPanel) / kPanel;
  const int64_t parts = call.threads == 1 ? 1 : (4 * call.threads + panels - 1) / panels;
  return round_up((call.rows + parts - 1) / parts, kRowsTogether);
}

// Call function(panel, first row, last row) for all of the output; inside a parallel region.
template <class Function>
void share_panels(const Layer& layer, const Call& call, Function function) {
  const int64_t panels = round_up(layer.outputs, kPanel) / kPanel;
  const int64_t share = rows_a_task(layer, call), parts = (call.rows + share - 1) / share;
#pragma omp for schedule(dynamic)
  for (int64_t task = 0; task < panels * parts; task++) {
    const int64_t first = task % parts * share;
    function(task / parts, first, smaller(first + share, call.rows));
  }
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
#pragma omp for
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
}

// Multiply rows by a layer's weights; inside a parallel region.  stride: of floats.
void multiply_rows(const Layer& layer, const Call& call, const Rows& rows, int64_t stride) {
#if defined(__AMX_INT8__)
  if (in_halves(layer)) {
    share_panels(layer, call, [&](int64_t p, int64_t first, int64_t last) {
      half_panel(layer, call, rows, p, first, last);
    });
    return;
  }
#endif
  if (in_floats(layer)) {
    const auto panel = layer.weight_bits == 4   ? float_panel<4>
                       : layer.weight_bits == 8 ? float_panel<8>
                                                : float_panel<32>;
    share_panels(layer, call, [&](int64_t p, int64_t first, int64_t last) {
      panel(layer, call, rows.floats, stride, p, first, last);
    });
    return;
  }
  const auto panel = layer.weight_bits == 4 ? integer_panel<4> : integer_panel<8>;
  share_panels(layer, call, [&](int64_t p, int64_t first, int64_t last) {
    panel(layer, call, rows, p, first, last);
  });
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

// Memory for rows of so many floats or integers, of the thread that asks.
Rows rows_memory(int64_t rows, int64_t width, bool floats) {
  const int64_t bytes = round_up(rows, kRowsTogether) * byte_stride(kMostBytes * width);
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
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
  {
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
