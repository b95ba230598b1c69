# Language standards, warnings, sanitizers, and CUDA where nvcc is found.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

set(NEXTGATE_X86 OFF)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(NEXTGATE_X86 ON)
endif()

find_program(NEXTGATE_CCACHE ccache)
if(NEXTGATE_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${NEXTGATE_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${NEXTGATE_CCACHE})
endif()
find_program(NEXTGATE_LLD ld.lld)
if(NEXTGATE_LLD)
  add_link_options(-fuse-ld=lld)
endif()

# Flags every target of ours gets.
add_library(nextgate_flags INTERFACE)
target_include_directories(nextgate_flags INTERFACE ${CMAKE_SOURCE_DIR})
# GCC 12 warns of impossible overlaps in std::string at -O2 and above (GCC PR 105651): -Wno-restrict.
target_compile_options(nextgate_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Werror;-Wno-missing-field-initializers>
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>
  # Clang sees what GCC's own headers do inside (the fuzz targets are built with it).
  $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wno-deprecated-declarations;-Wno-unknown-warning-option>
  # A kernel whose registers spill to memory is an error too.
  $<$<COMPILE_LANGUAGE:CUDA>:-Xptxas=--warn-on-spills,--warning-as-error>
  $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-Xcompiler=-Wall,-Wextra,-Werror;--Werror=all-warnings>)
find_package(Threads REQUIRED)
target_link_libraries(nextgate_flags INTERFACE Threads::Threads)

set(NEXTGATE_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them: address,undefined or thread")
if(NEXTGATE_SANITIZE)
  add_compile_options(-fsanitize=${NEXTGATE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${NEXTGATE_SANITIZE})
endif()

include(CheckLanguage)
option(NEXTGATE_CUDA "Build the CUDA backend where nvcc is found" ON)
set(NEXTGATE_HAVE_CUDA OFF)
if(NEXTGATE_CUDA AND NOT NEXTGATE_SANITIZE)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_ARCHITECTURES 90a-real)
    enable_language(CUDA)
    # CMake 3.25 does not know nvcc's C++20 and would take CXX_STANDARD's 23: what it passes for 17 is made to say 20.
    set(CMAKE_CUDA_STANDARD 17)
    set(CMAKE_CUDA17_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA17_EXTENSION_COMPILE_OPTION -std=c++20)
    find_package(CUDAToolkit REQUIRED)
    set(NEXTGATE_HAVE_CUDA ON)
  endif()
endif()
if(NEXTGATE_HAVE_CUDA)
  message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER_VERSION}, building cuda:: bodies for sm_90a")
else()
  message(STATUS "CUDA: no nvcc (or sanitizers on): CPU backend only")
endif()
