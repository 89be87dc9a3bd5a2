// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Products of a few rows with a panel of 64 columns, with their sums in registers; and memory.
#pragma once

#include <cstdlib>

#include "sqap_kernels.h"
#include "vectors.h"

namespace {

using sqap::kGroup;
using sqap::kPanel;
using sqap::Layer;
using sqap::round_up;
using sqap::smaller;

// Memory of one thread that grows and is kept, so that no call waits for fresh pages.
struct Memory {
  void* start = nullptr;
  size_t size = 0;
  ~Memory() { std::free(start); }
};

template <class T, int which>
T* scratch(int64_t count) {
  static thread_local Memory memory;
  const size_t wanted = round_up(count * sizeof(T), 64) + 64;
  if (memory.size < wanted) {
    std::free(memory.start);
    memory.start = std::aligned_alloc(64, wanted);
    if (!memory.start) std::abort();
    memory.size = wanted;
  }
  return static_cast<T*>(memory.start);
}

// The arithmetic of a tile: bytes and int32 sums.
template <int bits>
struct Bytes {
  using Input = int8_t;
  using Weight = uint8_t;
  using Sum = int32_t;
  using Vector = Ints;
  static constexpr int64_t block = sqap::kBlock, width = 4, multiple = kGroup;  // of inputs
  static Vector zero() { return fill_ints(0); }
  static Vector input(const Input* a) { return fill_ints(four_bytes(a)); }
  static Vector weight(const Weight* w) { return load_bytes(w); }
  static Vector step(Vector sum, Vector w, Vector a) { return dot<bits>(sum, w, a); }

  // Return the bytes of inputs first..first+count-1 of a panel, unpacked into buffer if need be.
  static const Weight* unpack(const Layer& layer, int64_t panel, int64_t first, int64_t count,
                              Weight* buffer) {
    const int64_t padded = round_up(layer.inputs, kGroup);
    const uint8_t* packed = layer.weight + (panel * padded + first) * kPanel * bits / 8;
    if constexpr (bits == 8) return packed;
    constexpr int64_t half = 4 * kPanel, bytes = 4 * kLanes;
    for (int64_t unit = 0; unit < count * kPanel / (2 * half); unit++)
      for (int64_t i = 0; i < half; i += bytes) {
        const Ints both = load_bytes(packed + unit * half + i);
        store_bytes(buffer + 2 * unit * half + i, low_halves(both));
        store_bytes(buffer + (2 * unit + 1) * half + i, high_halves(both));
      }
    return buffer;
  }
};

// The arithmetic of a tile: floats throughout, weights turned into floats panel by panel.
template <int bits>
struct Reals {
  using Input = float;
  using Weight = float;
  using Sum = float;
  using Vector = Floats;
  static constexpr int64_t block = sqap::kBlock / 4, width = 1, multiple = 1;
  static Vector zero() { return fill(0.0f); }
  static Vector input(const Input* a) { return fill(*a); }
  static Vector weight(const Weight* w) { return load(w); }
  static Vector step(Vector sum, Vector w, Vector a) { return fused(w, a, sum); }

  static const Weight* unpack(const Layer& layer, int64_t panel, int64_t first, int64_t count,
                              Weight* buffer) {
    const int64_t padded = round_up(layer.inputs, kGroup), size = layer.inputs / layer.groups;
    const uint8_t* packed = layer.weight + (panel * padded + first) * kPanel * bits / 8;
    if constexpr (bits == 32) return reinterpret_cast<const float*>(packed);
    alignas(64) float scale[kPanel] = {};
    for (int64_t k = 0; k < count; k++) {
      const int64_t group = smaller(first + k, layer.inputs - 1) / size;
      if (k == 0 || (first + k) % size == 0)
        for (int64_t n = 0; n < smaller(kPanel, layer.outputs - panel * kPanel); n++)
          scale[n] = layer.scale[(panel * kPanel + n) * layer.groups + group];
      const uint8_t* row = packed + (bits == 8 ? k : k / 2) * kPanel;
      for (int64_t n = 0; n < kPanel; n += kLanes) {
        Ints value = widen_bytes(row + n);
        if (bits == 4) value = k % 2 ? shift_right(value, 4) : low_halves(value);
        value = subtract(value, fill_ints(bits == 4 ? 8 : 128));
        store(buffer + k * kPanel + n, multiply(to_floats(value), load(scale + n)));
      }
    }
    return buffer;
  }
};

// sums [rows, kPanel] (+)= a [rows, steps] times w [steps, kPanel], for all columns of a panel.
template <class Kind, int rows>
void tile(const typename Kind::Input* a, int64_t stride, const typename Kind::Weight* w,
          int64_t steps, typename Kind::Sum* sums, bool first) {
  using Vector = typename Kind::Vector;
  for (int64_t column = 0; column < kPanel; column += kVectors * kLanes) {
    Vector sum[rows][kVectors];
    for (int r = 0; r < rows; r++)
      for (int v = 0; v < kVectors; v++)
        sum[r][v] = first ? Kind::zero() : load(sums + r * kPanel + column + v * kLanes);
    for (int64_t s = 0; s < steps; s++) {
      Vector weight[kVectors];
      for (int v = 0; v < kVectors; v++)
        weight[v] = Kind::weight(w + (s * kPanel + column + v * kLanes) * Kind::width);
      for (int r = 0; r < rows; r++) {
        const Vector input = Kind::input(a + r * stride + s * Kind::width);
        for (int v = 0; v < kVectors; v++) sum[r][v] = Kind::step(sum[r][v], weight[v], input);
      }
    }
    for (int r = 0; r < rows; r++)
      for (int v = 0; v < kVectors; v++)
        store(sums + r * kPanel + column + v * kLanes, sum[r][v]);
  }
}

template <class Kind>
using Tile = void (*)(const typename Kind::Input*, int64_t, const typename Kind::Weight*, int64_t,
                      typename Kind::Sum*, bool);

template <class Kind>
constexpr Tile<Kind> kTiles[] = {nullptr,       tile<Kind, 1>, tile<Kind, 2>, tile<Kind, 3>,
                                 tile<Kind, 4>, tile<Kind, 5>, tile<Kind, 6>};

}  // namespace
