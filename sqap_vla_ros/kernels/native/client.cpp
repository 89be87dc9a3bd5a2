// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// What OpenVLA's clients do to an image, with the bits of geometry/jpeg.py and client_images.py,
// which say what each step is: a JPEG file's losses, and Lanczos in float32.  Eight blocks of a
// row lie side by side in a vector; the functions are compiled for AVX2 too.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

#define SQAP_INLINE inline __attribute__((always_inline))

constexpr int kSide = 8, kLanes = 8;  // of a block; blocks in a vector
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef float Pixel __attribute__((vector_size(16)));
using Block = Ints[kSide][kSide];

constexpr int32_t fix(double value, int bits) {
  return static_cast<int32_t>(value * (1 << bits) + 0.5);
}

struct Plane {
  int64_t height, width;
  std::vector<uint8_t> values;
  Plane(int64_t h, int64_t w) : height(h), width(w), values(h * w) {}
  uint8_t* row(int64_t y) { return &values[y * width]; }
};

int64_t up(int64_t length, int64_t step) { return (length + step - 1) / step * step; }
int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

SQAP_INLINE Ints shifted(Ints values, int bits) {
  return bits < 0 ? values << -bits : (values + (1 << (bits - 1))) >> bits;
}

SQAP_INLINE void forward_pass(const Ints* x, int64_t step, int plain, int scaled, Ints* y) {
  const Ints t7 = x[0] - x[7 * step], t6 = x[step] - x[6 * step];
  const Ints t5 = x[2 * step] - x[5 * step], t4 = x[3 * step] - x[4 * step];
  const Ints a0 = x[0] + x[7 * step], a1 = x[step] + x[6 * step];
  const Ints a2 = x[2 * step] + x[5 * step], a3 = x[3 * step] + x[4 * step];
  const Ints s0 = a0 + a3, s1 = a1 + a2, d0 = a0 - a3, d1 = a1 - a2;
  const Ints turn = (d0 + d1) * fix(0.541196100, 13);
  const Ints z5 = (t4 + t6 + t5 + t7) * fix(1.175875602, 13);
  const Ints z1 = (t4 + t7) * -fix(0.899976223, 13), z2 = (t5 + t6) * -fix(2.562915447, 13);
  const Ints z3 = z5 - (t4 + t6) * fix(1.961570560, 13);
  const Ints z4 = z5 - (t5 + t7) * fix(0.390180644, 13);
  y[0] = shifted(s0 + s1, plain);
  y[4 * step] = shifted(s0 - s1, plain);
  y[step] = shifted(t7 * fix(1.501321110, 13) + z1 + z4, scaled);
  y[2 * step] = shifted(turn + d0 * fix(0.765366865, 13), scaled);
  y[3 * step] = shifted(t6 * fix(3.072711026, 13) + z2 + z3, scaled);
  y[5 * step] = shifted(t5 * fix(2.053119869, 13) + z2 + z4, scaled);
  y[6 * step] = shifted(turn - d1 * fix(1.847759065, 13), scaled);
  y[7 * step] = shifted(t4 * fix(0.298631336, 13) + z1 + z3, scaled);
}

SQAP_INLINE Ints times(Ints values, int32_t factor) { return (values * factor) >> 8; }

SQAP_INLINE void inverse_pass(Ints* x, int64_t step) {
  const Ints s0 = x[0] + x[4 * step], d0 = x[0] - x[4 * step], s1 = x[2 * step] + x[6 * step];
  const Ints d1 = times(x[2 * step] - x[6 * step], fix(1.414213562, 8)) - s1;
  const Ints z13 = x[5 * step] + x[3 * step], z10 = x[5 * step] - x[3 * step];
  const Ints z11 = x[step] + x[7 * step], z12 = x[step] - x[7 * step];
  const Ints t7 = z11 + z13, z5 = times(z10 + z12, fix(1.847759065, 8));
  const Ints t6 = times(z10, -fix(2.613125930, 8)) + z5 - t7;
  const Ints t5 = times(z11 - z13, fix(1.414213562, 8)) - t6;
  const Ints t4 = times(z12, fix(1.082392200, 8)) - z5 + t5;
  const Ints even[4] = {s0 + s1, d0 + d1, d0 - d1, s0 - s1}, odd[4] = {t7, t6, t5, -t4};
  for (int i = 0; i < 4; i++) {
    x[i * step] = even[i] + odd[i];
    x[(7 - i) * step] = even[i] - odd[i];
  }
}

// Round coefficients, 8 times too large, to multiples of 8 times the table's and scale them for
// the way back.  Quotients of numbers below 2**20 are exact in floats once they are cut.
SQAP_INLINE Ints quantized(Ints value, int32_t divisor, int32_t scale) {
  const Ints sign = value >> 31, size = ((value ^ sign) - sign) + divisor * 8 / 2;
  const Ints rounded = __builtin_convertvector(
      __builtin_convertvector(size, Floats) / static_cast<float>(8 * divisor), Ints);
  return ((rounded ^ sign) - sign) * scale;
}

