#include "engine/encoder/added_segments.h"

#include "engine/encoder/white_space.h"

namespace nextgate::engine {

bool AddedSegments::Next(AddedSegment* segment) {
  if (at_ >= text_.size()) return false;
  const AddedTokenFinder::Match match = finder_.Find(text_, at_);
  const size_t end = match.token == nullptr ? text_.size() : match.at;
  std::string_view before = text_.substr(at_, end - at_);
  if (match.token != nullptr && match.token->lstrip)
    before = before.substr(0, WhiteSpaceBegin(before));
  *segment = {before, at_, match.token};
  at_ = match.token == nullptr ? text_.size() : match.at + match.token->content.size();
  return true;
}

}  // namespace nextgate::engine
