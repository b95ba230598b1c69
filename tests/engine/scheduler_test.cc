#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "engine/prefix/kv_pool.h"

namespace nextgate::engine {
namespace {

constexpr SchedulerLimits kLimits = {
    .step_tokens_max = 256, .sequences_max = 8, .logit_rows_max = 72, .chunked_prefill = true};

SequenceView Waiting(int32_t tokens) { return {.tokens_total = tokens}; }
SequenceView Running(int32_t total, int32_t computed) {
  const auto blocks = static_cast<int32_t>(BlocksFor(total - (total - computed == 1)));
  return {.running = true,
          .tokens_total = total,
          .tokens_computed = computed,
          .blocks_held = blocks,
          .blocks_freed = blocks};
}
// Its first `cached` tokens are in the prefix cache; nobody uses `idle` of their blocks.
SequenceView Cached(int32_t total, int32_t cached, int32_t idle) {
  return {.tokens_total = total,
          .tokens_computed = cached,
          .blocks_held = cached / kBlockTokens,
          .blocks_idle = idle};
}

StepPlan PlanOf(const std::vector<SequenceView>& sequences, int32_t blocks_free, int32_t slots_free,
                const SchedulerLimits& limits = kLimits) {
  StepPlan plan;
  Scheduler::Plan({limits, blocks_free, slots_free, sequences}, &plan);
  return plan;
}

struct Row {  // sequence, tokens, blocks, admitted
  int32_t sequence, tokens, blocks;
  bool admitted;
  bool operator==(const Row&) const = default;
};
std::vector<Row> Rows(const StepPlan& plan) {
  std::vector<Row> rows;
  for (const auto& w : plan.work)
    rows.push_back({w.sequence, w.token_count, w.blocks_new, w.admitted});
  return rows;
}
void PrintTo(const Row& r, std::ostream* out) {
  *out << "{" << r.sequence << ", " << r.tokens << ", " << r.blocks << ", " << r.admitted << "}";
}

TEST(Scheduler, DecodesFirstThenPrefillsThenAdmits) {
  const auto plan = PlanOf({Running(300, 128), Running(11, 10), Waiting(50)}, 10, 5);
  EXPECT_EQ(Rows(plan), (std::vector<Row>{{1, 1, 0, false}, {0, 172, 0, false}, {2, 50, 1, true}}));
}

TEST(Scheduler, EndsChunksOnMultiplesOf64OrAtTheEnd) {
  const auto plan = PlanOf({Running(11, 10), Waiting(1000)}, 100, 5);
  EXPECT_EQ(Rows(plan), (std::vector<Row>{{0, 1, 0, false}, {1, 192, 16, true}}));
}

TEST(Scheduler, TakesABlockWhenASequenceGrowsPastItsLast) {
  const auto plan = PlanOf({Running(65, 64), Running(64, 63)}, 4, 5);
  EXPECT_EQ(Rows(plan), (std::vector<Row>{{0, 1, 1, false}, {1, 1, 0, false}}));
}

TEST(Scheduler, AdmissionNeedsASlotTheBlocksAndOneOfHeadroom) {
  EXPECT_EQ(PlanOf({Running(11, 10), Waiting(128)}, 2, 1).work.size(), 1u);
  EXPECT_EQ(PlanOf({Running(11, 10), Waiting(128)}, 3, 1).work.size(), 2u);
  EXPECT_EQ(PlanOf({Running(11, 10), Waiting(128)}, 3, 0).work.size(), 1u);
  // Alone it needs no headroom: otherwise a request that fits exactly would wait forever.
  EXPECT_EQ(PlanOf({Waiting(128)}, 2, 1).work.size(), 1u);
}

TEST(Scheduler, WhatIsCachedIsNeitherComputedNorTakenTwice) {
  EXPECT_EQ(Rows(PlanOf({Cached(300, 256, 0)}, 1, 1)), (std::vector<Row>{{0, 44, 1, true}}));
  // Blocks that nobody used are among the free ones until somebody does.
  EXPECT_EQ(PlanOf({Cached(300, 256, 4)}, 4, 1).work.size(), 0u);
  EXPECT_EQ(Rows(PlanOf({Cached(300, 256, 4)}, 5, 1)), (std::vector<Row>{{0, 44, 1, true}}));
  EXPECT_EQ(Rows(PlanOf({Cached(300, 256, 4), Cached(65, 64, 1)}, 7, 2)),
            (std::vector<Row>{{0, 44, 1, true}}))
      << "two more, and one of headroom";
  EXPECT_EQ(Rows(PlanOf({Cached(300, 256, 4), Cached(65, 64, 1)}, 8, 2)),
            (std::vector<Row>{{0, 44, 1, true}, {1, 1, 1, true}}));
}

TEST(Scheduler, PreemptionYieldsOnlyWhatNobodyElseUses) {
  SequenceView shares = Running(130, 128);
  shares.tokens_total = 129;
  shares.blocks_held = 2;
  shares.blocks_freed = 0;  // an older one reads the same blocks
  const auto plan = PlanOf({Running(65, 64), Running(64, 63), shares}, 0, 5);
  EXPECT_EQ(plan.preempted, (std::vector<int32_t>{2, 1}));
}

TEST(Scheduler, DoesNotLetSmallOnesPassALargeOneThatWaits) {
  EXPECT_EQ(Rows(PlanOf({Running(11, 10), Waiting(640), Waiting(3)}, 5, 5)),
            (std::vector<Row>{{0, 1, 0, false}}));
}

TEST(Scheduler, PreemptsTheYoungestWhenNoBlockIsFree) {
  const auto plan = PlanOf({Running(65, 64), Running(65, 64), Running(33, 32), Waiting(3)}, 0, 5);
  EXPECT_EQ(plan.preempted, (std::vector<int32_t>{2, 1}));
  EXPECT_EQ(Rows(plan), (std::vector<Row>{{0, 1, 1, false}})) << "and admits nothing in that step";
}

TEST(Scheduler, PromptLogprobsKeepWithinTheRows) {
  SequenceView s = Waiting(500);
  s.prompt_rows_end = 499;
  EXPECT_EQ(Rows(PlanOf({s}, 20, 5)), (std::vector<Row>{{0, 64, 8, true}}));
  s = Running(500, 448);
  s.prompt_rows_begin = 448;
  s.prompt_rows_end = 499;
  EXPECT_EQ(Rows(PlanOf({s}, 20, 5)), (std::vector<Row>{{0, 52, 0, false}}));
}

TEST(Scheduler, APromptAdvancesBesideAsManyDecodesAsThereMayBe) {
  SchedulerLimits limits = kLimits;
  limits.step_tokens_max = limits.sequences_max + kBlockTokens;
  std::vector<SequenceView> sequences(static_cast<size_t>(limits.sequences_max) - 1,
                                      Running(11, 10));
  sequences.push_back(Waiting(1000));
  const auto admitted = PlanOf(sequences, 100, 1, limits);
  ASSERT_EQ(admitted.work.size(), sequences.size());
  EXPECT_EQ(admitted.work.back().token_count, 64);
  sequences.back() = Running(1000, 64);
  EXPECT_EQ(PlanOf(sequences, 100, 0, limits).work.back().token_count, 64);
}

TEST(Scheduler, WithoutChunkedPrefillAPromptRunsAloneInPieces) {
  SchedulerLimits limits = kLimits;
  limits.chunked_prefill = false;
  EXPECT_EQ(Rows(PlanOf({Running(11, 10), Waiting(1000)}, 100, 5, limits)),
            (std::vector<Row>{{1, 256, 16, true}}));
  EXPECT_EQ(Rows(PlanOf({Running(11, 10), Running(1000, 768), Waiting(9)}, 100, 5, limits)),
            (std::vector<Row>{{1, 232, 0, false}}));
  EXPECT_EQ(Rows(PlanOf({Running(11, 10), Waiting(1000)}, 3, 5, limits)),
            (std::vector<Row>{{0, 1, 0, false}}));
}

// Runs random sequences to their end by carrying every plan out, and checks what must hold of each.
class Simulation {
 public:
  Simulation(uint32_t seed, bool chunked) : random_(seed) {
    limits_.sequences_max = 1 + static_cast<int32_t>(random_() % 8);
    limits_.step_tokens_max =
        limits_.sequences_max + kBlockTokens + static_cast<int32_t>(random_() % 300);
    limits_.logit_rows_max = limits_.sequences_max + kBlockTokens;
    limits_.chunked_prefill = chunked;
    blocks_ = 6 + static_cast<int32_t>(random_() % 10);
    for (int i = 0; i < 12; ++i) {
      Job job;
      job.view.tokens_total = 1 + static_cast<int32_t>(random_() % 250);
      job.end = job.view.tokens_total + 1 + static_cast<int32_t>(random_() % 130);
      if (random_() % 4 == 0) job.view.prompt_rows_end = job.view.tokens_total - 1;
      jobs_.push_back(job);
    }
  }

