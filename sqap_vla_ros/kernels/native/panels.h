// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Products of rows with one panel of 64 output channels, for every kind of layer.
//
// Each hands what it gives to a writer while it is in the L1 cache: write(Columns<n>, row, column,
// value), where value(i) are columns column+i..column+i+kLanes-1 of the row, with the bias; columns
// beyond the layer's last are 0 in rows that are finite.  Some time before, where there is such a
// time, write.expect(Columns<n>, row, column) may ask for the memory that this will go to.
#pragma once

#include <type_traits>

#include "bytes.h"
#if defined(__AMX_INT8__)
#include "amx.h"
#endif
#include "tile.h"
#include "writing.h"

namespace {

#if defined(__AMX_INT8__)
constexpr int64_t kRowsTogether = 2 * kTileRows;  // that a product takes at once
constexpr int64_t kMostBytes = 2;                 // of a rounded value
constexpr int64_t kRowsAhead = 16;                // whose memory is asked for
#else
constexpr int64_t kRowsTogether = kRows, kMostBytes = 1;
#endif

constexpr int64_t kManyRows = 48;        // whose sums, 12 KiB, leave the L1 cache room
constexpr int64_t kPanelInCache = 2048;  // inputs of a panel that every L2 cache holds

// So many columns of a panel, as a type.
template <int64_t columns>
using Columns = std::integral_constant<int64_t, columns>;

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

// How many rows meet all input channels of a panel, of which `share` at a time are unpacked, before
// the next rows do: few, whose sums stay in the L1 cache, where weights need no second unpacking.
template <class Kind>
int64_t rows_together(int64_t inputs, int64_t share, int64_t rows) {
  if (share >= inputs) return kRows;
  return Kind::as_packed && inputs <= kPanelInCache ? kManyRows : rows;
}

// Call done(row, sums [kPanel]) for rows of one panel, summed over all input channels, and, if they
// are multiplied in several shares, expect(row) before the first.
template <class Kind, class Expect, class Done>
void multiply_panel(const Layer& layer, const typename Kind::Input* a, int64_t stride,
                    int64_t panel, int64_t first, int64_t last, Expect expect, Done done) {
  const int64_t inputs = round_up(layer.inputs, Kind::multiple);
  auto* buffer = scratch<typename Kind::Weight, 0>(Kind::planes * Kind::block * kPanel);
  const int64_t share = even_share(inputs, Kind::block, kGroup);
  // A single fetch behind a tile of few rows only holds up what reads that memory next (floats).
  const bool is_small = last - first <= kRows && Kind::low < kRows;
  const int64_t step = is_small ? Kind::low : kRows;
  const int64_t together = rows_together<Kind>(inputs, share, last - first);
  const int64_t met = together < kManyRows ? last - first : smaller(together, last - first);
  const int64_t tiles = (met + kRows - 1) / kRows;
  auto* sums = scratch<typename Kind::Sum, 1>(together * kPanel);
  const typename Kind::Weight* w = nullptr;
  Ahead ahead(nullptr, 0, 1);
  for (int64_t start = first; start < last; start += together) {
    const int64_t end = smaller(start + together, last);
    for (int64_t k = 0; k < inputs; k += share) {
      const int64_t count = smaller(share, inputs - k);
      if (start == first || share < inputs) {
        w = Kind::unpack(layer, panel, k, count, buffer);
        const bool is_next = start == first && !is_small;
        ahead = Ahead(packed_at(layer, panel, k + count),
                      is_next ? count * kPanel * layer.weight_bits / 8 : 0, tiles);
      }
      const bool is_last = k + count == inputs, expects = k == 0 && !is_last;
      for (int64_t row = start; row < end; row += step, ahead.fetch()) {
        const int64_t rows = smaller(step, end - row);
        auto* own = sums + (row - start) * kPanel;
        for (int64_t r = 0; expects && r < rows; r++) expect(row + r);
        Kind::accumulate(rows, a + row * stride + k, stride, w, count, own, k == 0);
        for (int64_t r = 0; is_last && r < rows; r++) done(row + r, own + r * kPanel);
      }
    }
  }
}

#if defined(__AMX_INT8__)
// How many parts of a panel have columns of a layer.
inline int64_t parts_of(const Layer& layer, int64_t panel) {
  return layer.outputs - panel * kPanel > kTileColumns ? 2 : 1;
}
#endif

// Call done(Columns, row, first column of the panel, sums) for rows of a panel of bytes,
// multiplied by what is fastest for so many, and before that expect(Columns, row, column).
template <int bits, class Expect, class Done>
void multiply_bytes(const Layer& layer, const Call& call, const int8_t* a, int64_t panel,
                    int64_t first, int64_t last, Expect expect, Done done) {
#if defined(__AMX_INT8__)
  if (in_tiles(layer, call)) {
    auto* buffer = scratch<uint8_t, 0>(kMostTileBytes * kPanel);
    const int64_t padded = round_up(layer.inputs, kGroup), bytes = tiled_bytes(layer.inputs);
    multiply_panel_by_tiles<ByteTiles, int32_t>(
        bytes, TileRows{a, bytes}, first, last, parts_of(layer, panel),
        [&](int64_t k, int64_t count, int64_t fetches) {
          const int64_t next = count * kTileRows;
          unpack_panel<bits>(packed_at(layer, panel, k), smaller(count, padded - k), buffer, next);
          return TileWeights{buffer, next, Ahead(packed_at(layer, panel, k + count),
                                                 count * kPanel * bits / 8, fetches)};
        },
        [&](int64_t row, int64_t part, const int32_t* sums) {
          const Columns<kTileColumns> columns;
          if (row + kRowsAhead < last) expect(columns, row + kRowsAhead, part * kTileColumns);
          done(columns, row, part * kTileColumns, sums);
        });
    return;
  }
#endif
  multiply_panel<Bytes<bits>>(
      layer, a, byte_stride(layer.inputs), panel, first, last,
      [&](int64_t row) { expect(Columns<kPanel>{}, row, 0); },
      [&](int64_t row, const int32_t* sums) { done(Columns<kPanel>{}, row, 0, sums); });
}

template <int bits, class Writer>
void integer_panel(const Layer& layer, const Call& call, const Rows& rows, int64_t panel,
                   int64_t first, int64_t last, const Writer& write) {
  alignas(64) float scale[kPanel], bias[kPanel];
  const int64_t start = panel * kPanel, n = smaller(kPanel, layer.outputs - start);
  padded_copy(layer.scale + start, n, scale);
  padded_copy(layer.bias ? layer.bias + start : nullptr, n, bias);
  const auto expect = [&](auto columns, int64_t row, int64_t column) {
    write.expect(columns, row, start + column);
  };
  multiply_bytes<bits>(layer, call, rows.values, panel, first, last, expect,
                       [&](auto columns, int64_t row, int64_t column, const int32_t* sums) {
    const Ints offset = fill_ints((bits == 4 ? 8 : 128) * rows.sums[row]);
    const Floats row_scale = fill(rows.scales[row]);
    write(columns, row, start + column, [&](int64_t i) {
      const Floats value = to_floats(subtract(load(sums + i), offset));
      const Floats scaled = multiply(multiply(value, load(scale + column + i)), row_scale);
      return layer.bias ? add(scaled, load(bias + column + i)) : scaled;
    });
  });
}

#if defined(__AMX_INT8__)
// a: where the rows' tiles lie.
template <class A, class Writer>
void half_panel(const Layer& layer, const A& a, int64_t panel, int64_t first, int64_t last,
                const Writer& write) {
  alignas(64) float bias[kPanel];
  const int64_t start = panel * kPanel, bytes = tiled_bytes(2 * layer.inputs);
  padded_copy(layer.bias ? layer.bias + start : nullptr, layer.outputs - start, bias);
  multiply_panel_by_tiles<HalfTiles, float>(
      bytes, a, first, last, parts_of(layer, panel),
      [&](int64_t k, int64_t count, int64_t fetches) {
        const uint8_t *own = layer.weight + panel * bytes * kPanel, *behind = own + bytes * kPanel;
        return TileWeights{own + k * kTileRows, bytes * kTileRows,
                           Ahead(behind + k * kPanel, count * kPanel, fetches)};
      },
      [&](int64_t row, int64_t part, const float* sums) {
        const Columns<kTileColumns> columns;
        const int64_t column = start + part * kTileColumns;
        const float* own = bias + part * kTileColumns;
        if (row + kRowsAhead < last) write.expect(columns, row + kRowsAhead, column);
        write(columns, row, column,
              [&](int64_t i) { return add(load(sums + i), load(own + i)); });
      });
}
#endif

template <int bits, class Writer>
void float_panel(const Layer& layer, const float* values, int64_t stride, int64_t panel,
                 int64_t first, int64_t last, const Writer& write) {
  alignas(64) float bias[kPanel];
  const int64_t start = panel * kPanel;
  padded_copy(layer.bias ? layer.bias + start : nullptr, layer.outputs - start, bias);
  multiply_panel<Reals<bits>>(
      layer, values, stride, panel, first, last,
      [&](int64_t row) { write.expect(Columns<kPanel>{}, row, start); },
      [&](int64_t row, const float* sums) {
        write(Columns<kPanel>{}, row, start, [&](int64_t i) {
          return layer.bias ? add(load(sums + i), load(bias + i)) : load(sums + i);
        });
      });
}

// Multiply rows by one panel of a layer; stride: of floats.
template <class Writer>
void multiply_rows_by_panel(const Layer& layer, const Call& call, const Rows& rows, int64_t stride,
                            int64_t panel, int64_t first, int64_t last, const Writer& write) {
#if defined(__AMX_INT8__)
  if (in_halves(layer)) {
    half_panel(layer, TileRows{rows.values, tiled_bytes(2 * layer.inputs)}, panel, first, last,
               write);
    return;
  }
#endif
  if (!in_floats(layer))
    (layer.weight_bits == 4 ? integer_panel<4, Writer> : integer_panel<8, Writer>)(
        layer, call, rows, panel, first, last, write);
  else
    (layer.weight_bits == 4   ? float_panel<4, Writer>
     : layer.weight_bits == 8 ? float_panel<8, Writer>
                              : float_panel<32, Writer>)(layer, rows.floats, stride, panel, first,
                                                         last, write);
}

}  // namespace
