// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// The few vector operations that the kernels need, for the instruction set this file is compiled
// with: AMX, which has AVX-512 with VNNI too, AVX-512 with VNNI, AVX-VNNI, or AVX2.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace {

inline int32_t four_bytes(const int8_t* at) {
  int32_t word;
  std::memcpy(&word, at, 4);
  return word;
}

#if defined(__AVX512VNNI__)

#if defined(__AMX_INT8__)
#define SQAP_LEVEL level_amx
#else
#define SQAP_LEVEL level_avx512_vnni
#endif
constexpr int kLanes = 16, kRows = 6, kVectors = 4;  // the register tile: 6 x 64 sums
using Floats = __m512;
using Ints = __m512i;

inline Floats load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Floats v) { _mm512_storeu_ps(p, v); }
inline Ints load(const int32_t* p) { return _mm512_loadu_si512(p); }
inline void store(int32_t* p, Ints v) { _mm512_storeu_si512(p, v); }
inline Ints load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void store_bytes(uint8_t* p, Ints v) { _mm512_storeu_si512(p, v); }
inline Floats fill(float v) { return _mm512_set1_ps(v); }
inline Ints fill_ints(int32_t v) { return _mm512_set1_epi32(v); }
inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats subtract(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
inline Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats divide(Floats a, Floats b) { return _mm512_div_ps(a, b); }
inline Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Floats larger(Floats a, Floats b) { return _mm512_max_ps(a, b); }  // b if one is NaN
inline Ints subtract(Ints a, Ints b) { return _mm512_sub_epi32(a, b); }
inline Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
inline Ints shift_right(Ints a, int n) { return _mm512_srli_epi32(a, n); }
inline Ints shift_left(Ints a, int n) { return _mm512_slli_epi32(a, n); }
inline Floats to_floats(Ints v) { return _mm512_cvtepi32_ps(v); }
inline Ints round_to_ints(Floats v) { return _mm512_cvtps_epi32(v); }
inline Ints bits_of(Floats v) { return _mm512_castps_si512(v); }
inline Floats floats_of(Ints v) { return _mm512_castsi512_ps(v); }
inline Ints low_halves(Ints v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
inline Ints high_halves(Ints v) { return low_halves(_mm512_srli_epi16(v, 4)); }
inline Ints widen_bytes(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline void store_as_bytes(int8_t* p, Ints v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(v));
}
inline void store_low_bytes(int8_t* p, Ints v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v));
}
inline Ints both_bits(Ints a, Ints b) { return _mm512_and_si512(a, b); }
// The larger magnitude, as bits: so NaN and infinity win over every number.
inline Ints larger_magnitude(Ints so_far, Floats v) {
  return _mm512_max_epi32(so_far, _mm512_and_si512(bits_of(v), fill_ints(0x7fffffff)));
}
inline int32_t largest(Ints v) { return _mm512_reduce_max_epi32(v); }
inline int32_t total(Ints v) { return _mm512_reduce_add_epi32(v); }
inline float total(Floats v) { return _mm512_reduce_add_ps(v); }
inline float largest(Floats v) { return _mm512_reduce_max_ps(v); }

// Lane i becomes v[i] + v[i + d] in the lower half of each 2 d lanes, v[i - d] - v[i] in the upper.
template <int d>
inline Floats butterfly(Floats v) {
  Floats partner;
  if constexpr (d == 1) partner = _mm512_permute_ps(v, 0xb1);
  if constexpr (d == 2) partner = _mm512_permute_ps(v, 0x4e);
  if constexpr (d == 4) partner = _mm512_shuffle_f32x4(v, v, 0xb1);
  if constexpr (d == 8) partner = _mm512_shuffle_f32x4(v, v, 0x4e);
  constexpr uint32_t upper = d == 1 ? 0xaaaa : d == 2 ? 0xcccc : d == 4 ? 0xf0f0 : 0xff00;
  return _mm512_mask_sub_ps(_mm512_add_ps(partner, v), upper, partner, v);
}

inline Ints dot(Ints sums, Ints unsigned_bytes, Ints signed_bytes) {
  return _mm512_dpbusd_epi32(sums, unsigned_bytes, signed_bytes);
}

// The first `count` lanes, or all.
inline __mmask16 lanes_of(int64_t count) {
  return count >= kLanes ? 0xffff : __mmask16((1u << count) - 1);
}

#else

