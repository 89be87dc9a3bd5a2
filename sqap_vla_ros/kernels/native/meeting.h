// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where the threads of a parallel region wait for each other.
//
// OpenMP's barriers wait awake for a time that is fixed when a process starts.  One that suits
// threads with cores to themselves has them take the core from the very thread that they wait for
// where other programs run; one that suits a busy machine has them sleep and be woken some ten
// times a block, which takes longer than they save.  Here a thread waits awake until that once was
// not enough, and after that sleeps at once for a while: the longer, the more often in a row.
//
// Of pthreads and the compiler's own atomics: std's need a newer libstdc++ than a process may have
// loaded, and its inline functions would be compiled once for all levels (see sqap_kernels.h).
#pragma once

#include <immintrin.h>
#include <omp.h>
#include <pthread.h>

#include <cstdint>

namespace {

// In cycles of the time-stamp counter, of which there are two to four in a nanosecond.
constexpr int64_t kAwake = 1 << 20, kHardlyAwake = 1 << 11;
constexpr uint64_t kShortestWhile = 1ull << 27, kLongestWhile = 1ull << 33;

// Of all threads of this level: when waiting awake is tried again, and for how long it is not, once
// it fails.
uint64_t awake_from = 0, a_while = kShortestWhile;

// A barrier of one parallel region, that counts its turns.
class Meeting {
 public:
  // Wait for all of so many threads; what each wrote before, all see behind it.
  void wait(int threads) {
    if (threads == 1) return;
    const uint32_t turn = now();
    if (__atomic_add_fetch(&here_, 1, __ATOMIC_SEQ_CST) < threads) {
      wait_for_end(turn);
      return;
    }
    __atomic_store_n(&here_, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&turn_, turn + 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&asleep_, __ATOMIC_SEQ_CST) == 0) return;
    pthread_mutex_lock(&mutex_);
    pthread_cond_broadcast(&woken_);
    pthread_mutex_unlock(&mutex_);
  }

 private:
  uint32_t now() const { return __atomic_load_n(&turn_, __ATOMIC_SEQ_CST); }

  void wait_for_end(uint32_t turn) {
    const uint64_t start = __rdtsc(), since = __atomic_load_n(&awake_from, __ATOMIC_RELAXED);
    const bool tries = start >= since;
    const int64_t most = tries ? kAwake : kHardlyAwake;
    while (now() == turn && int64_t(__rdtsc() - start) < most) _mm_pause();
    const bool has_come = now() != turn;
    if (tries) remember(has_come);
    if (!has_come) sleep(turn);
  }

  // Go by whether waiting awake was enough.
  static void remember(bool was_enough) {
    const uint64_t pause = __atomic_load_n(&a_while, __ATOMIC_RELAXED);
    if (!was_enough) __atomic_store_n(&awake_from, __rdtsc() + pause, __ATOMIC_RELAXED);
    const uint64_t next = was_enough ? pause / 2 : pause * 2;
    if (next >= kShortestWhile && next <= kLongestWhile)
      __atomic_store_n(&a_while, next, __ATOMIC_RELAXED);
  }

  void sleep(uint32_t turn) {
    pthread_mutex_lock(&mutex_);
    __atomic_add_fetch(&asleep_, 1, __ATOMIC_SEQ_CST);
    while (now() == turn) pthread_cond_wait(&woken_, &mutex_);
    __atomic_sub_fetch(&asleep_, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&mutex_);
  }

  alignas(64) int here_ = 0;
  alignas(64) uint32_t turn_ = 0;
  alignas(64) int asleep_ = 0;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t woken_ = PTHREAD_COND_INITIALIZER;
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
