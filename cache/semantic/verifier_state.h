// What a Verifier has learned (cache/semantic/verifier.h): folded evidence, without locks.
//
// Threads: none of its own.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/hash.h"
#include "base/status.h"
#include "cache/semantic/calibration.h"
#include "cache/semantic/lru_map.h"
#include "cache/semantic/threshold_test.h"
#include "cache/semantic/verifier.h"

namespace nextgate::cache {

// Labels of served hits, each weighted with 1 / the probability with which it was to be had.
struct ServedLabels {
  int64_t observed = 0;
  int64_t wrong = 0;
  double weight = 0, weight_squared = 0, weight_wrong = 0;
  void Add(double observe, bool right);
};

// Who shares a threshold.
struct VerifierPool {
  ThresholdTest test;
  DriftMonitor monitor;
  int passed = 0;  // bands that are served
};

struct VerifierPartition {
  Calibration::Residual residual;
  ServedLabels served;
  DriftMonitor monitor;
  ThresholdTest::Bands by_cosine{};                        // all labels but feedback
  std::array<double, ThresholdTest::kBands> candidates{};  // weights of these labels
  double candidates_below = 0;                             // weights of labels below all bands
  std::unique_ptr<VerifierPool> own;                       // null: it shares the pool of all
};

struct VerifierEntryKey {
  Hash128 partition, entry;
  bool operator==(const VerifierEntryKey&) const = default;
  struct Hasher {
    size_t operator()(const VerifierEntryKey& key) const {
      return key.partition.low * 0x9e3779b97f4a7c15u ^ key.entry.low;
    }
  };
};

struct VerifierState {
  Calibration calibration;
  Calibration::Residual overall;  // of all partitions
  VerifierPool pool;
  ServedLabels served;
  int64_t alarms = 0;
  LruMap<Hash128, VerifierPartition> partitions;
  LruMap<VerifierEntryKey, Calibration::Residual, VerifierEntryKey::Hasher> entries;

  struct View {
    double intercepts = 0;  // of the candidate's partition and entry
    double score = 0;
    int passed = 0;
  };
  View Look(const SemanticCandidate& candidate) const;
  void Fold(const Verifier::Evidence& evidence, const Verifier::Options& options);

  std::string Pack() const;
  // REQUIRES: *this is fresh.
  Status Unpack(std::string_view bytes, const Verifier::Options& options);

 private:
  double InterceptOf(const VerifierPartition& partition) const;
  void FoldTest(const Verifier::Evidence& evidence, double score, VerifierPartition& partition,
                const Verifier::Options& options);
};

}  // namespace nextgate::cache
