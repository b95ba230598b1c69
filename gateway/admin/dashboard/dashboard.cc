#include "gateway/admin/dashboard/dashboard.h"

namespace nextgate::gateway::admin {
namespace {

constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
constexpr const char* kScript = "text/javascript; charset=utf-8";

struct Asset {
  const char* path;
  const char* content_type;
  const std::string_view& text;
};

const Asset kAssets[] = {
    {"/dashboard", "text/html; charset=utf-8", kPageHtml},
    {"/dashboard/style.css", "text/css; charset=utf-8", kStyleCss},
    {"/dashboard/icon.svg", "image/svg+xml", kIconSvg},
    {"/dashboard/main.js", kScript, kMainJs},
    {"/dashboard/server.js", kScript, kServerJs},
    {"/dashboard/elements.js", kScript, kElementsJs},
    {"/dashboard/charts.js", kScript, kChartsJs},
    {"/dashboard/traffic.js", kScript, kTrafficJs},
    {"/dashboard/entries.js", kScript, kEntriesJs},
    {"/dashboard/explain.js", kScript, kExplainJs},
    {"/dashboard/invalidate.js", kScript, kInvalidateJs},
    {"/dashboard/prefix.js", kScript, kPrefixJs},
    {"/dashboard/semantic.js", kScript, kSemanticJs},
};

}  // namespace

void RegisterDashboard(HttpServer& server, const Recorder& recorder) {
  for (const Asset& asset : kAssets) {
    const auto answer = [&asset](const ServerRequest&, ServerReply& reply) {
      reply.content_type = asset.content_type;
      reply.headers = {{"Content-Security-Policy", kPolicy},
                       {"X-Content-Type-Options", "nosniff"},
                       {"Referrer-Policy", "no-referrer"},
                       {"Cache-Control", "no-cache"}};  // another version may be there tomorrow
      reply.body = asset.text;
    };
    server.Route("GET", asset.path, recorder.Recorded(/*quiet=*/true, answer));
  }
  // People type a slash behind it, and would then load the parts from the wrong place.
  server.Route("GET", "/dashboard/",
               recorder.Recorded(/*quiet=*/true, [](const ServerRequest&, ServerReply& reply) {
                 reply.status = 308;
                 reply.headers = {{"Location", "../dashboard"}};
               }));
}

}  // namespace nextgate::gateway::admin
