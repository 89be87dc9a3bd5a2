// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Resize an image of 8-bit RGB as Pillow does, to the bit: weighted sums of pixels along rows,
// rounded to 8 bits, then of those along columns.  Weights are integers of 22 bits, made by
// geometry/resampling.py, so that sums do not depend on their order.  One thread; AVX2 is used
// where the processor has it, by functions that are compiled for it in this file.
#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int kBits = 22, kLow = 15;  // of a weight; of its lower part
constexpr int kSlack = 32;            // bytes that may be read behind a line
constexpr int kLines = 4;             // that are resampled side by side

// Mirrors of kernels/resample.py's structures.
struct Taps {
  const int32_t *first, *count, *weights, *outside;  // [outputs], but weights [outputs, most]
  int64_t outputs, most;
};

struct Resampling {
  const uint8_t* image;  // [height, width, 3], rows `stride` bytes apart
  int64_t stride, height, width;
  Taps rows, columns;
  int32_t fill[3];
  uint8_t* y;            // [rows.outputs, columns.outputs, 3]
};

inline uint8_t rounded(int32_t sum) {
  const int32_t value = sum >> kBits;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

// What a sum begins with: half of the last place, and the padding's share.
inline int32_t begin(const Taps& taps, int64_t output, int32_t fill) {
  return (1 << (kBits - 1)) + taps.outside[output] * fill;
}

// Resample kLines lines [width, 3] into lines [columns.outputs, 3].
void lines_plain(const Resampling& job, const uint8_t* const* lines, uint8_t* const* y) {
  const Taps& taps = job.columns;
  for (int r = 0; r < kLines; r++)
    for (int64_t n = 0; n < taps.outputs; n++)
      for (int c = 0; c < 3; c++) {
        const uint8_t* at = lines[r] + 3 * taps.first[n] + c;
        int32_t sum = begin(taps, n, job.fill[c]);
        for (int32_t i = 0; i < taps.count[n]; i++) sum += at[3 * i] * taps.weights[n * taps.most + i];
        y[r][3 * n + c] = rounded(sum);
      }
}

#define SQAP_AVX2 __attribute__((target("avx2")))

// Weights of 4 neighbouring taps, for the pairs of pixels that _mm256_madd_epi16 adds: pair 0 and
// 1 in the lower half, 2 and 3 in the upper; each weight in two parts, as it has more than 16 bits.
struct Quad {
  int16_t high[16], low[16];
};

Quad quad_of(const int32_t* weights, int32_t count) {
  Quad quad;
  for (int i = 0; i < 16; i++) {
    const int tap = i / 8 * 2 + i % 2;
    const int32_t weight = tap < count ? weights[tap] : 0;
    quad.high[i] = weight >> kLow;
    quad.low[i] = weight & ((1 << kLow) - 1);
  }
  return quad;
}

std::vector<Quad> quads_of(const Taps& taps) {
  const int64_t most = (taps.most + 3) / 4;
  std::vector<Quad> quads(taps.outputs * most);
  for (int64_t n = 0; n < taps.outputs; n++)
    for (int64_t q = 0; q < most; q++)
      quads[n * most + q] = quad_of(taps.weights + n * taps.most + 4 * q, taps.count[n] - 4 * q);
  return quads;
}

// Sums of one line's pixel: its lanes are red, green, blue and nothing.
SQAP_AVX2 inline __m128i whole(__m256i high, __m256i low) {
  const __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(high, kLow), low);
  return _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
}

SQAP_AVX2 void lines_avx2(const Resampling& job, const Quad* quads, const uint8_t* const* lines,
                          uint8_t* const* y) {
  const Taps& taps = job.columns;
  const int64_t most = (taps.most + 3) / 4;
  const __m256i pairs = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
                                         6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  for (int64_t n = 0; n < taps.outputs; n++) {
    __m256i high[kLines] = {}, low[kLines] = {};
    for (int32_t q = 0; 4 * q < taps.count[n]; q++) {
      const Quad& quad = quads[n * most + q];
      const __m256i upper = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(quad.high));
      const __m256i lower = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(quad.low));
      for (int r = 0; r < kLines; r++) {
        const uint8_t* at = lines[r] + 3 * (taps.first[n] + 4 * q);
        const __m256i values = _mm256_shuffle_epi8(
            _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))),
            pairs);
        high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(values, upper));
        low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(values, lower));
      }
    }
    const __m128i start = _mm_setr_epi32(begin(taps, n, job.fill[0]), begin(taps, n, job.fill[1]),
                                         begin(taps, n, job.fill[2]), 0);
    __m128i sums[kLines];
    for (int r = 0; r < kLines; r++)
      sums[r] = _mm_srai_epi32(_mm_add_epi32(whole(high[r], low[r]), start), kBits);
    uint32_t pixels[kLines];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(pixels),
                     _mm_packus_epi16(_mm_packs_epi32(sums[0], sums[1]),
                                      _mm_packs_epi32(sums[2], sums[3])));
    for (int r = 0; r < kLines; r++) std::memcpy(y[r] + 3 * n, &pixels[r], 4);  // the next begins
  }                                                                           // with the fourth
}