// Code and decode kLanes blocks; table, scales: [8, 8].
SQAP_INLINE void code(Block& x, const int32_t* table, const int32_t* scales) {
  for (int i = 0; i < kSide; i++) forward_pass(x[i], 1, -2, 11, x[i]);
  for (int j = 0; j < kSide; j++) forward_pass(&x[0][j], kSide, 2, 15, &x[0][j]);
  for (int i = 0; i < kSide; i++)
    for (int j = 0; j < kSide; j++)
      x[i][j] = quantized(x[i][j], table[i * kSide + j], scales[i * kSide + j]);
  for (int j = 0; j < kSide; j++) inverse_pass(&x[0][j], kSide);
  for (int i = 0; i < kSide; i++) inverse_pass(x[i], 1);
}

// Code a plane, of which only height x width are its own: the rest repeats the edge.
SQAP_INLINE void code_plane(Plane& plane, int64_t height, int64_t width, const int32_t* table,
                            const int32_t* scales) {
  for (int64_t y = 0; y < plane.height; y++) {
    if (y >= height) std::memcpy(plane.row(y), plane.row(height - 1), plane.width);
    std::memset(plane.row(y) + width, plane.row(y)[width - 1], plane.width - width);
  }
  for (int64_t top = 0; top < plane.height; top += kSide)
    for (int64_t left = 0; left < plane.width; left += kSide * kLanes) {
      Block x;
      for (int i = 0; i < kSide; i++)
        for (int j = 0; j < kSide; j++)
          for (int b = 0; b < kLanes; b++)
            x[i][j][b] = plane.row(top + i)[left + kSide * b + j] - 128;
      code(x, table, scales);
      for (int i = 0; i < kSide; i++)
        for (int b = 0; b < kLanes; b++)
          for (int j = 0; j < kSide; j++) {
            const int32_t value = (x[i][j][b] >> 5) + 128;
            plane.row(top + i)[left + kSide * b + j] = value < 0 ? 0 : value > 255 ? 255 : value;
          }
    }
}

struct Client {
  const uint8_t* image;  // [height, width, 3]
  int64_t height, width;
  const int32_t *luma_table, *luma_scales, *chroma_table, *chroma_scales;  // [8, 8]
  uint8_t* y;            // [height, width, 3]
};

// Split an image into Y and, of half the size, Cb and Cr.
SQAP_INLINE void split(const Client& job, Plane& luma, Plane& blue, Plane& red) {
  const int64_t wide = up(job.width, 16);
  std::vector<int32_t> sums(2 * wide);  // of two rows' Cb, then Cr
  for (int64_t y = 0; y < up(job.height, 2); y++) {
    const uint8_t* row = job.image + least(y, job.height - 1) * job.width * 3;
    if (y % 2 == 0) std::memset(sums.data(), 0, sums.size() * 4);
    for (int64_t x = 0; x < job.width; x++) {
      const int32_t r = row[3 * x], g = row[3 * x + 1], b = row[3 * x + 2];
      constexpr int32_t half = 1 << 15, offset = (128 << 16) + half - 1;
      if (y < job.height)
        luma.row(y)[x] = (fix(0.299, 16) * r + fix(0.587, 16) * g + fix(0.114, 16) * b + half) >> 16;
      sums[x] += (half * b - fix(0.16874, 16) * r - fix(0.33126, 16) * g + offset) >> 16;
      sums[wide + x] += (half * r - fix(0.41869, 16) * g - fix(0.08131, 16) * b + offset) >> 16;
    }
    if (y % 2 == 0) continue;
    for (int64_t x = job.width; x < wide; x++)
      sums[x] = sums[job.width - 1], sums[wide + x] = sums[wide + job.width - 1];
    for (int64_t x = 0; x < wide / 2; x++) {
      const int32_t bias = 1 + x % 2;
      blue.row(y / 2)[x] = (sums[2 * x] + sums[2 * x + 1] + bias) >> 2;
      red.row(y / 2)[x] = (sums[wide + 2 * x] + sums[wide + 2 * x + 1] + bias) >> 2;
    }
  }
}

// Write row y of a plane's own h x w at twice its size, three quarters of the nearer.
SQAP_INLINE void doubled(Plane& plane, int64_t h, int64_t w, int64_t y, int32_t* rows,
                         int32_t* found) {
  const int64_t next = y % 2 ? least(y / 2 + 1, h - 1) : y / 2 ? y / 2 - 1 : 0;
  const uint8_t *near = plane.row(y / 2), *far = plane.row(next);
  if (w <= 2) {
    for (int64_t x = 0; x < w; x++) found[2 * x] = found[2 * x + 1] = near[x];
    return;
  }
  for (int64_t x = 0; x < w; x++) rows[x + 1] = 3 * near[x] + far[x];
  rows[0] = rows[1], rows[w + 1] = rows[w];
  for (int64_t x = 0; x < w; x++) {
    found[2 * x] = (3 * rows[x + 1] + rows[x] + 8) >> 4;
    found[2 * x + 1] = (3 * rows[x + 1] + rows[x + 2] + 7) >> 4;
  }
}

