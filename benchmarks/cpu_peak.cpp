// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// What one core can do at most: multiply-adds in registers, and reading memory.
//
//     N=sqap_vla_ros/kernels/native
//     c++ -std=c++17 -O2 -I$N benchmarks/cpu_peak.cpp $N/processor.cpp -o /tmp/cpu_peak
//     /tmp/cpu_peak
//
// For x86-64 with AVX2 at least; what a processor lacks is said.  It takes g++ 11 or newer.  Time
// is the thread's own, so that a busy machine lowers the figures only by what its cores share.
#include <immintrin.h>
#include <time.h>

#include <cstdio>
#include <vector>

#include "processor.h"

namespace {

constexpr int kRuns = 1000, kLoops = 4000, kSums = 12;

double now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

// Define a function that returns steps a second: 12 independent sums, the best of many short runs.
// `step` makes the next sum of `s` and the vector `v`.
#define RATE(function, instructions, Vector, value, step)                                        \
  __attribute__((target(instructions))) double function() {                                      \
    Vector v = value;                                                                            \
    double best = 1e9;                                                                           \
    for (int run = 0; run < kRuns; run++) {                                                      \
      Vector a{}, b{}, c{}, d{}, e{}, f{}, g{}, h{}, i{}, j{}, k{}, l{};                         \
      const double start = now();                                                                \
      for (int loop = 0; loop < kLoops; loop++) {                                                \
        NEXT(a, step) NEXT(b, step) NEXT(c, step) NEXT(d, step) NEXT(e, step) NEXT(f, step)      \
        NEXT(g, step) NEXT(h, step) NEXT(i, step) NEXT(j, step) NEXT(k, step) NEXT(l, step)      \
      }                                                                                          \
      const double seconds = now() - start;                                                      \
      if (seconds < best) best = seconds;                                                        \
    }                                                                                            \
    return double(kLoops) * kSums / best;                                                        \
  }
#define NEXT(sum, step)         \
  {                             \
    auto& s = sum;              \
    asm volatile("" : "+x"(v)); \
    s = step;                   \
    asm volatile("" : "+x"(s)); \
  }

RATE(float_avx2, "avx2,fma", __m256, _mm256_set1_ps(1), _mm256_fmadd_ps(v, v, s))
RATE(pairs_avx2, "avx2", __m256i, _mm256_set1_epi8(1),
     _mm256_add_epi16(s, _mm256_maddubs_epi16(v, v)))
RATE(float_avx512, "avx512f", __m512, _mm512_set1_ps(1), _mm512_fmadd_ps(v, v, s))
RATE(bfloat_avx512, "avx512f,avx512bw,avx512vl,avx512bf16", __m512, _mm512_set1_ps(1),
     _mm512_dpbf16_ps(s, (__m512bh)v, (__m512bh)v))
RATE(bytes_avx, "avx2,avxvnni", __m256i, _mm256_set1_epi8(1), _mm256_dpbusd_avx_epi32(s, v, v))
RATE(bytes_avx512, "avx512f,avx512vnni", __m512i, _mm512_set1_epi8(1),
     _mm512_dpbusd_epi32(s, v, v))

struct TileShapes {
  uint8_t palette = 1, rest[15] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Products of tiles a second: six independent sums.
double tiles() {
  static constexpr TileShapes shapes;
  double best = 1e9;
  asm volatile("ldtilecfg %0" : : "m"(shapes));
  for (int run = 0; run < kRuns / 10; run++) {
    const double start = now();
    for (int loop = 0; loop < kLoops; loop++)
      asm volatile("tdpbsud %tmm6, %tmm7, %tmm0\n tdpbsud %tmm6, %tmm7, %tmm1\n"
                   "tdpbsud %tmm6, %tmm7, %tmm2\n tdpbsud %tmm6, %tmm7, %tmm3\n"
                   "tdpbsud %tmm6, %tmm7, %tmm4\n tdpbsud %tmm6, %tmm7, %tmm5");
    const double seconds = now() - start;
    if (seconds < best) best = seconds;
  }
  asm volatile("tilerelease");
  return kLoops * 6 / best;
}

__attribute__((target("avx2"))) double read_bandwidth() {
  const size_t count = size_t(64) << 20;
  std::vector<float> memory(count, 1.0f);
  double best = 1e9;
  for (int run = 0; run < 10; run++) {
    __m256 sums[8] = {};
    const double start = now();
    for (size_t i = 0; i < count; i += 64)
      for (int j = 0; j < 8; j++)
        sums[j] = _mm256_add_ps(sums[j], _mm256_loadu_ps(&memory[i + 8 * j]));
    const double seconds = now() - start;
    for (auto& sum : sums) asm volatile("" : "+x"(sum));
    if (seconds < best) best = seconds;
  }
  return count * sizeof(float) / best;
}

// Print operations a second; `each`: operations of a step.
void tell(const char* name, bool there, double each, double (*rate)()) {
  if (there)
    printf("%-36s %6.0f GOP/s\n", name, each * 1e-9 * rate());
  else
    printf("%-36s not on this processor\n", name);
  fflush(stdout);
}

}  // namespace

int main() {
  using sqap::runs;
  __builtin_cpu_init();
  if (!runs(sqap::kAvx2)) return puts("not for a processor without AVX2"), 1;
  const bool avx512 = __builtin_cpu_supports("avx512f");
  tell("float32, AVX2", true, 16, float_avx2);
  tell("float32, AVX-512", avx512, 32, float_avx512);
  tell("bfloat16, AVX-512", avx512 && __builtin_cpu_supports("avx512bf16"), 64, bfloat_avx512);
  tell("4-bit x int8, pairs in int16, AVX2", true, 64, pairs_avx2);
  tell("int8, AVX-VNNI", runs(sqap::kAvxVnni), 64, bytes_avx);
  tell("int8, AVX-512 VNNI", runs(sqap::kAvx512Vnni), 128, bytes_avx512);
  tell("int8, AMX", runs(sqap::kAmx), 2 * 16 * 16 * 64, tiles);
  printf("%-36s %6.1f GB/s\n", "reading memory", 1e-9 * read_bandwidth());
}
