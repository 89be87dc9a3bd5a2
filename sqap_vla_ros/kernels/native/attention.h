// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Attention in float32 on the tiles of tile.h.
//
// A task packs keys (transposed) and values of one key-value head into panels of 64.  Then each
// tile of rows gets its scores, their softmax, and the weighted values, all in the L1 and L2
// caches; keys that no row of a tile may see are not touched.
#pragma once

#include <cmath>

#include "sqap_kernels.h"
#include "functions.h"
#include "meeting.h"
#include "tile.h"
#include "transpose.h"

namespace {

using sqap::Attention;
using Real = Reals<8>;

// Keys [keys, width] to panels [width, 64] of 64 keys each; keys beyond the last are 0.
void pack_keys(const float* k, int64_t stride, int64_t keys, int64_t width, float* packed) {
  for (int64_t first = 0; first < keys; first += kPanel, packed += width * kPanel) {
    const int64_t here = smaller(kPanel, keys - first);
    if (here < kPanel) std::memset(packed, 0, width * kPanel * sizeof(float));
#if defined(__AVX512VNNI__)
    for (int64_t n = 0; n < here; n += kLanes)
      for (int64_t i = 0; i < width; i += kLanes) {
        Ints square[kLanes];
        for (int64_t r = 0; r < kLanes; r++)
          square[r] = n + r < here ? _mm512_maskz_loadu_epi32(
                                         lanes_of(width - i), k + (first + n + r) * stride + i)
                                   : fill_ints(0);
        transpose_words(square);
        for (int64_t c = 0; c < smaller(kLanes, width - i); c++)
          _mm512_storeu_si512(packed + (i + c) * kPanel + n, square[c]);
      }
#else
    for (int64_t n = 0; n < here; n++)
      for (int64_t i = 0; i < width; i++) packed[i * kPanel + n] = k[(first + n) * stride + i];
#endif
  }
}

// Values [keys, width] to panels [keys, 64] of 64 channels each; channels beyond are 0.
void pack_values(const float* v, int64_t stride, int64_t keys, int64_t width, float* packed) {
  for (int64_t first = 0; first < width; first += kPanel)
    for (int64_t n = 0; n < keys; n++, packed += kPanel) {
      const int64_t here = smaller(kPanel, width - first);
      std::memcpy(packed, v + n * stride + first, here * sizeof(float));
      if (here < kPanel) std::memset(packed + here, 0, (kPanel - here) * sizeof(float));
    }
}

// Scores of one row, which lie in panels `step` apart, become e^(factor (score - largest)) for
// its first `seen` keys and 0 up to `last`; returns their sum.
float soften(float* scores, int64_t step, int64_t seen, int64_t last, float factor) {
  for (int64_t key = seen; key < round_up(last, kPanel); key++)
    scores[key / kPanel * step + key % kPanel] = -INFINITY;
  Floats most = fill(-INFINITY), sum = fill(0.0f);
  for (int64_t key = 0; key < seen; key += kLanes)
    most = larger(load(scores + key / kPanel * step + key % kPanel), most);
  const Floats top = fill(largest(most));
  for (int64_t key = 0; key < last; key += kLanes) {
    float* at = scores + key / kPanel * step + key % kPanel;
    const Floats weight = exponential(multiply(subtract(load(at), top), fill(factor)));
    store(at, weight);
    sum = add(sum, weight);
  }
  return total(sum);
}

// How many keys a query sees.
inline int64_t keys_seen(const Attention& call, int64_t query) {
  if (call.seen != nullptr) return call.seen[query];
  return call.causal ? call.keys - call.queries + query + 1 : call.keys;
}

// Attention of rows first..first+rows-1 of one head; y has a row every `y_stride` floats.
void attend_tile(const Attention& call, const float* q, const float* keys, const float* values,
                 int64_t first, int64_t rows, float* y, int64_t y_stride) {
  const int64_t width = call.width, last = keys_seen(call, first + rows - 1);
  const int64_t panels = round_up(last, kPanel) / kPanel;
  float* scores = scratch<float, 8>(panels * kRows * kPanel);
  float* sums = scratch<float, 9>(kRows * kPanel);
  float inverse[kRows];
  for (int64_t p = 0; p < panels; p++)
    kTiles<Real>[rows](q + first * call.q_strides[2], call.q_strides[2], keys + p * width * kPanel,
                       width, scores + p * kRows * kPanel, true);
  const float factor = 1.0f / std::sqrt(float(width));
  for (int64_t r = 0; r < rows; r++)
    inverse[r] = 1.0f / soften(scores + r * kPanel, kRows * kPanel, keys_seen(call, first + r),
                               last, factor);
  for (int64_t channel = 0; channel < width; channel += kPanel, values += call.keys * kPanel) {
    for (int64_t p = 0; p < panels; p++)
      kTiles<Real>[rows](scores + p * kRows * kPanel, kPanel, values + p * kPanel * kPanel,
                         smaller(kPanel, last - p * kPanel), sums, p == 0);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t i = 0; i < smaller(kPanel, width - channel); i++)
        y[(first + r) * y_stride + channel + i] = sums[r * kPanel + i] * inverse[r];
  }
}

// Query heads first..last-1 of one image; all of them read key-value head `kv`.
void attend_heads(const Attention& call, int64_t image, int64_t kv, int64_t first, int64_t last) {
  const int64_t width = call.width, y_stride = call.heads * width;
  float* keys = scratch<float, 6>(round_up(call.keys, kPanel) * width);
  float* values = scratch<float, 7>(call.keys * round_up(width, kPanel));
  pack_keys(call.k + image * call.k_strides[0] + kv * call.k_strides[1], call.k_strides[2],
            call.keys, width, keys);
  pack_values(call.v + image * call.v_strides[0] + kv * call.v_strides[1], call.v_strides[2],
              call.keys, width, values);
  for (int64_t head = first; head < last; head++) {
    const float* q = call.q + image * call.q_strides[0] + head * call.q_strides[1];
    float* y = call.y + image * call.queries * y_stride + head * width;
    for (int64_t row = 0; row < call.queries; row += kRows)
      attend_tile(call, q, keys, values, row, smaller(kRows, call.queries - row), y, y_stride);
  }
}

