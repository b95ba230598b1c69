// What would become of a request: every rule's verdict, every tier's, the canonical request that is
// compared. Nothing is counted, generated or moved by asking.
#pragma once

#include <string>
#include <string_view>

#include "gateway/admin/context.h"

namespace nextgate::gateway::admin {

// {"endpoint", "request", "headers"?, "scope"?}: what would be posted, where, and who asks.
struct Question {
  openai::ApiRequest request;
  std::string cache_control;
  Principal principal;  // of everybody, with the scope that was named
};
// Errors name the member.
Result<Question> ReadQuestion(const AdminContext& c, std::string_view body);
// The same error, of a member of "request".
Error WithinRequest(Error error);

Status Explain(const AdminContext& c, const AdminRequest& request, ServerReply& reply);

}  // namespace nextgate::gateway::admin