SQAP_INLINE uint8_t byte(int32_t value) { return value < 0 ? 0 : value > 255 ? 255 : value; }

SQAP_INLINE void round_trip(const Client& job) {
  const int64_t step = kSide * kLanes, h = (job.height + 1) / 2, w = (job.width + 1) / 2;
  Plane luma(up(job.height, kSide), up(job.width, step));
  Plane blue(up(h, kSide), up(w, step)), red(up(h, kSide), up(w, step));
  split(job, luma, blue, red);
  code_plane(luma, job.height, job.width, job.luma_table, job.luma_scales);
  code_plane(blue, h, up(job.width, 16) / 2, job.chroma_table, job.chroma_scales);
  code_plane(red, h, up(job.width, 16) / 2, job.chroma_table, job.chroma_scales);
  std::vector<int32_t> rows(w + 2), blues(2 * w), reds(2 * w);
  for (int64_t y = 0; y < job.height; y++) {
    doubled(blue, h, w, y, rows.data(), blues.data());
    doubled(red, h, w, y, rows.data(), reds.data());
    const uint8_t* light = luma.row(y);
    uint8_t* to = job.y + y * job.width * 3;
    for (int64_t x = 0; x < job.width; x++) {
      const int32_t b = blues[x] - 128, r = reds[x] - 128;
      to[3 * x] = byte(light[x] + ((fix(1.402, 16) * r + (1 << 15)) >> 16));
      to[3 * x + 1] = byte(
          light[x] + (((1 << 15) - fix(0.34414, 16) * b - fix(0.71414, 16) * r) >> 16));
      to[3 * x + 2] = byte(light[x] + ((fix(1.772, 16) * b + (1 << 15)) >> 16));
    }
  }
}

// One axis of a resize: places and weights [taps, outputs].
struct Axis {
  const int32_t* places;
  const float* weights;
  int64_t taps, outputs;
};

struct Lanczos {
  const uint8_t* image;  // [height, width, 3]
  int64_t height, width;
  Axis rows, columns;
  uint8_t* y;            // [rows.outputs, columns.outputs, 3]
};

SQAP_INLINE void lanczos(const Lanczos& job) {
  const int64_t line = 3 * job.width;
  std::vector<float> sums(line + 4);  // a pixel is read with one float more
  for (int64_t n = 0; n < job.rows.outputs; n++) {
    std::memset(sums.data(), 0, 4 * line);
    for (int64_t t = 0; t < job.rows.taps; t++) {
      const float weight = job.rows.weights[t * job.rows.outputs + n];
      const uint8_t* row = job.image + job.rows.places[t * job.rows.outputs + n] * line;
      for (int64_t x = 0; x < line; x++) sums[x] += row[x] * weight;
    }
    for (int64_t x = 0; x < job.columns.outputs; x++) {
      Pixel found = {};
      for (int64_t t = 0; t < job.columns.taps; t++) {
        const int64_t at = t * job.columns.outputs + x;
        Pixel pixel;
        std::memcpy(&pixel, &sums[3 * job.columns.places[at]], sizeof pixel);
        found += pixel * job.columns.weights[at];
      }
      for (int c = 0; c < 3; c++)
        job.y[(n * job.columns.outputs + x) * 3 + c] = byte(std::lrintf(found[c]));
    }
  }
}

#define SQAP_AVX2 __attribute__((target("avx2")))

SQAP_AVX2 void round_trip_avx2(const Client& job) { round_trip(job); }
void round_trip_plain(const Client& job) { round_trip(job); }
SQAP_AVX2 void lanczos_avx2(const Lanczos& job) { lanczos(job); }
void lanczos_plain(const Lanczos& job) { lanczos(job); }

bool is_wide(int32_t plain) {
  __builtin_cpu_init();
  return !plain && __builtin_cpu_supports("avx2");
}

}  // namespace

#define SQAP_EXPORT extern "C" __attribute__((visibility("default")))

// plain: without AVX2, even where there is.
SQAP_EXPORT void sqap_jpeg(const Client* call, int32_t plain) {
  (is_wide(plain) ? round_trip_avx2 : round_trip_plain)(*call);
}

SQAP_EXPORT void sqap_lanczos(const Lanczos* call, int32_t plain) {
  (is_wide(plain) ? lanczos_avx2 : lanczos_plain)(*call);
}
