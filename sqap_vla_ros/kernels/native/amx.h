// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// The panel product on AMX: 16 rows times 16 columns an instruction, over 64 inputs in bytes
// (signed activations, unsigned weights) or 32 in bfloat16.
//
// Rows lie in memory as the tiles that they are loaded in, 16 rows of 64 bytes each, one behind
// the other along the inputs, or are loaded from an image (conv.h).  So do weights, 16 columns of
// 64 inputs (32) a tile, of which four (two) neighbouring inputs of a column lie side by side.
// 32 columns of a panel and at most 512 bytes of inputs, which stay in the L1 cache, meet 32 rows
// at a time, in 2 x 2 tiles of sums.  Columns and rows need no care at the edges: panels are
// whole, rows beyond the last are computed and not read, and activations beyond the last input
// are 0.
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

constexpr int64_t kTileRows = 16, kTileBytes = 64, kTile = kTileRows * kTileBytes;
constexpr int64_t kMostTileBytes = 512;  // of inputs whose panel is unpacked at once
constexpr int64_t kFewestTileRows = 3;  // a product of fewer takes as long as one of 16
constexpr int64_t kTileColumns = 32;  // of a panel at a time

// Signed bytes of a times unsigned bytes of w.
struct ByteTiles {
  template <int sums, int a, int w>
  static void multiply() {
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(w));
  }
};

// Pairs of bfloat16.
struct HalfTiles {
  template <int sums, int a, int w>
  static void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(w));
  }
};

// Bytes that a row takes among tiles, for so many bytes of values.
inline int64_t tiled_bytes(int64_t bytes) { return round_up(bytes, kTileBytes); }

// Rows whose tiles lie one behind the other along the inputs.
struct TileRows {
  const int8_t* tiles;
  int64_t bytes;  // of a row
  static constexpr int64_t pitch = kTileBytes;
  const int8_t* at(int64_t row) const { return tiles + row * bytes; }  // row: a multiple of 16
  static int64_t offset(int64_t step) { return step * kTile; }
};

// sums [16 or 32, 32], a row every sum_pitch bytes, (+)= a times w: tiles first..last-1 of the
// rows from `row` on, and as many of weights, for the right columns w_next bytes further.
// between() is called behind the products of each step, which go on meanwhile.
template <class Kind, bool two, class A, class Between>
void tile_product(const A& a, int64_t row, int64_t first, int64_t last, const void* w_tiles,
                  int64_t w_next, void* sums, int64_t sum_pitch, Between between) {
  const int8_t *a_upper = a.at(row), *a_lower = two ? a.at(row + kTileRows) : nullptr;
  auto* w = static_cast<const uint8_t*>(w_tiles);
  auto *upper = static_cast<uint8_t*>(sums), *lower = upper + kTileRows * sum_pitch;
  clear_tile<0>(), clear_tile<1>(), clear_tile<2>(), clear_tile<3>();
  if (first > 0) {
    load_tile<0>(upper, sum_pitch), load_tile<1>(upper + 64, sum_pitch);
    if (two) load_tile<2>(lower, sum_pitch), load_tile<3>(lower + 64, sum_pitch);
  }
  for (int64_t s = first; s < last; s++, w += kTile) {
    load_tile<6>(w, kTileBytes);
    load_tile<4>(a_upper + a.offset(s), a.pitch);
    Kind::template multiply<0, 4, 6>();
    load_tile<7>(w + w_next, kTileBytes);
    Kind::template multiply<1, 4, 7>();
    if (two) {
      load_tile<5>(a_lower + a.offset(s), a.pitch);
      Kind::template multiply<2, 5, 6>();
      Kind::template multiply<3, 5, 7>();
    }
    between();
  }
  store_tile<0>(upper, sum_pitch), store_tile<1>(upper + 64, sum_pitch);
  if (two) store_tile<2>(lower, sum_pitch), store_tile<3>(lower + 64, sum_pitch);
}

// Put the bytes of one row, of which there are whole lines, where row m stands among tiles.
inline void place_row(const void* row, int64_t bytes, int64_t m, int8_t* tiles) {
  auto* from = static_cast<const uint8_t*>(row);
  auto* to = reinterpret_cast<uint8_t*>(tiles) + m / kTileRows * kTileRows * bytes +
             m % kTileRows * kTileBytes;
  for (int64_t i = 0; i < bytes; i += kTileBytes, to += kTile)
    store_bytes(to, load_bytes(from + i));
}

