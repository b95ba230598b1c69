"""Who may include whom. Fails on an #include that points the wrong way, and on a third-party library
that is included outside its one wrapper."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAYERS = ["base", "kernels", "engine", "cache", "gateway"]
MAY_INCLUDE = {
    "base": {"base"},
    "kernels": {"kernels", "base"},
    "engine": {"engine", "kernels", "base"},
    "cache": {"cache", "base"},
    "gateway": {"gateway", "engine", "cache", "base"},
}
# What the gateway may see of the engine: its public headers.
GATEWAY_ENGINE = re.compile(r"engine/(engine|request)\.h|engine/tokenizer/\w+\.h|engine/model/generation_config\.h|engine/encoder/sentence_encoder\.h")
WRAPPERS = {
    "httplib.h": {"gateway/http_server.cc", "gateway/http_client.cc"},
    "jinja/": {"gateway/chat_template.cc", "gateway/chat_template_builtins.h", "gateway/chat_template_input.h",
               "gateway/chat_template_limits.h", "gateway/chat_template_text.h"},  # chat_template.h, which others include, knows nothing of it
    "spdlog/": {"base/log.cc"},
    "xxhash.h": {"base/hash.cc"},
    "prometheus/": {"gateway/metrics.cc"},
    "hiredis/": {"cache/redis/connection.cc"},
    "faiss/": {"cache/semantic/vector_graph.cc"},
    "omp.h": {"cache/semantic/vector_graph.cc"},
    "zstd.h": {"cache/entry_codec.cc"},
    "utf8proc.h": {"cache/key.cc", "cache/normalise.cc", "cache/semantic/text_pieces.cc"},
    "toml++/": {"gateway/flags.cc"},
    "openssl/": {"base/sha256.cc", "base/socket.cc", "cache/aead.cc", "cache/hmac.cc", "gateway/auth.cc", "gateway/hub_blob.cc"},
    "cublasLt.h": {"kernels/gemm/linear.cu", "kernels/gemm/cublas_handle.cu"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', re.M)


def problems_of(path: pathlib.Path) -> list[str]:
    name = path.relative_to(ROOT).as_posix()
    layer = name.split("/")[0]
    found = []
    for target in INCLUDE.findall(path.read_text(encoding="utf-8")):
        top = target.split("/")[0]
        if top in LAYERS and top not in MAY_INCLUDE[layer]:
            found.append(f"{name}: {layer}/ may not include {target}")
        if layer == "gateway" and top == "engine" and not GATEWAY_ENGINE.fullmatch(target):
            found.append(f"{name}: not a public header of the engine: {target}")
        for library, wrappers in WRAPPERS.items():
            if target.startswith(library) and name not in wrappers:
                found.append(f"{name}: {target} belongs in {', '.join(sorted(wrappers))} only")
    return found


def main() -> int:
    files = [p for layer in LAYERS for p in (ROOT / layer).rglob("*") if p.suffix in {".h", ".cc", ".cu", ".cuh"}]
    if len(files) < 10:
        print(f"only {len(files)} source files below {ROOT}: the rules were not checked")
        return 1
    found = [problem for path in sorted(files) for problem in problems_of(path)]
    print("\n".join(found) or f"{len(files)} files keep the include rules")
    return 1 if found else 0


sys.exit(main())
