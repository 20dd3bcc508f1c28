# The library is built room by room, in the order of the architecture: a room may include rooms before it in this list,
# never after it (tests/check_includes checks the sources). Each room is an object library; `gibbsite` joins them all.
set(GIBBSITE_ROOMS core calculus manifold sampler data nn model posterior objective train metric report recipe)

add_library(gibbsite_options INTERFACE)
target_include_directories(gibbsite_options INTERFACE "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/generated")
target_link_libraries(gibbsite_options INTERFACE ${TORCH_LIBRARIES} fmt::fmt ZLIB::ZLIB PNG::PNG JPEG::JPEG OpenSSL::Crypto ${CURL_LIBRARIES} nlohmann_json::nlohmann_json Threads::Threads ${DNNL_LIBRARY} ${LINEAR_LIBRARY} ${OpenMP_CXX_LIBRARIES})
# -fPIC everywhere, executables too, so that all share the precompiled header. No contraction: drawn numbers must not depend on the instruction set. The other two let loops over exp and sqrt vectorise
# and, unlike fast-math, keep NaN checks.
target_compile_options(gibbsite_options INTERFACE -fPIC -Wall -Wextra -ffp-contract=off -fno-math-errno -fno-trapping-math)
# LibTorch's headers divide work among threads only where _OPENMP is defined. Clang's threads would be a second pool beside LibTorch's,
# so what it compiles (the fuzzers) is serial.
target_compile_options(gibbsite_options INTERFACE $<IF:$<CXX_COMPILER_ID:GNU>,-fopenmp,-fopenmp-simd>)
target_include_directories(gibbsite_options SYSTEM INTERFACE "${DNNL_INCLUDE_DIR}" "${LINEAR_INCLUDE_DIR}")
# LibTorch's headers are not free of warnings.
foreach(directory IN LISTS TORCH_INCLUDE_DIRS)
  target_include_directories(gibbsite_options SYSTEM INTERFACE "${directory}")
endforeach()
if(GIBBSITE_SANITIZE)
  # Instrumented standard headers set off false alarms about uninitialised values.
  target_compile_options(gibbsite_options INTERFACE -fsanitize=${GIBBSITE_SANITIZE} -fno-omit-frame-pointer -Wno-maybe-uninitialized)
  target_link_options(gibbsite_options INTERFACE -fsanitize=${GIBBSITE_SANITIZE})
endif()

# One precompiled header serves every room and every test.
file(WRITE "${PROJECT_BINARY_DIR}/generated/pch.cpp.in" "")
configure_file("${PROJECT_BINARY_DIR}/generated/pch.cpp.in" "${PROJECT_BINARY_DIR}/generated/pch.cpp" COPYONLY)
add_library(gibbsite_pch OBJECT "${PROJECT_BINARY_DIR}/generated/pch.cpp")
target_link_libraries(gibbsite_pch PRIVATE gibbsite_options)
target_precompile_headers(gibbsite_pch PRIVATE <torch/types.h> <torch/nn/module.h> <fmt/format.h>)

# report.html is one file: its style sheet and script are built into the program.
set(page "${PROJECT_SOURCE_DIR}/gibbsite/report/page")
file(READ "${page}.css" page_css)
file(READ "${page}.js" page_js)
configure_file("${page}.cpp.in" "${PROJECT_BINARY_DIR}/generated/page.cpp" @ONLY)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${page}.css" "${page}.js")

# The commit is read at build time, so that --version never lies about the tree.
add_custom_target(gibbsite_commit
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR} -DVERSION=${PROJECT_VERSION} -DOUTPUT=${PROJECT_BINARY_DIR}/generated/gibbsite/core/commit.h -P ${PROJECT_SOURCE_DIR}/cmake/commit.cmake
  BYPRODUCTS "${PROJECT_BINARY_DIR}/generated/gibbsite/core/commit.h"
  COMMENT "")

set(GIBBSITE_OBJECTS "")
set(previous "")
foreach(room IN LISTS GIBBSITE_ROOMS)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/gibbsite/${room}/*.cpp")
  if(room STREQUAL "report")
    list(APPEND sources "${PROJECT_BINARY_DIR}/generated/page.cpp")
  endif()
  if(sources)
    add_library(gibbsite_${room} OBJECT ${sources})
    target_link_libraries(gibbsite_${room} PUBLIC gibbsite_options)
    target_precompile_headers(gibbsite_${room} REUSE_FROM gibbsite_pch)
    list(APPEND GIBBSITE_OBJECTS $<TARGET_OBJECTS:gibbsite_${room}>)
  endif()
  # What a test of this room may link: its own objects and those of the rooms before it.
  set(GIBBSITE_OBJECTS_UP_TO_${room} ${GIBBSITE_OBJECTS})
endforeach()
add_dependencies(gibbsite_core gibbsite_commit)
# These loops promise accuracy, not bit identity between instruction sets: fused multiply-add is welcome.
set_source_files_properties("${PROJECT_SOURCE_DIR}/gibbsite/calculus/activation_kernels.cpp" "${PROJECT_SOURCE_DIR}/gibbsite/nn/plan_kernels.cpp" PROPERTIES COMPILE_OPTIONS "-ffp-contract=fast;-O3" SKIP_PRECOMPILE_HEADERS ON)

# Ranks need the headers of the Gloo that LibTorch was built with, which lie beside its own or nowhere. Without them the program
# works alone. NCCL likewise, where LibTorch has CUDA.
find_path(GLOO_INCLUDE_DIR gloo/config.h PATHS ${TORCH_INCLUDE_DIRS} NO_DEFAULT_PATH)
set(ranks "")
if(GLOO_INCLUDE_DIR)
  list(APPEND ranks USE_C10D_GLOO)
  find_path(NCCL_INCLUDE_DIR nccl.h PATHS ${TORCH_INCLUDE_DIRS} ${CUDA_INCLUDE_DIRS})
  if(TORCH_CUDA_LIBRARIES AND NCCL_INCLUDE_DIR)
    list(APPEND ranks USE_C10D_NCCL)
  endif()
endif()
set_source_files_properties("${PROJECT_SOURCE_DIR}/gibbsite/train/process_group.cpp" PROPERTIES COMPILE_DEFINITIONS "${ranks}" SKIP_PRECOMPILE_HEADERS ON)

add_library(gibbsite STATIC ${GIBBSITE_OBJECTS})
target_link_libraries(gibbsite PUBLIC $<BUILD_INTERFACE:gibbsite_options>)
target_compile_features(gibbsite PUBLIC cxx_std_${CMAKE_CXX_STANDARD})
set_target_properties(gibbsite PROPERTIES LINKER_LANGUAGE CXX)
