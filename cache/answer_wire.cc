#include "cache/answer_wire.h"

namespace nextgate::cache {

void PackDelta(WireWriter& out, const AnswerDelta& delta) {
  out.Unsigned(static_cast<uint64_t>(delta.choice));
  out.Text(delta.text);
  out.Unsigned(delta.token_ids.size());
  for (const int32_t id : delta.token_ids) out.Signed(id);
  out.Text(delta.logprobs);
  out.Text(delta.extras);
}

AnswerDelta UnpackDelta(WireReader& in, std::vector<int32_t>* token_ids) {
  AnswerDelta delta{.choice = static_cast<int32_t>(in.Unsigned() & 0x7fff'ffff), .text = in.Text()};
  token_ids->resize(in.Count());
  for (int32_t& id : *token_ids) id = static_cast<int32_t>(in.Signed());
  delta.token_ids = *token_ids;
  delta.logprobs = in.Text();
  delta.extras = in.Text();
  return delta;
}

void PackChoice(WireWriter& out, const AnswerChoice& choice) {
  out.Text(choice.finish_reason);
  out.Text(choice.stop_reason);
  out.Text(choice.extras);
}

AnswerChoice UnpackChoice(WireReader& in) {
  AnswerChoice choice;
  choice.finish_reason = in.Text();
  choice.stop_reason = in.Text();
  choice.extras = in.Text();
  return choice;
}

void PackUsage(WireWriter& out, const AnswerUsage& usage) {
  out.Signed(usage.prompt_tokens);
  out.Signed(usage.completion_tokens);
  out.Signed(usage.cached_tokens);
}

AnswerUsage UnpackUsage(WireReader& in) {
  AnswerUsage usage;
  usage.prompt_tokens = static_cast<int32_t>(in.Signed());
  usage.completion_tokens = static_cast<int32_t>(in.Signed());
  usage.cached_tokens = static_cast<int32_t>(in.Signed());
  return usage;
}

}  // namespace nextgate::cache
