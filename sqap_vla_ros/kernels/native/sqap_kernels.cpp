// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// The C interface: which instruction set to use, how weights are packed, and the call itself.
// This file is compiled without special flags, so that it runs on every x86-64 processor.
#include "sqap_kernels.h"

#include <cstring>

namespace {

using sqap::kGroup;
using sqap::kPanel;
using sqap::round_up;

const sqap::Level* const kLevels[] = {
    nullptr, &sqap::level_avx2, &sqap::level_avx_vnni, &sqap::level_avx512_vnni};

// Position of input k of a column inside its panel's byte rows, before two values share a byte.
// Integer layers keep 4 neighbouring k of a column side by side, float layers the columns.
int64_t place(int64_t k, int64_t column, bool floats) {
  return floats ? k * kPanel + column : (k / 4 * kPanel + column) * 4 + k % 4;
}

// Values that lie in one unit of the packed form: two half units share bytes at 4 bits.
int64_t half_unit(bool floats) { return floats ? kPanel : 4 * kPanel; }

}  // namespace

#define SQAP_EXPORT extern "C" __attribute__((visibility("default")))

// Bumped with every change of the structures below, which kernels/native.py mirrors.
SQAP_EXPORT int32_t sqap_interface() { return 6; }

// 0: nothing that this library can use, 1: AVX2, 2: AVX-VNNI, 3: AVX-512 with VNNI.
SQAP_EXPORT int32_t sqap_best_level() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vnni"))
    return 3;
  return __builtin_cpu_supports("avxvnni") ? 2 : 1;
}

SQAP_EXPORT int64_t sqap_packed_bytes(int64_t outputs, int64_t inputs, int32_t weight_bits) {
  return round_up(outputs, kPanel) * round_up(inputs, kGroup) * weight_bits / 8;
}

// Pack integers [outputs, inputs] into panels of 64 columns; columns and rows beyond are 0.
SQAP_EXPORT void sqap_pack(const int8_t* values, int64_t outputs, int64_t inputs,
                           int32_t weight_bits, int32_t floats, uint8_t* packed) {
  const int64_t padded = round_up(inputs, kGroup), half = half_unit(floats);
  const int offset = weight_bits == 4 ? 8 : 128;
  std::memset(packed, 0, sqap_packed_bytes(outputs, inputs, weight_bits));
  for (int64_t n = 0; n < outputs; n++) {
    uint8_t* panel = packed + n / kPanel * kPanel * padded * weight_bits / 8;
    for (int64_t k = 0; k < inputs; k++) {
      const int64_t at = place(k, n % kPanel, floats);
      const uint8_t value = values[n * inputs + k] + offset;
      if (weight_bits == 8)
        panel[at] = value;
      else
        panel[at / (2 * half) * half + at % half] |= at / half % 2 ? value << 4 : value;
    }
  }
}

// Pack floats [outputs, inputs] into panels of 64 columns, 32 bits a weight.
SQAP_EXPORT void sqap_pack_floats(const float* values, int64_t outputs, int64_t inputs,
                                  float* packed) {
  const int64_t padded = round_up(inputs, kGroup);
  std::memset(packed, 0, sqap_packed_bytes(outputs, inputs, 32));
  for (int64_t n = 0; n < outputs; n++)
    for (int64_t k = 0; k < inputs; k++)
      packed[(n / kPanel * padded + k) * kPanel + n % kPanel] = values[n * inputs + k];
}

SQAP_EXPORT void sqap_linear(const sqap::Layer* layer, const sqap::Call* call) {
  kLevels[layer->level]->linear(*layer, *call);
}

SQAP_EXPORT void sqap_attention(const sqap::Attention* call, int32_t level) {
  kLevels[level]->attention(*call);
}

SQAP_EXPORT void sqap_block(const sqap::Block* block, const sqap::BlockCall* call) {
  kLevels[block->out->level]->block(*block, *call);
}

SQAP_EXPORT void sqap_vit_block(const sqap::VitBlock* block, const sqap::VitCall* call) {
  kLevels[block->out->level]->vit_block(*block, *call);
}
