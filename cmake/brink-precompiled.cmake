# Most of the time that a tool's or a test's source takes to compile goes into headers of others;
# those alone are precompiled, so that an edit of brink's own rebuilds what includes it and no more.
# Only in the sanitized build: with more optimisation GCC 12 warns about what is in precompiled
# headers of the system as if they were this project's.

# brink_add_precompiled(TARGET OPTIONS LIBRARIES HEADERS): headers for targets that are compiled
# with just these options and take the libraries.
function(brink_add_precompiled target options libraries headers)
  if(BRINK_SANITIZE)
    add_library(${target} OBJECT "${PROJECT_SOURCE_DIR}/cmake/precompiled.cc")
    target_compile_features(${target} PRIVATE cxx_std_20)
    target_compile_options(${target} PRIVATE ${options}
                           $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
    target_link_libraries(${target} PRIVATE ${libraries} brink_warnings)
    target_precompile_headers(${target} PRIVATE ${headers} <algorithm> <cmath> <cstdint>
                              <filesystem> <fstream> <map> <optional> <random> <span> <string>
                              <vector>)
  endif()
endfunction()

# brink_use_precompiled(TARGET PRECOMPILED)
function(brink_use_precompiled target precompiled)
  if(BRINK_SANITIZE)
    target_precompile_headers(${target} REUSE_FROM ${precompiled})
    # So that ccache sees which file it was.
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
  endif()
endfunction()
