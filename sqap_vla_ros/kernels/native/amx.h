// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// The panel product on AMX: 16 rows of 64 signed bytes times 64 x 16 unsigned bytes an instruction.
//
// Four groups of four inputs lie behind each other for every column of a packed panel, which is how
// a tile of weights is laid out too.  Half a panel is unpacked behind the other, so that 32 columns
// of 1024 inputs stay in the L1 cache while the rows pass, in 2 x 2 tiles of sums.  Columns and rows
// need no care at the edges: panels are whole, rows beyond the last are computed and not read, and
// activations beyond the last input are 0.
#pragma once

#include "bytes.h"

namespace {

// Shapes of all eight tiles: 16 rows of 64 bytes.
struct TileShapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileShapes) == 64);
constexpr TileShapes kShapes;

// Tiles of this thread, from now to the end of a scope.  Released, they cost no context switch.
//
// The whole 64 bytes are the instruction's operand, and every access to memory names it: GCC's
// intrinsics name 8 bytes or none, so that stores before them may be dropped or come too late.
struct TileScope {
  TileScope() { asm volatile("ldtilecfg %0" : : "m"(kShapes)); }
  ~TileScope() { asm volatile("tilerelease"); }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;
};

template <int tile>
inline void clear_tile() {
  asm volatile("tilezero %%tmm%c0" : : "i"(tile));
}

template <int tile>
inline void load_tile(const void* from, int64_t pitch) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(tile), "r"(from), "r"(pitch) : "memory");
}

template <int tile>
inline void store_tile(void* to, int64_t pitch) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(tile), "r"(to), "r"(pitch) : "memory");
}

// sums += signed bytes of a times unsigned bytes of w.
template <int sums, int a, int w>
inline void multiply_tiles() {
  asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(w));
}

constexpr int64_t kTileRows = 16, kTileInputs = 64, kHalfPanel = 32;
constexpr int64_t kFewestTileRows = 3;  // a product of fewer takes as long as one of 16
constexpr int64_t kSumPitch = kPanel * sizeof(int32_t), kWeightPitch = 4 * kHalfPanel;

// sums [16 or 32, 32 of kPanel] (+)= a [16 or 32, steps * 64] times w, half a panel.
template <bool two>
void tile_product(const int8_t* a, int64_t stride, const uint8_t* w, int64_t steps, int32_t* sums,
                  bool first) {
  int32_t* lower = sums + kTileRows * kPanel;
  clear_tile<0>(), clear_tile<1>(), clear_tile<2>(), clear_tile<3>();
  if (!first) {
    load_tile<0>(sums, kSumPitch), load_tile<1>(sums + 16, kSumPitch);
    if (two) load_tile<2>(lower, kSumPitch), load_tile<3>(lower + 16, kSumPitch);
  }
  for (int64_t s = 0; s < steps; s++, a += kTileInputs, w += kTileInputs * kHalfPanel) {
    load_tile<6>(w, kWeightPitch);
    load_tile<4>(a, stride);
    multiply_tiles<0, 4, 6>();
    load_tile<7>(w + 64, kWeightPitch);
    multiply_tiles<1, 4, 7>();
    if (!two) continue;
    load_tile<5>(a + kTileRows * stride, stride);
    multiply_tiles<2, 5, 6>();
    multiply_tiles<3, 5, 7>();
  }
  store_tile<0>(sums, kSumPitch), store_tile<1>(sums + 16, kSumPitch);
  if (two) store_tile<2>(lower, kSumPitch), store_tile<3>(lower + 16, kSumPitch);
}

// Write one group of four inputs of a panel, half of it to each half of unpacked.
inline void store_group(const Ints (&group)[4], uint8_t* unpacked, int64_t half_bytes) {
  store_bytes(unpacked, group[0]);
  store_bytes(unpacked + 64, group[1]);
  store_bytes(unpacked + half_bytes, group[2]);
  store_bytes(unpacked + half_bytes + 64, group[3]);
}

// Write `count` packed inputs of a panel as two halves, each [count / 4, 32 columns, 4].
template <int bits>
void unpack_panel(const uint8_t* packed, int64_t count, uint8_t* unpacked, int64_t half_bytes) {
  constexpr int64_t groups = 8 / bits;  // that share bytes
  for (int64_t k = 0; k < count; k += 4 * groups, packed += 4 * kPanel) {
    Ints low[4], high[4];
    for (int v = 0; v < 4; v++) {
      const Ints both = load_bytes(packed + 64 * v);
      low[v] = bits == 4 ? low_halves(both) : both;
      high[v] = high_halves(both);
    }
    store_group(low, unpacked, half_bytes);
    if (bits == 4) store_group(high, unpacked + kWeightPitch, half_bytes);
    unpacked += groups * kWeightPitch;
  }
}

// sums [last - first, kPanel] of one panel over all inputs.  a has rows up to a multiple of 16,
// and zeros behind the inputs up to a multiple of 64.
template <int bits>
int32_t* multiply_panel_by_tiles(const Layer& layer, const int8_t* a, int64_t stride,
                                 int64_t panel, int64_t first, int64_t last) {
  const TileScope scope;
  constexpr int64_t block = 1024;
  auto* buffer = scratch<uint8_t, 0>(block * kPanel);
  auto* sums = scratch<int32_t, 1>(round_up(last - first, 2 * kTileRows) * kPanel);
  const int64_t padded = round_up(layer.inputs, kGroup);
  const int64_t inputs = round_up(layer.inputs, kTileInputs);
  const int64_t share = even_share(inputs, block, kTileInputs);
  for (int64_t k = 0; k < inputs; k += share) {
    const int64_t count = smaller(share, inputs - k), half_bytes = count * kHalfPanel;
    unpack_panel<bits>(packed_at(layer, panel, k), smaller(count, padded - k), buffer, half_bytes);
    Ahead ahead(packed_at(layer, panel, k + count), count * kPanel * bits / 8,
                (last - first + 31) / 32 * 2);
    for (int64_t half = 0; half < 2; half++)
      for (int64_t row = first; row < last; row += 2 * kTileRows, ahead.fetch()) {
        const auto product = last - row > kTileRows ? tile_product<true> : tile_product<false>;
        product(a + row * stride + k, stride, buffer + half * half_bytes, count / kTileInputs,
                sums + (row - first) * kPanel + half * kHalfPanel, k == 0);
      }
  }
  return sums;
}

}  // namespace
