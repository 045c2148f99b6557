# Most of the time that a tool's or a test's source takes to compile goes into headers of others;
# those alone are precompiled, so that an edit of brink's own rebuilds what includes it and no more.

option(BRINK_PRECOMPILE "Precompile other libraries' headers for tools and tests" ON)

# brink_add_precompiled(TARGET OPTIONS LIBRARIES HEADERS): headers for targets that are compiled
# with just these options, take the libraries and call target_precompile_headers(... REUSE_FROM).
function(brink_add_precompiled target options libraries headers)
  add_library(${target} OBJECT "${PROJECT_SOURCE_DIR}/cmake/precompiled.cc")
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_compile_options(${target} PRIVATE ${options})
  target_link_libraries(${target} PRIVATE ${libraries} brink_warnings)
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
  target_precompile_headers(${target} PRIVATE ${headers} <algorithm> <cmath> <cstdint> <filesystem>
                            <fstream> <map> <optional> <random> <span> <string> <vector>)
endfunction()

# brink_use_precompiled(TARGET PRECOMPILED)
function(brink_use_precompiled target precompiled)
  if(BRINK_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM ${precompiled})
    # So that ccache sees which file it was.
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
  endif()
endfunction()
