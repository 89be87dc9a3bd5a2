// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Which levels this processor, and the system on it, can run.
// This file is compiled without special flags, so that it runs on every x86-64 processor.
#include "processor.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace {

using sqap::AmxState;

constexpr int kRequestPermission = 0x1023, kTileData = 18;  // of arch_prctl, Linux 5.16 and later
constexpr uint64_t kTileState = 3ull << 17;                 // in XCR0
constexpr uint32_t kAmxBf16 = 1u << 22, kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;
constexpr uint32_t kOsXsave = 1u << 27, kAvx512Bf16 = 1u << 5;

struct Registers {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

// Zeros where the processor has no such leaf.
Registers cpuid(uint32_t leaf, uint32_t part) {
  Registers r;
  __get_cpuid_count(leaf, part, &r.a, &r.b, &r.c, &r.d);
  return r;
}

// The register states that the system saves when it changes threads.
uint64_t saved_states() {
  if (!(cpuid(1, 0).c & kOsXsave)) return 0;
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

// Whether there are eight tiles of 16 rows of 64 bytes.
bool has_shapes() {
  const Registers palette = cpuid(0x1d, 1), unit = cpuid(0x1e, 0);
  return palette.b >> 16 >= 8 && (palette.b & 0xffff) == 64 && (palette.c & 0xffff) >= 16 &&
         (unit.b & 0xff) >= 16 && (unit.b >> 8 & 0xffff) >= 64;
}

AmxState ask_for_tiles() {
  constexpr uint32_t integers = kAmxTile | kAmxInt8;
  const uint32_t found = cpuid(7, 0).d;
  if ((found & integers) != integers || !has_shapes()) return AmxState::kNone;
  if (!(found & kAmxBf16) || !(cpuid(7, 1).a & kAvx512Bf16)) return AmxState::kNoHalves;
  if ((saved_states() & kTileState) != kTileState) return AmxState::kMasked;
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileData)) return AmxState::kRefused;
  return AmxState::kUsable;
}

bool has_avx512_vnni() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

}  // namespace

namespace sqap {

AmxState amx_state() {
  static const AmxState state = ask_for_tiles();  // permission holds for a process and its forks
  return state;
}

bool runs(int32_t level) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return false;
  switch (level) {
    case kAvx2: return true;
    case kAvxVnni: return __builtin_cpu_supports("avxvnni");
    case kAvx512Vnni: return has_avx512_vnni();
    case kAmx: return has_avx512_vnni() && amx_state() == AmxState::kUsable;
    default: return false;
  }
}

}  // namespace sqap