  void Run() {
    for (int step = 0; !jobs_.empty(); ++step) {
      ASSERT_LT(step, 50'000) << "no end in sight";
      StepOnce();
      if (testing::Test::HasFatalFailure()) return;
    }
  }

 private:
  struct Job {
    SequenceView view;
    int32_t end = 0;
  };

  void StepOnce() {
    std::vector<SequenceView> views;
    int32_t used = 0;
    int32_t running = 0;
    for (const Job& job : jobs_) {
      views.push_back(job.view);
      views.back().blocks_freed = job.view.blocks_held;
      used += job.view.blocks_held;
      running += job.view.running;
    }
    ASSERT_LE(used, blocks_);
    StepPlan plan;
    Scheduler::Plan({limits_, blocks_ - used, limits_.sequences_max - running, views}, &plan);
    Check(plan, views);
    if (testing::Test::HasFatalFailure()) return;
    CarryOut(plan);
  }

  void Check(const StepPlan& plan, const std::vector<SequenceView>& views) {
    ASSERT_FALSE(plan.work.empty()) << "nothing runs";
    int32_t tokens = 0;
    int32_t rows = 0;
    std::set<int32_t> seen;
    const auto first_running =
        std::find_if(views.begin(), views.end(), [](const auto& v) { return v.running; });
    for (const int32_t index : plan.preempted) {
      ASSERT_TRUE(views[index].running);
      ASSERT_NE(index, first_running - views.begin()) << "the oldest is never preempted";
      ASSERT_TRUE(seen.insert(index).second);
      // Only the youngest: everybody younger that ran is preempted too.
      for (size_t i = index + 1; i < views.size(); ++i)
        ASSERT_TRUE(!views[i].running ||
                    std::count(plan.preempted.begin(), plan.preempted.end(), i));
    }
    int32_t prompts = 0;
    for (const auto& work : plan.work) {
      const SequenceView& v = views[work.sequence];
      ASSERT_TRUE(seen.insert(work.sequence).second) << "twice in a plan";
      ASSERT_EQ(work.admitted, !v.running);
      ASSERT_GE(work.token_count, 1);
      const int32_t end = v.tokens_computed + work.token_count;
      ASSERT_LE(end, v.tokens_total);
      ASSERT_TRUE(end == v.tokens_total || end % kBlockTokens == 0) << end;
      ASSERT_GE((v.blocks_held + work.blocks_new) * kBlockTokens, end);
      ASSERT_TRUE(!work.admitted || plan.preempted.empty());
      tokens += work.token_count;
      rows += end == v.tokens_total;
      for (int32_t row = v.tokens_computed; row < end; ++row)
        rows += row >= v.prompt_rows_begin && row < v.prompt_rows_end;
      prompts += v.tokens_total - v.tokens_computed > 1;
    }
    ASSERT_LE(tokens, limits_.step_tokens_max);
    ASSERT_LE(rows, limits_.logit_rows_max);
    ASSERT_TRUE(limits_.chunked_prefill || prompts == 0 || plan.work.size() == 1);
    if (limits_.chunked_prefill) {
      for (size_t i = 0; i < views.size(); ++i) {
        const bool decodes =
            views[i].running && views[i].tokens_total - views[i].tokens_computed == 1;
        ASSERT_TRUE(!decodes || seen.count(static_cast<int32_t>(i))) << "a decode was left out";
      }
    }
  }

  void CarryOut(const StepPlan& plan) {
    for (const int32_t index : plan.preempted) {
      jobs_[index].view.running = false;
      jobs_[index].view.tokens_computed = 0;
      jobs_[index].view.blocks_held = 0;
    }
    for (const auto& work : plan.work) {
      SequenceView& v = jobs_[work.sequence].view;
      v.running = true;
      v.blocks_held += work.blocks_new;
      v.tokens_computed += work.token_count;
      v.prompt_rows_begin =
          std::max(v.prompt_rows_begin, std::min(v.tokens_computed, v.prompt_rows_end));
      if (v.tokens_computed == v.tokens_total) ++v.tokens_total;  // a token is sampled
    }
    std::erase_if(jobs_, [](const Job& job) { return job.view.tokens_total >= job.end; });
  }

  std::mt19937 random_;
  SchedulerLimits limits_;
  int32_t blocks_ = 0;
  std::vector<Job> jobs_;
};

TEST(Scheduler, KeepsItsInvariantsAndFinishesEverySequenceUnderPressure) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    Simulation(seed, seed % 2 == 0).Run();
    if (HasFatalFailure()) return;
  }
}

TEST(Scheduler, IsAPureFunctionOfItsInput) {
  const std::vector<SequenceView> views = {Running(65, 64), Running(300, 64), Waiting(70)};
  const auto first = Rows(PlanOf(views, 3, 2));
  StepPlan reused;
  reused.preempted = {1, 2};
  reused.work.resize(5);
  Scheduler::Plan({kLimits, 3, 2, views}, &reused);
  EXPECT_EQ(Rows(reused), first);
  EXPECT_TRUE(reused.preempted.empty());
}

}  // namespace
}  // namespace nextgate::engine
