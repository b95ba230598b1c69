#include "base/cpu_quota.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <thread>

namespace nextgate {
namespace {

int Rounded(double quota_us, double period_us) {
  if (!(quota_us > 0) || !(period_us > 0)) return 0;  // -1: unlimited
  return static_cast<int>(std::clamp(std::ceil(quota_us / period_us), 1.0, 1e6));
}

double ReadNumber(const std::string& path) {
  double value = 0;
  return std::ifstream(path) >> value ? value : 0;
}

}  // namespace

int ProcessorQuota(const std::string& cgroup_root) {
  double quota_us = 0, period_us = 0;
  // "max 100000" is no number: no limit.
  if (std::ifstream(cgroup_root + "/cpu.max") >> quota_us >> period_us)
    return Rounded(quota_us, period_us);
  return Rounded(ReadNumber(cgroup_root + "/cpu/cpu.cfs_quota_us"),
                 ReadNumber(cgroup_root + "/cpu/cpu.cfs_period_us"));
}

int UsableProcessors(const std::string& cgroup_root) {
  cpu_set_t mask;
  int count = static_cast<int>(std::thread::hardware_concurrency());
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) count = CPU_COUNT(&mask);
  if (const int quota = ProcessorQuota(cgroup_root); quota > 0) count = std::min(count, quota);
  return std::max(count, 1);
}

}  // namespace nextgate
