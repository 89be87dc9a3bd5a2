// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where the threads of a parallel region wait for each other.
//
// OpenMP's barriers wait awake for a time that is fixed when a process starts.  One that suits
// threads with cores to themselves has them take the core from the very thread that they wait for
// where other programs run; one that suits a busy machine has them sleep and be woken some ten
// times a block, which takes longer than they save.  Here a thread waits awake for as long as that
// has paid lately.
#pragma once

#include <immintrin.h>
#include <omp.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace {

// In cycles of the time-stamp counter: about a microsecond, and the longest that a thread is likely
// to work at one panel alone.
constexpr int64_t kLeastPatience = 1 << 11, kMostPatience = 1 << 22;

std::atomic<int64_t> patience{kMostPatience};

// A barrier (sense-reversing) of one parallel region.
class Meeting {
 public:
  // Wait for all of so many threads; what each wrote before, all see behind it.
  void wait(int threads) {
    if (threads == 1) return;
    const uint32_t turn = turn_.load();
    if (here_.fetch_add(1) + 1 == threads) {
      here_.store(0);
      turn_.store(turn + 1);
      if (asleep_.load() == 0) return;
      const std::lock_guard<std::mutex> lock(mutex_);
      woken_.notify_all();
      return;
    }
    const int64_t most = patience.load(std::memory_order_relaxed);
    if (has_come(turn, most)) {
      if (most < kMostPatience) patience.store(2 * most, std::memory_order_relaxed);
      return;
    }
    if (most > kLeastPatience) patience.store(most / 2, std::memory_order_relaxed);
    std::unique_lock<std::mutex> lock(mutex_);
    asleep_++;
    while (turn_.load() == turn) woken_.wait(lock);
    asleep_--;
  }

 private:
  // Wait awake for so many cycles, and return whether the last thread has come meanwhile.
  bool has_come(uint32_t turn, int64_t cycles) const {
    const uint64_t start = __rdtsc();
    do {
      for (int i = 0; i < 8; i++) {
        if (turn_.load(std::memory_order_acquire) != turn) return true;
        _mm_pause();
      }
    } while (int64_t(__rdtsc() - start) < cycles);
    return false;
  }

  alignas(64) std::atomic<int> here_{0};
  alignas(64) std::atomic<uint32_t> turn_{0};
  std::atomic<int> asleep_{0};
  std::mutex mutex_;
  std::condition_variable woken_;
};

thread_local Meeting* own_meeting = nullptr;

// Says, in each thread of a parallel region, where meet() waits.
class Member {
 public:
  explicit Member(Meeting& meeting) { own_meeting = &meeting; }
};

// Wait for the other threads of the region; behind `#pragma omp for nowait`.
inline void meet() { own_meeting->wait(omp_get_num_threads()); }

}  // namespace
