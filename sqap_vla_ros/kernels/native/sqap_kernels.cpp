// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// The C interface: which levels there are, how weights are packed, and the calls themselves.
// This file is compiled without special flags, so that it runs on every x86-64 processor.
#include "sqap_kernels.h"

#include <pthread.h>

#include <cstring>

#include "processor.h"

namespace {

using sqap::kGroup;
using sqap::kPanel;
using sqap::round_up;

const sqap::Level* const kLevels[] = {
    nullptr, &sqap::level_avx2, &sqap::level_avx_vnni, &sqap::level_avx512_vnni, &sqap::level_amx};
constexpr int32_t kLevelCount = sizeof kLevels / sizeof *kLevels;

// Position of input k of a column inside its panel's byte rows, before two values share a byte.
// Integer layers keep 4 neighbouring k of a column side by side, float layers the columns.
int64_t place(int64_t k, int64_t column, bool floats) {
  return floats ? k * kPanel + column : (k / 4 * kPanel + column) * 4 + k % 4;
}

// Values that lie in one unit of the packed form: two half units share bytes at 4 bits.
int64_t half_unit(bool floats) { return floats ? kPanel : 4 * kPanel; }

// A forked child has none of its parent's threads, and OpenMP's runtime would wait for them for
// ever: there one thread does all.  Results are the same.
bool forked = false;
const int watched = pthread_atfork(nullptr, nullptr, [] { forked = true; });

template <class Call>
Call with_threads_there(const Call* call) {
  Call copy = *call;
  if (forked) copy.threads = 1;
  return copy;
}

}  // namespace

#define SQAP_EXPORT extern "C" __attribute__((visibility("default")))

// Bumped with every change of the structures below, which kernels/native.py mirrors.
SQAP_EXPORT int32_t sqap_interface() { return 10; }

// Bit i is set if level i (see processor.h) was compiled in.
SQAP_EXPORT int32_t sqap_compiled_levels() {
  int32_t found = 0;
  for (int32_t level = 1; level < kLevelCount; level++)
    if (kLevels[level]) found |= 1 << level;
  return found;
}

// Those of them that run here.
SQAP_EXPORT int32_t sqap_levels() {
  int32_t found = 0;
  for (int32_t level = 1; level < kLevelCount; level++)
    if (kLevels[level] && sqap::runs(level)) found |= 1 << level;
  return found;
}

// What stands in the way of AMX, see processor.h.
SQAP_EXPORT int32_t sqap_amx_state() { return int32_t(sqap::amx_state()); }

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

// Bytes of bfloat16 weights: inputs are padded to a whole tile's.
SQAP_EXPORT int64_t sqap_half_bytes(int64_t outputs, int64_t inputs) {
  return round_up(outputs, kPanel) * round_up(inputs, 32) * 2;
}

// Pack bfloat16 values [outputs, inputs] as tiles of 16 columns, two inputs of a column together.
SQAP_EXPORT void sqap_pack_halves(const uint16_t* values, int64_t outputs, int64_t inputs,
                                  uint16_t* packed) {
  const int64_t padded = round_up(inputs, 32);
  std::memset(packed, 0, sqap_half_bytes(outputs, inputs));
  for (int64_t n = 0; n < outputs; n++)
    for (int64_t k = 0; k < inputs; k++)
      packed[(n / 16 * padded + k / 2 * 2) * 16 + n % 16 * 2 + k % 2] = values[n * inputs + k];
}

SQAP_EXPORT void sqap_linear(const sqap::Layer* layer, const sqap::Call* call) {
  kLevels[layer->level]->linear(*layer, with_threads_there(call));
}

SQAP_EXPORT void sqap_attention(const sqap::Attention* call, int32_t level) {
  kLevels[level]->attention(with_threads_there(call));
}

SQAP_EXPORT void sqap_block(const sqap::Block* block, const sqap::BlockCall* call) {
  kLevels[block->out->level]->block(*block, with_threads_there(call));
}

SQAP_EXPORT void sqap_vit_block(const sqap::VitBlock* block, const sqap::VitCall* call) {
  kLevels[block->out->level]->vit_block(*block, with_threads_there(call));
}

SQAP_EXPORT void sqap_conv(const sqap::Layer* layer, const sqap::ConvCall* call) {
  kLevels[layer->level]->conv(*layer, with_threads_there(call));
}
