// How likely a candidate's answer is right: a logistic regression over the cosine with an intercept
// for every partition and every entry, learned one label at a time.
//
//   logit P(right) = a + b * cosine + u(partition) + v(entry),   u ~ N(0, kPartitionVariance),
//                                                                v ~ N(0, kEntryVariance)
//
// a and b follow every label (Newton steps with their covariance: the extended Kalman filter of a
// logistic regression). u and v are what the labels of a partition and an entry say beyond that,
// shrunk to nothing while they are few: sum(right - p) / (1 / variance + sum(p * (1 - p))), one
// Newton step to the posterior's mode (Breslow and Clayton, "Approximate inference in generalized
// linear mixed models", JASA 88, 1993). A partition's are taken beyond those of all partitions
// together: what the regression had not learned yet is nothing special of one. So a new entry
// starts with what all others taught, and a single surprise counts.
//
// The score of a candidate is its cosine plus (u + v) / b: the cosine at which a candidate of an
// ordinary entry would be as likely right. It means the same while a and b are still moving.
//
// Threads: plain values.
#pragma once

namespace nextgate::cache {

class Calibration {
 public:
  // What the labels of one partition or entry say beyond the regression.
  struct Residual {
    double surprise = 0;     // sum of right - p
    double information = 0;  // sum of p * (1 - p)
    void Add(double p_right, bool right);
    double Intercept(double variance) const { return surprise / (1 / variance + information); }
    // What is left if those of `all` say as much of every label.
    Residual Beyond(const Residual& all) const;
  };
  static constexpr double kPartitionVariance = 0.25, kEntryVariance = 1;
  // Candidates below it teach the regression nothing: what matters is its shape where hits are.
  static constexpr double kCosineMin = 0.4;

  // Of a candidate of an entry and a partition whose intercepts add up to `intercepts`.
  double PRight(double cosine, double intercepts) const;
  double Score(double cosine, double intercepts) const { return cosine + intercepts / slope(); }
  double slope() const;  // b, per 1 of cosine; at least kSlopeMin

  void Learn(double cosine, bool right);

  // What is kept of it, for a snapshot.
  struct Parameters {
    double level = 2, slope = 0.9;  // a at kCentre, and b per kUnit: MiniLM on bank questions
    double variance_level = 4, covariance = 0, variance_slope = 0.1;
  };
  const Parameters& parameters() const { return parameters_; }
  void Restore(const Parameters& parameters) { parameters_ = parameters; }

 private:
  static constexpr double kCentre = 0.8, kUnit = 0.1, kSlopeMin = 0.2;
  Parameters parameters_;
};

}  // namespace nextgate::cache