// a [n] times b [n].
inline float dot_product(const float* a, const float* b, int64_t n) {
  Floats sum = fill(0.0f);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum = fused(load(a + i), load(b + i), sum);
  float rest = total(sum);
  for (; i < n; i++) rest += a[i] * b[i];
  return rest;
}

// weights [round_up(seen, kPanel)] of keys for one query, not yet divided by the returned sum.
float weigh_keys(const Attention& call, const float* q, const float* k, int64_t seen,
                 float* weights) {
  for (int64_t key = 0; key < seen; key++)
    weights[key] = dot_product(q, k + key * call.k_strides[2], call.width);
  return soften(weights, kPanel, seen, seen, 1.0f / std::sqrt(float(call.width)));
}

// One query head of one image without packing: for few queries.
void attend_few(const Attention& call, int64_t image, int64_t head) {
  const int64_t kv = head / (call.heads / call.kv_heads), width = call.width;
  const float* q = call.q + image * call.q_strides[0] + head * call.q_strides[1];
  const float* k = call.k + image * call.k_strides[0] + kv * call.k_strides[1];
  const float* v = call.v + image * call.v_strides[0] + kv * call.v_strides[1];
  float* weights = scratch<float, 8>(round_up(call.keys, kPanel));
  for (int64_t row = 0; row < call.queries; row++) {
    const int64_t seen = keys_seen(call, row);
    const float inverse =
        1.0f / weigh_keys(call, q + row * call.q_strides[2], k, seen, weights);
    float* y = call.y + ((image * call.queries + row) * call.heads + head) * width;
    std::memset(y, 0, width * sizeof(float));
    for (int64_t key = 0; key < seen; key++)
      for (int64_t i = 0; i < width; i++) y[i] += weights[key] * v[key * call.v_strides[2] + i];
    for (int64_t i = 0; i < width; i++) y[i] *= inverse;
  }
}

#if (defined(__AVXVNNI__) || defined(__AVX512VNNI__)) && !defined(__AMX_INT8__)
void attend_byte_heads(const Attention&, int64_t image, int64_t kv, int64_t first,
                       int64_t last);  // as attend_heads, in byte_attention.h
#endif
#if defined(__AMX_INT8__)
template <class Value, class Write>
void attend_heads_by_tiles(const Attention&, const Value* q, const Value* k, const Value* v,
                           int64_t image, int64_t kv, int64_t first, int64_t last,
                           Write write);  // as attend_heads, in amx_attention.h
#endif

constexpr int64_t kFewQueries = 12;  // below that, packing the keys takes longer than it saves
// Below them, rounding to bytes does; of more keys a sum of bytes may not fit into 32 bits.
[[maybe_unused]] constexpr int64_t kManyQueries = 64, kWideHead = 48, kMostKeys = 65536;

// Call attend(image, key-value head, first query head, last) for all heads; those that share keys
// and values stay together as far as there is work for all threads.  Inside a parallel region.
template <class Function>
void share_groups(const Attention& call, Function attend) {
  const int64_t group = call.heads / call.kv_heads;  // query heads that share keys and values
  const int64_t wanted = (call.threads + call.kv_heads - 1) / call.kv_heads;
  const int64_t share = (group + wanted - 1) / wanted, parts = (group + share - 1) / share;
#pragma omp for schedule(dynamic) nowait
  for (int64_t task = 0; task < call.batch * call.kv_heads * parts; task++) {
    const int64_t kv = task / parts % call.kv_heads, first = task % parts * share;
    attend(task / parts / call.kv_heads, kv, kv * group + first,
           kv * group + smaller(first + share, group));
  }
  meet();
}

// All heads; inside a parallel region.
void share_heads(const Attention& call) {
  if (call.queries < kFewQueries) {
#pragma omp for schedule(dynamic) nowait
    for (int64_t task = 0; task < call.batch * call.heads; task++)
      attend_few(call, task / call.heads, task % call.heads);
    meet();
    return;
  }
#if defined(__AMX_INT8__)
  if (call.bits == 16) {
    share_groups(call, [&](int64_t image, int64_t kv, int64_t first, int64_t last) {
      attend_heads_by_tiles(
          call, call.q, call.k, call.v, image, kv, first, last,
          [&](int64_t head, int64_t query, const float* sums, float factor) {
            const int64_t row = (image * call.queries + query) * call.heads + head;
            for (int64_t i = 0; i < call.width; i++)
              call.y[row * call.width + i] = sums[i] * factor;
          });
    });
    return;
  }
#elif defined(__AVXVNNI__) || defined(__AVX512VNNI__)
  if (call.bits == 16 && call.width >= kWideHead && call.queries >= kManyQueries &&
      call.keys <= kMostKeys) {
    share_groups(call, [&](int64_t image, int64_t kv, int64_t first, int64_t last) {
      attend_byte_heads(call, image, kv, first, last);
    });
    return;
  }
#endif
  share_groups(call, [&](int64_t image, int64_t kv, int64_t first, int64_t last) {
    attend_heads(call, image, kv, first, last);
  });
}

void attention(const Attention& call) {
  Meeting meeting;
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
  {
    const Member member(meeting);
    share_heads(call);
  }
}

}  // namespace
