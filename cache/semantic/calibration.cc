#include "cache/semantic/calibration.h"

#include <algorithm>
#include <cmath>

namespace nextgate::cache {
namespace {
// A label the regression is sure of would otherwise freeze it.
constexpr double kInformationMin = 1e-4;
}  // namespace

void Calibration::Residual::Add(double p_right, bool right) {
  surprise += (right ? 1 : 0) - p_right;
  information += p_right * (1 - p_right);
}

Calibration::Residual Calibration::Residual::Beyond(const Residual& all) const {
  if (all.information <= 0) return *this;
  return {surprise - information * all.surprise / all.information, information};
}

double Calibration::slope() const { return parameters_.slope / kUnit; }

double Calibration::PRight(double cosine, double intercepts) const {
  const double logit =
      parameters_.level + parameters_.slope * (cosine - kCentre) / kUnit + intercepts;
  return 1 / (1 + std::exp(-logit));
}

void Calibration::Learn(double cosine, bool right) {
  if (cosine < kCosineMin) return;
  Parameters& now = parameters_;
  const double x = (cosine - kCentre) / kUnit, p = PRight(cosine, 0);
  const double information = std::max(p * (1 - p), kInformationMin);
  const double gain_level = now.variance_level + now.covariance * x;
  const double gain_slope = now.covariance + now.variance_slope * x;
  const double scale = 1 / (1 + information * (gain_level + gain_slope * x));
  const double surprise = (right ? 1 : 0) - p;
  now.level += gain_level * scale * surprise;
  now.slope = std::max(now.slope + gain_slope * scale * surprise, kSlopeMin);
  now.variance_level -= information * scale * gain_level * gain_level;
  now.covariance -= information * scale * gain_level * gain_slope;
  now.variance_slope -= information * scale * gain_slope * gain_slope;
}

}  // namespace nextgate::cache
