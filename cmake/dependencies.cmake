# Every third-party library. scripts/deps.sh installs Debian's packages and builds the pinned archives
# into a prefix outside the tree; that prefix is preferred, then the system.
if(DEFINED ENV{NEXTGATE_DEPS_PREFIX})
  set(NEXTGATE_DEPS_PREFIX $ENV{NEXTGATE_DEPS_PREFIX})
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(NEXTGATE_DEPS_PREFIX $ENV{XDG_CACHE_HOME}/nextgate/deps)
else()
  set(NEXTGATE_DEPS_PREFIX $ENV{HOME}/.cache/nextgate/deps)
endif()
list(PREPEND CMAKE_PREFIX_PATH ${NEXTGATE_DEPS_PREFIX})

macro(nextgate_require package)
  find_package(${package} ${ARGN} QUIET)
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "${package} ${ARGN} was not found. Run scripts/deps.sh, then configure again.")
  endif()
endmacro()

# A library without a CMake package of its own: header plus library name becomes target name::name.
function(nextgate_find_plain name header library)
  find_path(${name}_INCLUDE ${header})
  find_library(${name}_LIBRARY ${library})
  if(NOT ${name}_INCLUDE OR NOT ${name}_LIBRARY)
    message(FATAL_ERROR "${name} (${header}) was not found. Run scripts/deps.sh, then configure again.")
  endif()
  add_library(${name}::${name} INTERFACE IMPORTED)
  target_include_directories(${name}::${name} SYSTEM INTERFACE ${${name}_INCLUDE})
  target_link_libraries(${name}::${name} INTERFACE ${${name}_LIBRARY})
endfunction()

nextgate_require(fmt)
nextgate_require(spdlog)
nextgate_require(nlohmann_json 3.11)
nextgate_require(OpenSSL 3)
nextgate_require(prometheus-cpp COMPONENTS core)
nextgate_require(tomlplusplus)
nextgate_find_plain(xxhash xxhash.h xxhash)
nextgate_find_plain(utf8proc utf8proc.h utf8proc)
nextgate_find_plain(zstd zstd.h zstd)

# cpp-httplib 0.58 and llama.cpp's Jinja engine: pinned archives, built by scripts/deps.sh with these very
# definitions.
nextgate_find_plain(httplib httplib.h cpp-httplib)
target_compile_definitions(httplib::httplib INTERFACE CPPHTTPLIB_OPENSSL_SUPPORT CPPHTTPLIB_LISTEN_BACKLOG=1024
                                                      CPPHTTPLIB_KEEPALIVE_TIMEOUT_CHECK_INTERVAL_USECOND=500000
                                                      CPPHTTPLIB_REQUEST_URI_MAX_LENGTH=4096
                                                      CPPHTTPLIB_FORM_URL_ENCODED_PAYLOAD_MAX_LENGTH=2000000000)
target_link_libraries(httplib::httplib INTERFACE OpenSSL::SSL)
nextgate_find_plain(jinja nextgate-jinja/jinja/runtime.h nextgate_jinja)
target_include_directories(jinja::jinja SYSTEM INTERFACE ${jinja_INCLUDE}/nextgate-jinja)

# hiredis 1.5: a pinned archive too.
nextgate_find_plain(hiredis hiredis/hiredis.h hiredis)

# FAISS: a static library of which one part is used, single-threaded (cache/semantic/vector_graph.cc). That part
# calls the lock functions of GCC's OpenMP. Other compilers do not find its omp.h; a copy serves them, without the one
# attribute that they do not know.
nextgate_find_plain(faiss faiss/impl/HNSW.h faiss)
execute_process(COMMAND gcc -print-file-name=include/omp.h OUTPUT_VARIABLE omp_HEADER OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND gcc -print-file-name=libgomp.so OUTPUT_VARIABLE gomp_LIBRARY OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT EXISTS "${omp_HEADER}" OR NOT EXISTS "${gomp_LIBRARY}")
  message(FATAL_ERROR "GCC's omp.h and libgomp were not found. Run scripts/deps.sh, then configure again.")
endif()
file(READ ${omp_HEADER} omp_text)
string(REPLACE "__malloc__ (omp_free)" "__malloc__" omp_text "${omp_text}")
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/openmp/omp.h CONTENT "${omp_text}" @ONLY)
target_include_directories(faiss::faiss SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/openmp)
target_link_libraries(faiss::faiss INTERFACE ${gomp_LIBRARY})
