// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention in bfloat16 on the tiles of amx.h; scores, their softmax and its sums stay floats.
//
// A task packs keys and values of one key-value head as tiles of weights: pairs of neighbouring
// channels (of keys, for scores) or of neighbouring tokens (for weighted values) of each column.
// Then 32 queries of a head at a time meet the keys that any of them may see.
#pragma once

#include "amx.h"
#include "coarse_functions.h"
#include "attention.h"

namespace {

constexpr int64_t kQueries = 2 * kTileRows;

// Sixteen values as the lower halves of as many words.
inline Ints half_words(const float* from, __mmask16 lanes) {
  const __m256bh halves = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, from));
  __m256i plain;
  std::memcpy(&plain, &halves, sizeof plain);
  return _mm512_cvtepu16_epi32(plain);
}
inline Ints half_words(const uint16_t* from, __mmask16 lanes) {
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, from));
}

// The first `count` of 32 values in bfloat16, and zeros.
inline Ints halves_of(const float* from, int64_t count) {
  const __mmask16 behind = count > kLanes ? lanes_of(count - kLanes) : 0;
  const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(behind, from + kLanes),
                                            _mm512_maskz_loadu_ps(lanes_of(count), from));
  Ints plain;
  std::memcpy(&plain, &both, sizeof plain);
  return plain;
}
inline Ints halves_of(const uint16_t* from, int64_t count) {
  return _mm512_maskz_loadu_epi16(count >= 32 ? ~0u : (1u << count) - 1, from);
}

// Keys [keys, width] to tiles of 16 columns over round_up(width, 32) channels; zeros beyond.
template <class Value>
void pack_keys_in_pairs(const Value* k, int64_t stride, int64_t keys, int64_t width,
                        int64_t columns, uint32_t* packed) {
  const int64_t padded = round_up(width, 32);
  for (int64_t n = 0; n < columns; n += 16)
    for (int64_t i = 0; i < padded; i += 32, packed += 16 * kLanes) {
      Ints rows[16];
      for (int64_t r = 0; r < 16; r++)
        rows[r] = n + r < keys ? halves_of(k + (n + r) * stride + i, width - i) : fill_ints(0);
      transpose_words(rows);
      for (int64_t r = 0; r < 16; r++)
        _mm512_storeu_si512(packed + r * kLanes, rows[r]);
    }
}

// Values [keys, width] to tiles of 16 channels over `rows` tokens; zeros beyond.
template <class Value>
void pack_values_in_pairs(const Value* v, int64_t stride, int64_t keys, int64_t width,
                          int64_t rows, uint32_t* packed) {
  const int64_t padded = round_up(width, 32);
  for (int64_t n = 0; n < rows; n += 2)
    for (int64_t i = 0; i < padded; i += kLanes) {
      const __mmask16 lanes = width > i ? lanes_of(width - i) : 0;
      const Ints first = half_words(v + n * stride + i, n < keys ? lanes : 0);
      const Ints second = half_words(v + (n + 1) * stride + i, n + 1 < keys ? lanes : 0);
      _mm512_storeu_si512(packed + i * rows / 2 + n / 2 * kLanes,
                          _mm512_or_si512(first, shift_left(second, 16)));
    }
}

// to [32, columns / 32 tiles] = rows [rows, n] in bfloat16, zeros behind n.
template <class Value>
void place_halves(const Value* from, int64_t stride, int64_t rows, int64_t n, int64_t columns,
                  uint16_t* to) {
  for (int64_t m = 0; m < rows; m++)
    for (int64_t i = 0; i < columns; i += 32)
      _mm512_storeu_si512(to + (m / kTileRows * (columns / 32) + i / 32) * kTile / 2 +
                              m % kTileRows * 32,
                          halves_of(from + m * stride + i, n - i));
}

