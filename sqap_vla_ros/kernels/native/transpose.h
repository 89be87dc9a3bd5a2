// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// A square of words in AVX-512's registers, turned.
#pragma once

#include "vectors.h"

#if defined(__AVX512VNNI__)
namespace {

// Make rows of 16 x 16 words columns.
inline void transpose_words(Ints (&rows)[16]) {
  Ints pairs[16];
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; j++) {
      rows[i + 2 * j] = _mm512_unpacklo_epi64(pairs[i + j], pairs[i + j + 2]);
      rows[i + 2 * j + 1] = _mm512_unpackhi_epi64(pairs[i + j], pairs[i + j + 2]);
    }
  for (int i = 0; i < 16; i += 8)  // lane l of row 4 g + c has column 4 l + c of rows 4 g and behind
    for (int c = 0; c < 4; c++) {
      pairs[i + c] = _mm512_shuffle_i32x4(rows[i + c], rows[i + c + 4], 0x88);
      pairs[i + c + 4] = _mm512_shuffle_i32x4(rows[i + c], rows[i + c + 4], 0xdd);
    }
  for (int c = 0; c < 8; c++) {
    rows[c] = _mm512_shuffle_i32x4(pairs[c], pairs[c + 8], 0x88);
    rows[c + 8] = _mm512_shuffle_i32x4(pairs[c], pairs[c + 8], 0xdd);
  }
}

}  // namespace
#endif
