// Nobody gets an answer that was made for another scope: random requests of many API keys against a model
// of who may see what. Every generation says a number of its own, so an answer tells whose it is.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <tuple>

#include "tests/gateway/chat_pipeline_fixture.h"

namespace nextgate::gateway {
namespace {

class IsolationTest : public ChatPipelineTest {
 protected:
  // Scopes whose parts read alike when they are joined, with bytes that mean something to Redis keys,
  // JSON, logs and lines.
  const std::vector<cache::Scope> scopes_ = {
      {.tenant = "acme", .team = "{x}\n", .user = "", .name_space = ""},
      {.tenant = "acme{x}\n", .team = "", .user = "", .name_space = ""},
      {.tenant = "", .team = "acme", .user = "{x}\n", .name_space = ""}};
  const std::vector<std::string> namespaces_ = {"", "acme", "{x}\n", "a\"b*:\\u0000 今"};

  // What may share an answer: scope, namespace, question.
  using Owner = std::tuple<size_t, std::string, int>;

  struct Asker {
    PrincipalPtr key;
    size_t scope = 0;
  };

  IsolationTest() {
    engine_.script = [this](const engine::GenerationRequest& request) {
      return engine::Says(request,
                          tokenizer_->Encode(fmt::format("{}", generations_.fetch_add(1))));
    };
    for (int i = 0; i < 50; ++i) {
      auto key = std::make_shared<Principal>();
      key->label = fmt::format("key-{}", i);
      key->id = key->label;
      const auto scope = static_cast<size_t>(i) % scopes_.size();
      key->scope = scopes_[scope];
      key->cache.read = i % 10 != 8;
      key->cache.write = i % 10 != 9;
      askers_.push_back({std::move(key), scope});
    }
  }

  struct Heard {
    std::string x_cache;
    int generation = -1;
  };
  Heard AskAs(const Asker& asker, int question, const std::string& name_space, bool stream) {
    json body = {
        {"temperature", 0},
        {"stream", stream},
        {"messages",
         json::array({{{"role", "user"}, {"content", fmt::format("word {}?", question)}}})}};
    if (!name_space.empty()) body["cache"] = {{"namespace", name_space}};
    auto request = openai::ParseChatRequest(body.dump(), {.vocab_size = 8192});
    EXPECT_TRUE(request) << request.error().message;
    ServerReply reply;
    pipeline_.Run(std::make_shared<const openai::ApiRequest>(std::move(*request)), NoHeaders(),
                  {.id = "r", .route = "/v1/chat/completions"}, reply, Ticket(asker.key));
    EXPECT_EQ(reply.status, 200) << reply.body;
    const std::string text =
        stream ? Stream(reply).Text()
               : json::parse(reply.body)["choices"][0]["message"]["content"].get<std::string>();
    Heard heard{.x_cache = Header(reply, "X-Cache"), .generation = std::stoi(text)};
    reply.on_sent();
    return heard;
  }

  std::atomic<int> generations_ = 0;
  std::vector<Asker> askers_;
};

TEST_F(IsolationTest, TenThousandRequestsOfFiftyKeysGetWhatTheirScopeMaySeeAndNothingElse) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  std::map<Owner, int> stored;  // → the generation that is kept
  std::map<std::string, int> seen;
  for (int i = 0; i < 10'000; ++i) {
    const Asker& asker = askers_[below(askers_.size())];
    const int question = static_cast<int>(below(12));
    const std::string& name_space = namespaces_[below(namespaces_.size())];
    const Owner owner{asker.scope, name_space, question};
    const Heard heard = AskAs(asker, question, name_space, below(2) == 0);
    ++seen[heard.x_cache];
    const bool known = stored.contains(owner);
    if (!asker.key->cache.read) {
      ASSERT_EQ(heard.x_cache, "BYPASS");
    } else {
      ASSERT_EQ(heard.x_cache, known ? "HIT" : "MISS") << i;
    }
    if (heard.x_cache == "HIT") {
      ASSERT_EQ(heard.generation, stored[owner]) << "another scope's, or an old one";
      continue;
    }
    ASSERT_EQ(heard.generation, generations_ - 1);
    if (asker.key->cache.write) stored[owner] = heard.generation;
    ASSERT_TRUE(writer_.Flush(std::chrono::seconds(20)));
  }
  EXPECT_EQ(store_.stats().evictions, 0) << "the model forgets nothing";
  EXPECT_EQ(stored.size(), scopes_.size() * namespaces_.size() * 12);
  EXPECT_GT(seen["HIT"], 5000);
  EXPECT_GT(seen["BYPASS"], 500);
}

TEST_F(IsolationTest, EqualQuestionsAtOnceAreAnsweredWithinTheScopeOnly) {
  std::mutex mutex;
  std::map<int, std::set<Owner>> owners;  // of each generation
  std::atomic<int> coalesced = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 9; ++t)
    threads.emplace_back([&, t] {
      for (int question = 0; question < 60; ++question) {
        const Asker& asker = askers_[static_cast<size_t>(t) % 8];  // these may read and write
        const std::string& name_space = namespaces_[static_cast<size_t>(question) % 4];
        const Heard heard = AskAs(asker, question, name_space, t % 2 == 0);
        coalesced += heard.x_cache == "COALESCED";
        const std::lock_guard lock(mutex);
        owners[heard.generation].insert({asker.scope, name_space, question});
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& [generation, of] : owners) EXPECT_EQ(of.size(), 1u) << generation;
  EXPECT_EQ(owners.size(), 3u * 60u) << "and within it generated once";
}

}  // namespace
}  // namespace nextgate::gateway
