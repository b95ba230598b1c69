#include "gateway/generator.h"

namespace nextgate::gateway {

std::unique_ptr<openai::AnswerWriter> Generator::NewWriter(const openai::ApiRequest& request,
                                                           std::string id, int64_t created_s,
                                                           int32_t num_choices, bool) const {
  return std::make_unique<openai::ResponseWriter>(request, std::move(id), created_s, num_choices);
}

}  // namespace nextgate::gateway
