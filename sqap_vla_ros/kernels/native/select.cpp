// Copyright 2026 The sqap_vla_ros Authors
// SPDX-License-Identifier: Apache-2.0
//
// Token selection in one call: what tokens.select_tokens does for method 'sqap' with sampling.
// Between two halves of a prefill the caches hold weights, so that numpy's many small calls take
// several times longer there than in a loop of their own.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "sqap_kernels.h"

namespace {

enum Reason : uint8_t { kPreserved, kProtected, kSampled, kFree = 255 };

// The first `count` indices by `before`, equal ones by the lower index.
template <class Before>
std::vector<int32_t> first_by(int64_t total, int64_t count, Before before) {
  std::vector<int32_t> order(total);
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int32_t a, int32_t b) {
    return before(a, b) || (!before(b, a) && a < b);
  });
  order.resize(count);
  return order;
}

// Squared distance to the nearest taken patch, times the number of patches, plus a patch's rank
// among equally far ones: the largest is the farthest.
class Farthest {
 public:
  Farthest(const sqap::Selection& call)
      : call_(call), total_(call.rows * call.cols), nearest_(total_, INT32_MAX) {}

  void take(int64_t index) {
    const int32_t row = index / call_.cols, col = index % call_.cols;
    const int32_t* rank = call_.rank;
    int32_t* nearest = nearest_.data();
    for (int32_t r = 0; r < call_.rows; r++, rank += call_.cols, nearest += call_.cols) {
      const int32_t rise = (r - row) * (r - row);
      for (int32_t c = 0; c < call_.cols; c++) {
        const int32_t key = (rise + (c - col) * (c - col)) * int32_t(total_) + rank[c];
        nearest[c] = std::min(nearest[c], key);
      }
    }
  }

  // Add `count` patches one by one, each the farthest from all before it.
  void sample(int64_t count) {
    for (; count > 0; count--) {
      const int64_t index = std::max_element(nearest_.begin(), nearest_.end()) - nearest_.begin();
      if (nearest_[index] < 2 * total_) return rest(count);  // all free ones touch a taken one
      call_.reason[index] = kSampled;
      take(index);
    }
  }

 private:
  void rest(int64_t count) {
    const auto& nearest = nearest_;
    for (int32_t index : first_by(total_, count, [&](int32_t a, int32_t b) {
           return nearest[a] > nearest[b];
         }))
      call_.reason[index] = kSampled;
  }

  const sqap::Selection& call_;
  const int64_t total_;
  std::vector<int32_t> nearest_;
};

}  // namespace

// Fill kept and reason; returns 0, or 1 for a score or distance that is no number, with both
// left undefined.
extern "C" __attribute__((visibility("default"))) int32_t sqap_select(
    const sqap::Selection* given) {
  const sqap::Selection& call = *given;
  const int64_t total = call.rows * call.cols;
  for (int64_t i = 0; i < total; i++)
    if (!std::isfinite(call.scores[i]) || (call.distance && std::isnan(call.distance[i])))
      return 1;
  std::fill(call.reason, call.reason + total, kFree);
  std::vector<int32_t> near;
  if (call.distance && call.protect)
    for (int32_t index : first_by(total, call.keep / 2, [&](int32_t a, int32_t b) {
           return call.distance[a] < call.distance[b];
         }))
      if (std::isfinite(call.distance[index])) near.push_back(index);
  const int64_t room = call.keep - int64_t(near.size());
  const int64_t best = call.preserve ? std::min<int64_t>(call.most_preserved, room) : 0;
  for (int32_t index : first_by(total, best, [&](int32_t a, int32_t b) {
         return call.scores[a] > call.scores[b];
       }))
    call.reason[index] = kPreserved;
  for (int32_t index : near)
    if (call.reason[index] == kFree) call.reason[index] = kProtected;
  Farthest farthest(call);
  int64_t missing = call.keep;
  for (int64_t i = 0; i < total; i++)
    if (call.reason[i] != kFree) {
      farthest.take(i);
      missing--;
    }
  if (missing == call.keep && missing > 0) {  // nothing to be far from: begin in the centre
    const int64_t centre = (call.rows - 1) / 2 * call.cols + (call.cols - 1) / 2;
    call.reason[centre] = kSampled;
    farthest.take(centre);
    missing--;
  }
  farthest.sample(missing);
  int64_t place = 0;
  for (int64_t i = 0; i < total; i++)
    if (call.reason[i] != kFree) {
      call.kept[place] = i;
      call.reason[place++] = call.reason[i];  // never ahead of what is still to be read
    }
  return 0;
}