#if defined(__AVXVNNI__)
#define SQAP_LEVEL level_avx_vnni
#else
#define SQAP_LEVEL level_avx2
#endif
constexpr int kLanes = 8, kRows = 6, kVectors = 2;  // the register tile: 6 x 16 sums
using Floats = __m256;
using Ints = __m256i;

inline Floats load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, Floats v) { _mm256_storeu_ps(p, v); }
inline Ints load(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const Ints*>(p)); }
inline void store(int32_t* p, Ints v) { _mm256_storeu_si256(reinterpret_cast<Ints*>(p), v); }
inline Ints load_bytes(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const Ints*>(p));
}
inline void store_bytes(uint8_t* p, Ints v) { _mm256_storeu_si256(reinterpret_cast<Ints*>(p), v); }
inline Floats fill(float v) { return _mm256_set1_ps(v); }
inline Ints fill_ints(int32_t v) { return _mm256_set1_epi32(v); }
inline Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
inline Floats subtract(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
inline Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
inline Floats divide(Floats a, Floats b) { return _mm256_div_ps(a, b); }
inline Floats fused(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Floats larger(Floats a, Floats b) { return _mm256_max_ps(a, b); }  // b if one is NaN
inline Ints subtract(Ints a, Ints b) { return _mm256_sub_epi32(a, b); }
inline Ints add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
inline Ints shift_right(Ints a, int n) { return _mm256_srli_epi32(a, n); }
inline Ints shift_left(Ints a, int n) { return _mm256_slli_epi32(a, n); }
inline Floats to_floats(Ints v) { return _mm256_cvtepi32_ps(v); }
inline Ints round_to_ints(Floats v) { return _mm256_cvtps_epi32(v); }
inline Ints bits_of(Floats v) { return _mm256_castps_si256(v); }
inline Floats floats_of(Ints v) { return _mm256_castsi256_ps(v); }
inline Ints low_halves(Ints v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
inline Ints high_halves(Ints v) { return low_halves(_mm256_srli_epi16(v, 4)); }
inline Ints widen_bytes(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
inline void store_as_bytes(int8_t* p, Ints v) {
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
}
inline Ints both_bits(Ints a, Ints b) { return _mm256_and_si256(a, b); }
inline void store_low_bytes(int8_t* p, Ints v) {
  const Ints bytes = both_bits(v, fill_ints(255));
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(bytes),
                                         _mm256_extracti128_si256(bytes, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
}
// The larger magnitude, as bits: so NaN and infinity win over every number.
inline Ints larger_magnitude(Ints so_far, Floats v) {
  return _mm256_max_epi32(so_far, _mm256_and_si256(bits_of(v), fill_ints(0x7fffffff)));
}
inline int32_t largest(Ints v) {
  int32_t lanes[kLanes], found;
  store(lanes, v);
  found = lanes[0];
  for (int32_t lane : lanes) found = lane > found ? lane : found;
  return found;
}
inline int32_t total(Ints v) {
  int32_t lanes[kLanes], sum = 0;
  store(lanes, v);
  for (int32_t lane : lanes) sum += lane;
  return sum;
}

inline float total(Floats v) {
  float lanes[kLanes], sum = 0;
  store(lanes, v);
  for (float lane : lanes) sum += lane;
  return sum;
}
inline float largest(Floats v) {
  float lanes[kLanes], found;
  store(lanes, v);
  found = lanes[0];
  for (float lane : lanes) found = lane > found ? lane : found;
  return found;
}

// Lane i becomes v[i] + v[i + d] in the lower half of each 2 d lanes, v[i - d] - v[i] in the upper.
template <int d>
inline Floats butterfly(Floats v) {
  Floats partner;
  if constexpr (d == 1) partner = _mm256_permute_ps(v, 0xb1);
  if constexpr (d == 2) partner = _mm256_permute_ps(v, 0x4e);
  if constexpr (d == 4) partner = _mm256_permute2f128_ps(v, v, 1);
  constexpr int upper = d == 1 ? 0xaa : d == 2 ? 0xcc : 0xf0;
  return _mm256_blend_ps(_mm256_add_ps(partner, v), _mm256_sub_ps(partner, v), upper);
}

#if defined(__AVXVNNI__)
inline Ints dot(Ints sums, Ints unsigned_bytes, Ints signed_bytes) {
  return _mm256_dpbusd_avx_epi32(sums, unsigned_bytes, signed_bytes);
}
#endif

#endif

}  // namespace
