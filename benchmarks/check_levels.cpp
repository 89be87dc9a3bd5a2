// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Check the native kernels at every level that this machine runs against plain loops.
//
//     L=$(python -c 'from sqap_vla_ros.kernels.build import build; print(build())')
//     g++ -std=c++17 -O2 -Isqap_vla_ros/kernels/native benchmarks/check_levels.cpp "$L" -lgomp
//         -Wl,-rpath,"${L%/*}" -o /tmp/check_levels        (one command)
//     /tmp/check_levels
//
// Integer products, at the extremes too, have to be exact; attention has to agree to 1e-5, and to
// 0.02 where it multiplies bfloat16.  Linked
// statically with the objects of native/ it runs in an emulator, for levels that no machine at hand
// has.  Ends with 1 if anything differs.
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "sqap_kernels.h"

extern "C" {
int32_t sqap_levels();
int32_t sqap_compiled_levels();
int32_t sqap_amx_state();
int64_t sqap_packed_bytes(int64_t, int64_t, int32_t);
void sqap_pack(const int8_t*, int64_t, int64_t, int32_t, int32_t, uint8_t*);
void sqap_linear(const sqap::Layer*, const sqap::Call*);
void sqap_attention(const sqap::Attention*, int32_t);
}

namespace {

const char* const kNames[] = {"none", "avx2", "avx_vnni", "avx512_vnni", "amx"};
std::mt19937 random_bits(1);

enum Kind { kLow, kHigh, kAlternating, kRandom, kKinds };

// Fill with integers of so many bits.
void fill(std::vector<int8_t>& values, int bits, int kind) {
  const int low = -(1 << (bits - 1)), high = -low - 1;
  for (size_t i = 0; i < values.size(); i++)
    values[i] = kind == kLow                       ? low
                : kind == kHigh                    ? high
                : kind == kAlternating             ? (i % 2 ? low : high)
                                                   : low + int(random_bits() % (2 * high + 2));
}

struct Shape {
  int64_t rows, inputs, outputs;
};

// Whether one product is that of a plain loop; `kinds`: of weights and of activations.
bool product_is_exact(int level, Shape s, int weight_bits, int act_bits, int kinds, int threads) {
  std::vector<int8_t> weight(s.outputs * s.inputs), grid(s.rows * s.inputs);
  std::vector<float> y(s.rows * s.outputs, -1), scale(s.outputs, 0.5f), bias(s.outputs, 2.0f);
  fill(weight, weight_bits, kinds % kKinds);
  fill(grid, act_bits, kinds / kKinds);
  const std::vector<float> x(grid.begin(), grid.end());
  std::vector<uint8_t> packed(sqap_packed_bytes(s.outputs, s.inputs, weight_bits));
  sqap_pack(weight.data(), s.outputs, s.inputs, weight_bits, 0, packed.data());
  sqap::Layer layer{};
  layer.inputs = s.inputs, layer.outputs = s.outputs, layer.weight_bits = weight_bits;
  layer.act_bits = layer.text_bits = act_bits, layer.level = level, layer.groups = 1;
  layer.hadamard_block = layer.hadamard_stride = layer.per_token = 1;
  layer.weight = packed.data(), layer.scale = scale.data(), layer.bias = bias.data();
  sqap::Call call{};
  call.x = x.data(), call.y = y.data(), call.rows = s.rows, call.x_stride = s.inputs;
  call.y_stride = s.outputs, call.threads = threads, call.fixed_scale = 1.0f, call.length = s.rows;
  sqap_linear(&layer, &call);
  for (int64_t m = 0; m < s.rows; m++)
    for (int64_t n = 0; n < s.outputs; n++) {
      int32_t sum = 0;
      for (int64_t k = 0; k < s.inputs; k++)
        sum += grid[m * s.inputs + k] * weight[n * s.inputs + k];
      if (y[m * s.outputs + n] == float(sum) * 0.5f + 2.0f) continue;
      printf("%s: w%da%d %ldx%ldx%ld kinds %d threads %d row %ld column %ld: %g, not %g\n",
             kNames[level], weight_bits, act_bits, long(s.rows), long(s.inputs), long(s.outputs),
             kinds, threads, long(m), long(n), y[m * s.outputs + n], sum * 0.5 + 2.0);
      return false;
    }
  return true;
}

// The largest difference of one head of attention from a plain loop in double.
double attention_error(int level, int64_t tokens, int64_t width, int bits = 32) {
  std::vector<float> q(tokens * width), k(q), v(q), y(q);
  for (auto* values : {&q, &k, &v})
    for (auto& value : *values) value = std::normal_distribution<float>()(random_bits);
  sqap::Attention call{};
  call.q = q.data(), call.k = k.data(), call.v = v.data(), call.y = y.data();
  call.batch = call.heads = call.kv_heads = call.causal = call.threads = 1;
  call.queries = call.keys = tokens, call.width = width, call.bits = bits;
  for (auto* strides : {call.q_strides, call.k_strides, call.v_strides})
    strides[0] = strides[1] = tokens * width, strides[2] = width;
  sqap_attention(&call, level);
  double worst = 0;
  for (int64_t i = 0; i < tokens; i++) {
    std::vector<double> sums(width);
    double all = 0;
    for (int64_t j = 0; j <= i; j++) {
      double score = 0;
      for (int64_t d = 0; d < width; d++) score += double(q[i * width + d]) * k[j * width + d];
      const double weight = std::exp(score / std::sqrt(double(width)));
      all += weight;
      for (int64_t d = 0; d < width; d++) sums[d] += weight * v[j * width + d];
    }
    for (int64_t d = 0; d < width; d++)
      worst = std::fmax(worst, std::fabs(sums[d] / all - y[i * width + d]));
  }
  return worst;
}

// How many checks of a level failed; prints what did.
int check(int level) {
  const Shape shapes[] = {{1, 1, 1},    {2, 7, 5},     {3, 63, 65},   {4, 64, 64},
                          {6, 65, 130}, {15, 100, 7},  {16, 250, 70}, {17, 1100, 3},
                          {33, 513, 66}, {49, 2056, 9}, {97, 64, 66},  {77, 512, 130}};
  int done = 0, failed = 0;
  for (const Shape& shape : shapes)
    for (int weight_bits : {4, 8})
      for (int act_bits : {4, 8})
        for (int kinds = 0; kinds < kKinds * kKinds; kinds++, done++)
          failed += !product_is_exact(level, shape, weight_bits, act_bits, kinds, 1 + kinds % 2);
  const double error = std::fmax(attention_error(level, 70, 20), attention_error(level, 13, 64));
  printf("%s: %d of %d products exact, attention off by %.1e\n", kNames[level], done - failed, done,
         error);
  fflush(stdout);
  if (level == 4) {
    const double halves =
        std::fmax(attention_error(level, 70, 20, 16), attention_error(level, 13, 64, 16));
    printf("%s: attention in bfloat16 off by %.1e\n", kNames[level], halves);
    failed += !(halves < 0.02);
  }
  return failed + !(error < 1e-5);
}

// The same of one product in a child of this process, whose threads have been started.
bool works_after_fork(int level) {
  const pid_t child = fork();
  if (child == 0) _exit(!product_is_exact(level, {33, 65, 66}, 4, 8, kKinds * kRandom + kRandom, 2));
  int status = 1;
  waitpid(child, &status, 0);
  return status == 0;
}

}  // namespace

int main() {
  const int levels = sqap_levels();
  printf("compiled %#x, usable %#x, AMX state %d\n", sqap_compiled_levels(), levels,
         sqap_amx_state());
  int failed = 0;
  for (int level = 1; level <= 4; level++)
    if (levels >> level & 1) {
      failed += check(level);
      if (works_after_fork(level)) continue;
      printf("%s: fails in a forked child\n", kNames[level]);
      failed++;
    }
  puts(failed || !levels ? "FAILED" : "passed");
  return failed || !levels;
}
