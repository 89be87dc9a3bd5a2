// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Which levels this processor, and the system on it, can run.
#pragma once

#include <cstdint>

namespace sqap {

// Instruction sets, from the oldest; kernels/native.py mirrors them.
enum LevelNumber : int32_t { kAvx2 = 1, kAvxVnni, kAvx512Vnni, kAmx };

// What stands in the way of AMX's tiles; kernels/native.py mirrors it.
enum class AmxState : int32_t {
  kUsable,
  kNone,     // the processor has none, or a hypervisor hides them
  kMasked,   // the system does not save them: an old kernel, or a hypervisor
  kRefused,  // the system refuses this process permission
  kNoHalves  // bytes only: it lacks tiles or vectors of bfloat16, or a hypervisor hides them
};

// Ask the system for tiles, once a process, and return what it said.
AmxState amx_state();

// Whether code of a level runs here.
bool runs(int32_t level);

}  // namespace sqap
