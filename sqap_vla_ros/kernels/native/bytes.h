// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of quantized rows: unsigned bytes of weights, signed bytes of activations, int32
// sums.  With VNNI one instruction adds four products.  AVX2 has none that does so exactly for any
// bytes: it adds pairs of products in int16, which holds eight pairs of 4-bit weights, so that an
// 8-bit weight is two of 4 bits there.
#pragma once

#include "tile.h"

namespace {

// Write bytes first..first+count-1 of the inputs of a panel of 4-bit weights to unpacked.
inline void unpack_halves(const uint8_t* packed, int64_t count, uint8_t* unpacked) {
  constexpr int64_t half = 4 * kPanel, bytes = 4 * kLanes;
  for (int64_t unit = 0; unit < count / 8; unit++, packed += half, unpacked += 2 * half)
    for (int64_t i = 0; i < half; i += bytes) {
      const Ints both = load_bytes(packed + i);
      store_bytes(unpacked + i, low_halves(both));
      store_bytes(unpacked + half + i, high_halves(both));
    }
}

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)

template <int bits>
struct Bytes {
  using Input = int8_t;
  using Weight = uint8_t;
  using Sum = int32_t;
  using Vector = Ints;
  static constexpr int64_t block = sqap::kBlock, planes = 1, width = 4, multiple = kGroup;
  static constexpr int64_t low = kRows;
  static constexpr bool as_packed = bits == 8;  // need no unpacking
  static Vector zero() { return fill_ints(0); }
  static Vector input(const Input* a) { return fill_ints(four_bytes(a)); }
  static Vector weight(const Weight* w) { return load_bytes(w); }
  static Vector step(Vector sum, Vector w, Vector a) { return dot(sum, w, a); }

  // Return the bytes of inputs first..first+count-1 of a panel, unpacked into buffer if need be.
  static const Weight* unpack(const Layer& layer, int64_t panel, int64_t first, int64_t count,
                              Weight* buffer) {
    const uint8_t* packed = packed_at(layer, panel, first);
    if constexpr (bits == 8) return packed;
    unpack_halves(packed, count, buffer);
    return buffer;
  }

  static void accumulate(int64_t rows, const Input* a, int64_t stride, const Weight* w,
                         int64_t count, Sum* sums, bool first) {
    kTiles<Bytes>[rows](a, stride, w, count / width, sums, first);
  }
};

#else

constexpr int kRun = 8;  // steps of four inputs: 8 * 2 * 15 * 128 < 2^15

// sums [rows, kVectors] of int16 pairs (+)= one step.
template <int rows, bool more>
inline void short_step(const int8_t* a, int64_t stride, const uint8_t* w,
                       Ints (&sums)[rows][kVectors]) {
  Ints weight[kVectors];
  for (int v = 0; v < kVectors; v++) weight[v] = load_bytes(w + v * kLanes * 4);
  for (int r = 0; r < rows; r++) {
    const Ints input = fill_ints(four_bytes(a + r * stride));
    for (int v = 0; v < kVectors; v++) {
      const Ints pairs = _mm256_maddubs_epi16(weight[v], input);
      sums[r][v] = more ? _mm256_add_epi16(sums[r][v], pairs) : pairs;
      asm volatile("" : "+x"(sums[r][v]));  // here and now: compilers run out of registers else
    }
  }
}

// int16 pairs of up to kRun steps.
template <int rows>
inline void short_run(const int8_t* a, int64_t stride, const uint8_t* w, int64_t steps,
                      Ints (&sums)[rows][kVectors]) {
  short_step<rows, false>(a, stride, w, sums);
  if (steps == kRun) {
#pragma GCC unroll 8
    for (int s = 1; s < kRun; s++)
      short_step<rows, true>(a + 4 * s, stride, w + s * kPanel * 4, sums);
  } else {
    for (int s = 1; s < steps; s++)
      short_step<rows, true>(a + 4 * s, stride, w + s * kPanel * 4, sums);
  }
}

// sums [rows, kPanel] += factor * a [rows, 4 steps] times w [4 steps, kPanel] of 4-bit weights.
template <int rows>
void short_tile(const int8_t* a, int64_t stride, const uint8_t* w, int64_t steps, int32_t* sums,
                Ints factor) {
  for (int64_t column = 0; column < kPanel; column += kVectors * kLanes)
    for (int64_t s = 0; s < steps; s += kRun) {
      Ints pairs[rows][kVectors];
      short_run(a + 4 * s, stride, w + (s * kPanel + column) * 4, smaller(kRun, steps - s), pairs);
      for (int r = 0; r < rows; r++)
        for (int v = 0; v < kVectors; v++) {
          int32_t* at = sums + r * kPanel + column + v * kLanes;
          store(at, add(load(at), _mm256_madd_epi16(pairs[r][v], factor)));
        }
    }
}

using ShortTile = void (*)(const int8_t*, int64_t, const uint8_t*, int64_t, int32_t*, Ints);
constexpr ShortTile kShortTiles[] = {nullptr,       short_tile<1>, short_tile<2>, short_tile<3>,
                                     short_tile<4>, short_tile<5>, short_tile<6>};

template <int bits>
struct Bytes {
  using Input = int8_t;
  using Weight = uint8_t;
  using Sum = int32_t;
  static constexpr int64_t planes = bits / 4, block = 384 / planes, multiple = kGroup;
  static constexpr int64_t low = kRows;
  static constexpr bool as_packed = false;

  // Write inputs first..first+count-1 of a panel to buffer: low halves, then for 8 bits the high.
  static const Weight* unpack(const Layer& layer, int64_t panel, int64_t first, int64_t count,
                              Weight* buffer) {
    const uint8_t* packed = packed_at(layer, panel, first);
    if constexpr (bits == 4) unpack_halves(packed, count, buffer);
    for (int64_t i = 0; bits == 8 && i < count * kPanel; i += 4 * kLanes) {
      const Ints both = load_bytes(packed + i);
      store_bytes(buffer + i, low_halves(both));
      store_bytes(buffer + block * kPanel + i, high_halves(both));
    }
    return buffer;
  }

  static void accumulate(int64_t rows, const Input* a, int64_t stride, const Weight* w,
                         int64_t count, Sum* sums, bool first) {
    if (first) std::memset(sums, 0, rows * kPanel * sizeof(Sum));
    for (int64_t plane = 0; plane < planes; plane++)
      kShortTiles[rows](a, stride, w + plane * block * kPanel, count / 4, sums,
                        _mm256_set1_epi16(plane ? 16 : 1));
  }
};

#endif

}  // namespace