// Scores of one row become e^(factor (score - largest)) in bfloat16 for its first `seen` keys and
// next to nothing up to `last`, a multiple of 32, where row m of tiles stands; returns their sum.
float soften_halves(float* scores, int64_t seen, int64_t last, float factor, int64_t m,
                    uint16_t* tiles) {
  for (int64_t key = seen; key < last; key++) scores[key] = -INFINITY;
  Floats most = fill(-INFINITY), sum = fill(0.0f);
  for (int64_t key = 0; key < last; key += kLanes) most = larger(load(scores + key), most);
  const Floats scale = fill(factor * 1.44269504f);
  const Floats top = multiply(fill(largest(most)), scale);
  uint16_t* to = tiles + (m / kTileRows * (last / 32) * kTile + m % kTileRows * kTileBytes) / 2;
  for (int64_t key = 0; key < last; key += 32, to += kTile / 2) {
    const Floats first = coarse_power(_mm512_fmsub_ps(load(scores + key), scale, top));
    const Floats second = coarse_power(_mm512_fmsub_ps(load(scores + key + kLanes), scale, top));
    sum = add(sum, add(first, second));
    store_halves(first, second, to);
  }
  return total(sum);
}

// out [32, columns] = tiles of 32 rows times tiles of columns that have `w_inputs` of them in
// memory.
void multiply_pairs(const uint16_t* tiles, int64_t inputs, const uint32_t* pairs, int64_t w_inputs,
                    int64_t columns, float* out, int64_t out_pitch) {
  const int64_t steps = inputs / 32, next = w_inputs / 32 * kTile;
  const TileRows rows = {reinterpret_cast<const int8_t*>(tiles), inputs * 2};
  for (int64_t column = 0; column < columns; column += 32)
    tile_product<HalfTiles, true>(rows, 0, 0, steps, pairs + column * w_inputs / 2, next,
                                  out + column, out_pitch * sizeof(float), [] {});
}

// Query heads first..last-1 of one image; all of them read key-value head `kv`.  q, k, v: where those
// of all images begin, floats or bfloat16, in place of the call's.  write(head, query, sums, factor):
// takes what a query has, sums [width] times a factor; memory is there for whole 32 of them.
template <class Value, class Write>
void attend_heads_by_tiles(const Attention& call, const Value* q, const Value* k, const Value* v,
                           int64_t image, int64_t kv, int64_t first, int64_t last, Write write) {
  const TileScope scope;
  const int64_t width = call.width, padded = round_up(width, 32);
  const int64_t columns = round_up(call.keys, kPanel);
  auto* keys = scratch<uint32_t, 6>(padded / 2 * columns);
  auto* values = scratch<uint32_t, 7>(columns / 2 * padded);
  auto* queries = scratch<uint16_t, 17>(kQueries * padded);
  auto* weights = scratch<uint16_t, 18>(kQueries * columns);
  float* scores = scratch<float, 8>(kQueries * columns);
  float* sums = scratch<float, 9>(kQueries * padded);
  const float factor = 1.0f / std::sqrt(float(width));
  pack_keys_in_pairs(k + image * call.k_strides[0] + kv * call.k_strides[1],
                     call.k_strides[2], call.keys, width, columns, keys);
  pack_values_in_pairs(v + image * call.v_strides[0] + kv * call.v_strides[1],
                       call.v_strides[2], call.keys, width, columns, values);
  for (int64_t head = first; head < last; head++) {
    const Value* own = q + image * call.q_strides[0] + head * call.q_strides[1];
    for (int64_t row = 0; row < call.queries; row += kQueries) {
      const int64_t rows = smaller(kQueries, call.queries - row);
      const int64_t seen = round_up(keys_seen(call, row + rows - 1), 32);
      float inverse[kQueries];
      place_halves(own + row * call.q_strides[2], call.q_strides[2], rows, width, padded,
                   queries);
      multiply_pairs(queries, padded, keys, padded, seen, scores, columns);
      for (int64_t r = 0; r < rows; r++)
        inverse[r] = 1.0f / soften_halves(scores + r * columns, keys_seen(call, row + r), seen,
                                          factor, r, weights);
      multiply_pairs(weights, seen, values, columns, padded, sums, padded);
      for (int64_t r = 0; r < rows; r++)
        write(head, row + r, sums + r * padded, inverse[r]);
    }
  }
}

}  // namespace
