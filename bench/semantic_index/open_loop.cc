#include "bench/semantic_index/open_loop.h"

#include <fmt/format.h>

#include <time.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <utility>

namespace nextgate::cache {
namespace {

void PrintLine(const std::string& name, std::vector<double> late_ms) {
  if (late_ms.empty()) return;
  std::sort(late_ms.begin(), late_ms.end());
  const auto at = [&](double share) {
    return late_ms[std::min(late_ms.size() - 1,
                            static_cast<size_t>(share * static_cast<double>(late_ms.size())))];
  };
  fmt::print(
      "  {:<14} {:>6} lookups  p50 {:.2f}  p90 {:.2f}  p99 {:.2f}  p99.9 {:.2f}  max {:.2f} ms\n",
      name, late_ms.size(), at(0.5), at(0.9), at(0.99), at(0.999), late_ms.back());
}

double ThreadCpuMs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

auto After(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
}

}  // namespace

OpenLoop::OpenLoop(const QuestionIndex& index, const Hash128& group,
                   const std::vector<std::vector<float>>& queries, std::function<void()> insert,
                   std::function<void()> erase)
    : index_(index),
      group_(group),
      queries_(queries),
      insert_(std::move(insert)),
      erase_(std::move(erase)) {}

std::vector<OpenLoop::Sample> OpenLoop::Lookups(const Plan& plan, int thread, Instant start) const {
  std::vector<Sample> samples;
  const auto total = static_cast<int64_t>(plan.lookups_per_s * plan.seconds);
  for (int64_t i = thread; i < total; i += plan.threads) {
    const double scheduled_s = static_cast<double>(i) / plan.lookups_per_s;
    const Instant scheduled = start + After(scheduled_s);
    std::this_thread::sleep_until(scheduled);
    const double cpu_ms = ThreadCpuMs();
    (void)index_.Search(group_, queries_[static_cast<size_t>(i) % queries_.size()], 4, 0);
    const double took_ms = ThreadCpuMs() - cpu_ms;
    const auto late = std::chrono::steady_clock::now() - scheduled;
    const bool building = i % 8 == 0 && index_.stats().builds_waiting > 0;
    samples.push_back({.scheduled_s = scheduled_s,
                       .late_ms = std::chrono::duration<double, std::milli>(late).count(),
                       .cpu_ms = took_ms,
                       .building = building});
  }
  return samples;
}

void OpenLoop::Writes(const Plan& plan, Instant start) {
  std::vector<std::pair<double, bool>> times;  // when, and whether it inserts
  for (int i = 0; i < plan.inserts_per_s * plan.seconds; ++i)
    times.emplace_back(i / plan.inserts_per_s, true);
  for (int i = 0; i < plan.erases_per_s * plan.seconds; ++i)
    times.emplace_back(i / plan.erases_per_s, false);
  for (int i = 0; i < plan.burst; ++i)
    times.emplace_back(plan.burst_at_s + static_cast<double>(i) / plan.burst, true);
  std::sort(times.begin(), times.end());
  for (const auto& [at_s, inserts] : times) {
    std::this_thread::sleep_until(start + After(at_s));
    inserts ? insert_() : erase_();
  }
}

void OpenLoop::Run(const std::string& name, const Plan& plan) {
  fmt::print("{}: {} lookups/s on {} threads, {} inserts/s, {} erasures/s, {} s\n", name,
             plan.lookups_per_s, plan.threads, plan.inserts_per_s, plan.erases_per_s, plan.seconds);
  const int64_t builds = index_.stats().builds;
  const Instant start = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  std::mutex mutex;
  std::vector<Sample> samples;
  std::vector<std::thread> threads;
  threads.emplace_back([&] { Writes(plan, start); });
  for (int i = 0; i < plan.threads; ++i) {
    threads.emplace_back([&, i] {
      const std::vector<Sample> mine = Lookups(plan, i, start);
      std::lock_guard lock(mutex);
      samples.insert(samples.end(), mine.begin(), mine.end());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<double> all;
  std::vector<double> burst;
  std::vector<double> building;
  std::vector<double> cpu;
  for (const Sample& sample : samples) {
    all.push_back(sample.late_ms);
    cpu.push_back(sample.cpu_ms);
    if (plan.burst > 0 && sample.scheduled_s >= plan.burst_at_s &&
        sample.scheduled_s < plan.burst_at_s + 1)
      burst.push_back(sample.late_ms);
    if (sample.building) building.push_back(sample.late_ms);
  }
  PrintLine("all", std::move(all));
  PrintLine("burst second", std::move(burst));
  PrintLine("during builds", std::move(building));
  PrintLine("processor time", std::move(cpu));
  fmt::print("  builds handed over meanwhile: {}\n", index_.stats().builds - builds);
}

}  // namespace nextgate::cache