// Write `count` packed inputs of a panel as four columns of tiles, `next` bytes apart.
template <int bits>
void unpack_panel(const uint8_t* packed, int64_t count, uint8_t* unpacked, int64_t next) {
  constexpr int64_t groups = 8 / bits;  // of four inputs, that share bytes
  for (int64_t k = 0; k < count; k += 4 * groups, packed += 4 * kPanel, unpacked += groups * 64)
    for (int64_t v = 0; v < 4; v++) {
      const Ints both = load_bytes(packed + 64 * v);
      store_bytes(unpacked + v * next, bits == 4 ? low_halves(both) : both);
      if (bits == 4) store_bytes(unpacked + v * next + 64, high_halves(both));
    }
}

// Weights of a panel for some of its inputs: the tiles of 16 columns, those of the next 16 `next`
// bytes further, and what of memory is needed behind them.
struct TileWeights {
  const uint8_t* tiles;
  int64_t next;
  Ahead ahead;
};

// Call done(row, part, sums) for rows first..last-1 of one panel, `first` being a multiple of 16,
// and each of its `parts` of 32 columns, with their sums [32] over `bytes` of inputs;
// weights(k, count, fetches) gives those of so many of them.  Tiles of rows go up to a multiple of
// 16.
//
// What is done with the sums of 32 rows stands between the products of the next 32: the
// processor's tiles work at these meanwhile.
template <class Kind, class Sum, class A, class Weights, class Done>
void multiply_panel_by_tiles(int64_t bytes, const A& a, int64_t first, int64_t last, int64_t parts,
                             Weights weights, Done done) {
  constexpr int64_t step = 2 * kTileRows, pitch = kTileColumns * sizeof(Sum);
  const TileScope scope;
  const int64_t share = even_share(bytes, kMostTileBytes, kTileBytes);
  const bool once = share >= bytes;
  const int64_t kept = once ? step : round_up(last - first, step);
  auto* sums = scratch<Sum, 1>(2 * kept * kTileColumns);
  struct {
    int64_t rows, row, part;
    const Sum* sums;
  } ready = {};
  const auto finish = [&](int64_t rows) {
    for (; rows > 0 && ready.rows > 0; rows--, ready.rows--, ready.sums += kTileColumns)
      done(ready.row++, ready.part, ready.sums);
  };
  for (int64_t k = 0, turn = 0; k < bytes; k += share) {
    const int64_t from = k / kTileBytes, until = smaller(k + share, bytes) / kTileBytes;
    const int64_t strips = (last - first + step - 1) / step;
    TileWeights w = weights(k, (until - from) * kTileBytes, parts * strips);
    for (int64_t part = 0; part < parts; part++)
      for (int64_t row = first; row < last; row += step, turn++, w.ahead.fetch()) {
        const int64_t rows = smaller(step, last - row);
        Sum* at = sums + (once ? turn % 2 * step : part * kept + row - first) * kTileColumns;
        const auto* right = w.tiles + 2 * part * w.next;
        const int64_t each = (ready.rows + until - from - 1) / (until - from);
        const auto between = [&] { finish(each); };
        rows > kTileRows
            ? tile_product<Kind, true>(a, row, from, until, right, w.next, at, pitch, between)
            : tile_product<Kind, false>(a, row, from, until, right, w.next, at, pitch, between);
        if (k + share < bytes) continue;
        finish(step);
        ready = {rows, row, part, at};
      }
  }
  finish(step);
}

// Write 32 floats in bfloat16, to nearest even.
inline void store_halves(Floats first, Floats second, void* to) {
  const __m512bh both = _mm512_cvtne2ps_pbh(second, first);
  std::memcpy(to, &both, sizeof both);
}

// to [n] = from in bfloat16; n is a multiple of 32.
inline void round_to_halves(const float* from, int64_t n, uint16_t* to) {
  for (int64_t i = 0; i < n; i += 32) store_halves(load(from + i), load(from + i + 16), to + i);
}

}  // namespace
