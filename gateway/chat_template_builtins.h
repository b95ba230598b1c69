// The filters, methods and functions of the Jinja engine that nextgate replaces, because Hugging
// Face's environment (Python) answers differently, or because the engine's own lose the provenance
// of text: JSON as json.dumps writes it, code points instead of bytes, Unicode white space, split,
// replace, join and slices that keep marks.
//
// Not replaced, and so as the engine has them: upper, lower, title and capitalize change ASCII
// only; sort is always case-sensitive.
#pragma once

#include <string>

#include "jinja/runtime.h"

namespace nextgate::gateway {

// raise_exception(message): the template refuses the request. (Derived from the one exception that
// the engine passes on unchanged.)
struct TemplateRaised : jinja::rethrown_exception {
  using jinja::rethrown_exception::rethrown_exception;
};

// Replaces them in the engine's process-wide tables, once. Call before the first render; safe from
// any thread.
void InstallTemplateBuiltins();

// value as json.dumps(value, ensure_ascii, indent, separators, sort_keys) writes it, keeping marks.
// indent < 0: on one line.
struct JsonStyle {
  int indent = -1;
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
jinja::string ToJson(const jinja::value& value, const JsonStyle& style);

}  // namespace nextgate::gateway
