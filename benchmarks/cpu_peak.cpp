// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// What one core can do at most: multiply-adds in registers, and reading memory.
//
//     c++ -O2 -march=native -ffp-contract=off benchmarks/cpu_peak.cpp -o /tmp/cpu_peak
//     /tmp/cpu_peak
//
// For x86-64 with AVX-512, VNNI and BF16.  Time is the thread's own, so that a busy machine lowers
// the figures only by what its cores share.
#include <immintrin.h>
#include <time.h>

#include <cstdio>
#include <vector>

static double now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

// Instructions a second: 12 independent sums, each fed with `step`; the best of many short runs.
template <class Vector, class Step>
static double rate(Vector value, Step step) {
  const int loops = 4000;
  double best = 1e9;
  for (int run = 0; run < 5000; run++) {
    Vector a{}, b{}, c{}, d{}, e{}, f{}, g{}, h{}, i{}, j{}, k{}, l{};
    const double start = now();
    for (int loop = 0; loop < loops; loop++) {
      a = step(a, value), b = step(b, value), c = step(c, value), d = step(d, value);
      e = step(e, value), f = step(f, value), g = step(g, value), h = step(h, value);
      i = step(i, value), j = step(j, value), k = step(k, value), l = step(l, value);
      asm volatile("" : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h),
                   "+v"(i), "+v"(j), "+v"(k), "+v"(l));
    }
    const double seconds = now() - start;
    if (seconds < best) best = seconds;
  }
  return loops * 12.0 / best;
}

static double read_bandwidth() {
  const size_t count = size_t(64) << 20;
  std::vector<float> memory(count, 1.0f);
  double best = 1e9;
  for (int run = 0; run < 20; run++) {
    __m512 sums[8] = {};
    const double start = now();
    for (size_t i = 0; i < count; i += 128)
      for (int j = 0; j < 8; j++)
        sums[j] = _mm512_add_ps(sums[j], _mm512_loadu_ps(&memory[i + 16 * j]));
    const double seconds = now() - start;
    for (auto& sum : sums) asm volatile("" : "+v"(sum));
    if (seconds < best) best = seconds;
  }
  return count * sizeof(float) / best;
}

int main() {
  const __m512 floats = _mm512_set1_ps(1.0f);
  const __m512i bytes = _mm512_set1_epi8(1);
  printf("float32   %6.0f GFLOP/s\n", 32e-9 * rate(floats, [](__m512 sum, __m512 v) {
           return _mm512_fmadd_ps(v, v, sum);
         }));
  printf("bfloat16  %6.0f GFLOP/s\n", 64e-9 * rate(floats, [](__m512 sum, __m512 v) {
           return _mm512_dpbf16_ps(sum, (__m512bh)v, (__m512bh)v);
         }));
  printf("int8      %6.0f GOP/s\n", 128e-9 * rate(bytes, [](__m512i sum, __m512i v) {
           return _mm512_dpbusd_epi32(sum, v, v);
         }));
  printf("reading   %6.1f GB/s\n", 1e-9 * read_bandwidth());
}