// Make row n of the result from lines of `width` bytes, the first of which is row `top`.
inline __attribute__((always_inline)) void row_of(const Resampling& job, int64_t n,
                                                  const uint8_t* lines, int64_t pitch,
                                                  int64_t top, uint8_t* y) {
  constexpr int kColumns = 32;
  const Taps& taps = job.rows;
  const int64_t width = 3 * job.columns.outputs;
  const int32_t* weights = taps.weights + n * taps.most;
  int32_t starts[kColumns + 2];  // from place x % 3 on
  for (int j = 0; j < kColumns + 2; j++) starts[j] = begin(taps, n, job.fill[j % 3]);
  lines += (taps.first[n] - top) * pitch;
  for (int64_t x = 0; x < width; x += kColumns) {
    int32_t sums[kColumns];
    uint8_t values[kColumns];
    std::memcpy(sums, starts + x % 3, sizeof sums);
    for (int32_t i = 0; i < taps.count[n]; i++)
      for (int j = 0; j < kColumns; j++) sums[j] += lines[i * pitch + x + j] * weights[i];
    for (int j = 0; j < kColumns; j++) values[j] = rounded(sums[j]);
    std::memcpy(y + x, values, width - x < kColumns ? width - x : kColumns);
  }
}

void row_plain(const Resampling& job, int64_t n, const uint8_t* lines, int64_t pitch, int64_t top,
               uint8_t* y) {
  row_of(job, n, lines, pitch, top, y);
}

SQAP_AVX2 void row_avx2(const Resampling& job, int64_t n, const uint8_t* lines, int64_t pitch,
                        int64_t top, uint8_t* y) {
  row_of(job, n, lines, pitch, top, y);
}

}  // namespace

#define SQAP_EXPORT extern "C" __attribute__((visibility("default")))

// Resample a whole image; plain: without AVX2, even where there is.
SQAP_EXPORT void sqap_resample(const Resampling* call, int32_t plain) {
  const Resampling& job = *call;
  __builtin_cpu_init();
  const bool wide = !plain && __builtin_cpu_supports("avx2");
  int64_t top = job.height, end = 0;  // rows of the image that are read
  for (int64_t n = 0; n < job.rows.outputs; n++) {
    if (!job.rows.count[n]) continue;
    if (job.rows.first[n] < top) top = job.rows.first[n];
    if (job.rows.first[n] + job.rows.count[n] > end) end = job.rows.first[n] + job.rows.count[n];
  }
  const int64_t pitch = 3 * job.columns.outputs + kSlack, line = 3 * job.width + 4 * kSlack;
  thread_local std::vector<uint8_t> lines, copies;  // kept: fresh memory costs a third of a call
  lines.resize((end > top ? end - top + kLines : 0) * pitch + kSlack);
  copies.resize(kLines * line);
  const std::vector<Quad> quads = wide ? quads_of(job.columns) : std::vector<Quad>();
  for (int64_t row = top; row < end; row += kLines) {
    const uint8_t* from[kLines];
    uint8_t* to[kLines];
    for (int r = 0; r < kLines; r++) {
      if (row + r < end)
        std::memcpy(&copies[r * line], job.image + (row + r) * job.stride, 3 * job.width);
      from[r] = &copies[r * line];
      to[r] = &lines[(row - top + r) * pitch];
    }
    wide ? lines_avx2(job, quads.data(), from, to) : lines_plain(job, from, to);
  }
  for (int64_t n = 0; n < job.rows.outputs; n++)
    (wide ? row_avx2 : row_plain)(job, n, lines.data(), pitch, top,
                                  job.y + n * 3 * job.columns.outputs);
}
