#include "cache/semantic/verifier_state.h"

#include <bit>
#include <iterator>
#include <utility>

#include "cache/semantic/confidence.h"
#include "cache/wire.h"

namespace nextgate::cache {
namespace {

constexpr std::string_view kMagic = "NGV1";
constexpr size_t kDigestBytes = 32;
// Of 1 - confidence, for the comparator's rate of false sames, if it was measured; the test has the
// rest.
constexpr double kComparatorShare = 0.2;

struct Levels {
  double error_max;  // allowed for labels
  double alpha;      // of the test
};
Levels LevelsOf(const Verifier::Options& options) {
  const double spare = 1 - options.confidence;
  const double comparator = options.comparator.num_wrong > 0 ? kComparatorShare * spare : 0;
  return {ObservedErrorMax(options.error_max, comparator, options.comparator), spare - comparator};
}

void Put(WireWriter& out, double value) { out.Unsigned(std::bit_cast<uint64_t>(value)); }
void Put(WireWriter& out, const Hash128& hash) {
  out.Unsigned(hash.high);
  out.Unsigned(hash.low);
}
void Put(WireWriter& out, const Calibration::Residual& residual) {
  Put(out, residual.surprise);
  Put(out, residual.information);
}
void Put(WireWriter& out, const ThresholdTest::Bands& bands) {
  for (const ThresholdTest::Band& band : bands) {
    out.Signed(band.labels);
    out.Signed(band.wrong);
  }
}
void Put(WireWriter& out, const DriftMonitor& monitor) {
  for (const double level : monitor.levels()) Put(out, level);
}
void Put(WireWriter& out, const ServedLabels& served) {
  out.Signed(served.observed);
  out.Signed(served.wrong);
  for (const double weight : {served.weight, served.weight_squared, served.weight_wrong})
    Put(out, weight);
}
void Put(WireWriter& out, const VerifierPool& pool) {
  Put(out, pool.test.bands());
  Put(out, pool.monitor);
}
void Put(WireWriter& out, const VerifierPartition& partition) {
  Put(out, partition.residual);
  Put(out, partition.served);
  Put(out, partition.monitor);
  Put(out, partition.by_cosine);
  for (const double weight : partition.candidates) Put(out, weight);
  Put(out, partition.candidates_below);
  out.Unsigned(partition.own ? 1 : 0);
  if (partition.own) Put(out, *partition.own);
}

double Number(WireReader& in) { return std::bit_cast<double>(in.Unsigned()); }
Hash128 Hash(WireReader& in) {
  const uint64_t high = in.Unsigned();
  return {high, in.Unsigned()};
}
void Get(WireReader& in, Calibration::Residual& residual) {
  residual.surprise = Number(in);
  residual.information = Number(in);
}
void Get(WireReader& in, ThresholdTest::Bands& bands) {
  for (ThresholdTest::Band& band : bands) {
    band.labels = in.Signed();
    band.wrong = in.Signed();
  }
}
void Get(WireReader& in, DriftMonitor& monitor) {
  DriftMonitor::Levels levels{};
  for (double& level : levels) level = Number(in);
  monitor.Restore(levels);
}
void Get(WireReader& in, ServedLabels& served) {
  served.observed = in.Signed();
  served.wrong = in.Signed();
  served.weight = Number(in);
  served.weight_squared = Number(in);
  served.weight_wrong = Number(in);
}
void Get(WireReader& in, VerifierPool& pool) {
  ThresholdTest::Bands bands{};
  Get(in, bands);
  pool.test.Restore(bands);
  Get(in, pool.monitor);
}
void Get(WireReader& in, VerifierPartition& partition) {
  Get(in, partition.residual);
  Get(in, partition.served);
  Get(in, partition.monitor);
  Get(in, partition.by_cosine);
  for (double& weight : partition.candidates) weight = Number(in);
  partition.candidates_below = Number(in);
  if (in.Unsigned() == 0) return;
  partition.own = std::make_unique<VerifierPool>();
  Get(in, *partition.own);
}

}  // namespace

void ServedLabels::Add(double observe, bool right) {
  const double each = 1 / observe;
  ++observed;
  wrong += right ? 0 : 1;
  weight += each;
  weight_squared += each * each;
  weight_wrong += right ? 0 : each;
}

double VerifierState::InterceptOf(const VerifierPartition& partition) const {
  return partition.residual.Beyond(overall).Intercept(Calibration::kPartitionVariance);
}

VerifierState::View VerifierState::Look(const SemanticCandidate& candidate) const {
  View view{.passed = pool.passed};
  if (const VerifierPartition* partition = partitions.Find(candidate.partition)) {
    view.intercepts += InterceptOf(*partition);
    if (partition->own) view.passed = partition->own->passed;
  }
  if (const auto* entry = entries.Find({candidate.partition, candidate.entry}))
    view.intercepts += entry->Intercept(Calibration::kEntryVariance);
  view.score = calibration.Score(candidate.cosine, view.intercepts);
  return view;
}

void VerifierState::Fold(const Verifier::Evidence& evidence, const Verifier::Options& options) {
  const SemanticCandidate& candidate = evidence.candidate;
  const View view = Look(candidate);
  VerifierPartition& partition =
      partitions.Touch(candidate.partition, static_cast<size_t>(options.partitions_max));
  Calibration::Residual& entry = entries.Touch({candidate.partition, candidate.entry},
                                               static_cast<size_t>(options.entries_max));

  const double p_ordinary = calibration.PRight(candidate.cosine, 0);
  entry.Add(calibration.PRight(candidate.cosine, InterceptOf(partition)), evidence.right);
  if (evidence.source == Verifier::Evidence::Source::kFeedback) return;
  partition.residual.Add(p_ordinary, evidence.right);
  overall.Add(p_ordinary, evidence.right);
  calibration.Learn(candidate.cosine, evidence.right);

  const int band = ThresholdTest::BandOf(candidate.cosine);
  if (band < ThresholdTest::kBands) {
    ++partition.by_cosine[band].labels;
    partition.by_cosine[band].wrong += evidence.right ? 0 : 1;
    partition.candidates[band] += 1 / evidence.observe;
  } else {
    partition.candidates_below += 1 / evidence.observe;
  }
  if (evidence.served) {
    served.Add(evidence.observe, evidence.right);
    partition.served.Add(evidence.observe, evidence.right);
  }
  FoldTest(evidence, view.score, partition, options);
}

void VerifierState::FoldTest(const Verifier::Evidence& evidence, double score,
                             VerifierPartition& partition, const Verifier::Options& options) {
  const Levels levels = LevelsOf(options);
  VerifierPool& shared = partition.own ? *partition.own : pool;
  shared.test.Add(score, !evidence.right);
  if (evidence.served && options.mode == Verifier::Mode::kVerified) {
    const bool pool_alarm = shared.monitor.Add(!evidence.right, levels.error_max);
    const bool partition_alarm = partition.monitor.Add(!evidence.right, levels.error_max);
    alarms += pool_alarm || partition_alarm ? 1 : 0;
    // Where one partition explains it, the others are not made to begin again.
    if (partition_alarm) {
      shared.monitor = DriftMonitor();
      partition.own = std::make_unique<VerifierPool>();
    } else if (pool_alarm) {
      shared = VerifierPool();
    }
  }
  VerifierPool& now = partition.own ? *partition.own : pool;
  now.passed = now.test.Passed(levels.error_max, levels.alpha);
}

std::string VerifierState::Pack() const {
  WireWriter out;
  const Calibration::Parameters& parameters = calibration.parameters();
  for (const double value : {parameters.level, parameters.slope, parameters.variance_level,
                             parameters.covariance, parameters.variance_slope})
    Put(out, value);
  Put(out, overall);
  Put(out, pool);
  Put(out, served);
  out.Signed(alarms);
  // The first to go comes first, so that touching them in order makes the same map.
  out.Unsigned(partitions.size());
  for (auto it = partitions.entries().rbegin(); it != partitions.entries().rend(); ++it) {
    Put(out, it->first);
    Put(out, it->second);
  }
  out.Unsigned(entries.size());
  for (auto it = entries.entries().rbegin(); it != entries.entries().rend(); ++it) {
    Put(out, it->first.partition);
    Put(out, it->first.entry);
    Put(out, it->second);
  }
  return std::string(kMagic) + HashBytes(out.bytes()).Hex() + out.bytes();
}

Status VerifierState::Unpack(std::string_view bytes, const Verifier::Options& options) {
  const auto damaged = [] { return DataLoss("not what a verifier of this version packed"); };
  if (!bytes.starts_with(kMagic) || bytes.size() < kMagic.size() + kDigestBytes) return damaged();
  const std::string_view digest = bytes.substr(kMagic.size(), kDigestBytes);
  const std::string_view packed = bytes.substr(kMagic.size() + kDigestBytes);
  if (HashBytes(packed).Hex() != digest) return damaged();

  WireReader in(packed);
  Calibration::Parameters parameters;
  for (double* value : {&parameters.level, &parameters.slope, &parameters.variance_level,
                        &parameters.covariance, &parameters.variance_slope})
    *value = Number(in);
  calibration.Restore(parameters);
  Get(in, overall);
  Get(in, pool);
  Get(in, served);
  alarms = in.Signed();
  for (size_t left = in.Count(); left > 0 && !in.failed(); --left) {
    const Hash128 id = Hash(in);
    Get(in, partitions.Touch(id, static_cast<size_t>(options.partitions_max)));
  }
  for (size_t left = in.Count(); left > 0 && !in.failed(); --left) {
    const Hash128 partition = Hash(in), id = Hash(in);
    Get(in, entries.Touch({partition, id}, static_cast<size_t>(options.entries_max)));
  }
  if (!in.Done()) return damaged();

  const Levels levels = LevelsOf(options);
  pool.passed = pool.test.Passed(levels.error_max, levels.alpha);
  for (const auto& [id, partition] : partitions.entries())
    if (partition.own)
      partition.own->passed = partition.own->test.Passed(levels.error_max, levels.alpha);
  return {};
}

}  // namespace nextgate::cache
