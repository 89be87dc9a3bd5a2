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

// Inputs of a block: at most `most`, a multiple of `step`, and about the same for every block.
inline int64_t even_share(int64_t inputs, int64_t most, int64_t step) {
  const int64_t blocks = (inputs + most - 1) / most;
  return round_up((inputs + blocks - 1) / blocks, step);
}

// Brings memory that is needed next into the L2 cache, a part with each of so many fetches.
class Ahead {
 public:
  Ahead(const uint8_t* from, int64_t bytes, int64_t fetches)
      : at_(from), lines_((bytes / 64 + fetches - 1) / fetches) {}

  void fetch() {
    for (int64_t i = 0; i < lines_; i++, at_ += 64) _mm_prefetch(at_, _MM_HINT_T1);
  }

 private:
  const uint8_t* at_;
  int64_t lines_;
};

// Vectors of sums that a tile has of each row.  A product of few rows is bound by reading the
// weights, which go by fastest in whole lines.
constexpr int vectors_a_row(int rows) {
  const int64_t columns = rows == 1 ? kPanel : rows <= 3 ? 32 : 0;
  return columns > kVectors * kLanes ? columns / kLanes : kVectors;
}

// sums [rows, kPanel] (+)= a [rows, steps] times w [steps, kPanel], for all columns of a panel.
template <class Kind, int rows>
void tile(const typename Kind::Input* a, int64_t stride, const typename Kind::Weight* w,
          int64_t steps, typename Kind::Sum* sums, bool first) {
  using Vector = typename Kind::Vector;
  constexpr int vectors = vectors_a_row(rows);
  for (int64_t column = 0; column < kPanel; column += vectors * kLanes) {
    Vector sum[rows][vectors];
    for (int r = 0; r < rows; r++)
      for (int v = 0; v < vectors; v++)
        sum[r][v] = first ? Kind::zero() : load(sums + r * kPanel + column + v * kLanes);
    for (int64_t s = 0; s < steps; s++) {
      Vector weight[vectors];
      for (int v = 0; v < vectors; v++)
        weight[v] = Kind::weight(w + (s * kPanel + column + v * kLanes) * Kind::width);
      for (int r = 0; r < rows; r++) {
        const Vector input = Kind::input(a + r * stride + s * Kind::width);
        for (int v = 0; v < vectors; v++) sum[r][v] = Kind::step(sum[r][v], weight[v], input);
      }
    }
    for (int r = 0; r < rows; r++)
      for (int v = 0; v < vectors; v++)
        store(sums + r * kPanel + column + v * kLanes, sum[r][v]);
  }
}

template <class Kind>
using Tile = void (*)(const typename Kind::Input*, int64_t, const typename Kind::Weight*, int64_t,
                      typename Kind::Sum*, bool);

template <class Kind>
constexpr Tile<Kind> kTiles[] = {nullptr,       tile<Kind, 1>, tile<Kind, 2>, tile<Kind, 3>,
                                 tile<Kind, 4>, tile<Kind, 5>, tile<Kind, 6>};

// Where input `first` of a panel starts in a layer's packed weights.
inline const uint8_t* packed_at(const Layer& layer, int64_t panel, int64_t first) {
  const int64_t padded = round_up(layer.inputs, kGroup);
  return layer.weight + (panel * padded + first) * kPanel * layer.weight_bits / 8;
}

// The arithmetic of a tile: floats throughout, weights turned into floats panel by panel.
template <int bits>
struct Reals {
  using Input = float;
  using Weight = float;
  using Sum = float;
  using Vector = Floats;
  static constexpr int64_t block = sqap::kBlock / 4, planes = 1, width = 1, multiple = 1;
  // Rows of a tile where one of kRows would hold all of them.
  static constexpr int64_t low = vectors_a_row(3) > kVectors ? 3 : kRows;
  static constexpr bool as_packed = false;  // and if so, far more bytes
  static Vector zero() { return fill(0.0f); }
  static Vector input(const Input* a) { return fill(*a); }
  static Vector weight(const Weight* w) { return load(w); }
  static Vector step(Vector sum, Vector w, Vector a) { return fused(w, a, sum); }

  static const Weight* unpack(const Layer& layer, int64_t panel, int64_t first, int64_t count,
                              Weight* buffer) {
    const int64_t size = layer.inputs / layer.groups;
    const uint8_t* packed = packed_at(layer, panel, first);
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

  static void accumulate(int64_t rows, const Input* a, int64_t stride, const Weight* w,
                         int64_t count, Sum* sums, bool first) {
    kTiles<Reals>[rows](a, stride, w, count, sums, first);
  }
};

}  // namespace
