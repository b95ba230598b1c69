#include "tests/fuzz/admin_world.h"

#include <string>

#include "base/check.h"
#include "base/log.h"
#include "gateway/openai/error.h"

namespace nextgate::testing {
namespace {

using nlohmann::json;

class Collector final : public gateway::StreamWriter {
 public:
  bool Write(std::string_view bytes) override {
    text_ += bytes;
    return true;
  }
  bool ClientLeft() override { return false; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

AdminWorld& TheWorld() {
  static auto& world = *new AdminWorld;
  SetLogLevel(LogLevel::kOff);
  return world;
}

void CheckError(const Error& error) {
  CHECK(!error.message.empty());
  CHECK(json::accept(gateway::openai::ErrorBody(error)));
  CHECK(gateway::openai::HttpStatus(error.code) < 500, "%s", error.message.c_str());
}

json Call(gateway::admin::AdminFunction function, gateway::ServerRequest http) {
  http.header = [](const std::string&) { return ""; };
  http.client_left = [] { return false; };
  gateway::ServerReply reply;
  const Status status =
      function(TheWorld().context(), {.http = http, .caller = {.label = "f"}}, reply);
  if (!status) {
    CheckError(status.error());
    return {};
  }
  if (reply.stream) {
    Collector lines;
    reply.stream(lines);
    return lines.text();
  }
  const json body = json::parse(reply.body);  // throws if it is no JSON
  CHECK(body.is_object());
  return body;
}

}  // namespace nextgate::testing
