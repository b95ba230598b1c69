# nextgate_library(name DEPS …): a static library nextgate_<name> of every source below <name>/. Where CUDA is on, its
# .cu files make a library of their own, nextgate_<name>_cuda, so that a program that runs on the CPU does not load CUDA's.
# gateway/main.cc belongs to the executable.
function(nextgate_library name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${name}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  if(NOT sources)
    add_library(nextgate_${name} INTERFACE)
    target_link_libraries(nextgate_${name} INTERFACE nextgate_flags ${ARG_DEPS})
    return()
  endif()
  add_library(nextgate_${name} STATIC ${sources})
  target_link_libraries(nextgate_${name} PUBLIC nextgate_flags ${ARG_DEPS})
  target_compile_definitions(nextgate_${name} PRIVATE NEXTGATE_VERSION="${PROJECT_VERSION}")
  file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${name}/*.cu)
  if(NEXTGATE_HAVE_CUDA AND cuda_sources)
    add_library(nextgate_${name}_cuda STATIC ${cuda_sources})
    target_link_libraries(nextgate_${name}_cuda PUBLIC nextgate_${name} CUDA::cudart_static CUDA::cublasLt)
  endif()
endfunction()

# nextgate_embed(library file name header namespace): the text of a file as the std::string_view `name`, which `header`
# declares in `namespace`.
function(nextgate_embed library file name header namespace)
  set(out ${CMAKE_BINARY_DIR}/generated/${name}.cc)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DIN=${CMAKE_SOURCE_DIR}/${file} -DOUT=${out} -DHEADER=${header}
            -DNAMESPACE=${namespace} -DNAME=${name} -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${CMAKE_SOURCE_DIR}/${file} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake)
  target_sources(nextgate_${library} PRIVATE ${out})
endfunction()

# nextgate_tests(folder DEPS …): one GoogleTest program of tests/<folder>/**/*_test.cc; every TEST is a
# ctest case labelled cpu (or `LABEL`).
function(nextgate_tests folder)
  cmake_parse_arguments(ARG "" "LABEL" "DEPS" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL cpu)
  endif()
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${folder}/*_test.cc)
  if(NOT sources)
    return()
  endif()
  string(REPLACE "/" "_" target test_${folder})
  add_executable(${target} ${sources})
  target_link_libraries(${target} PRIVATE nextgate_test_support ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${target} PRIVATE NEXTGATE_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                               NEXTGATE_DEPS_PREFIX="${NEXTGATE_DEPS_PREFIX}")
  gtest_discover_tests(${target} DISCOVERY_MODE PRE_TEST TEST_PREFIX "${folder}." DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS ${ARG_LABEL} TIMEOUT 600)
endfunction()
