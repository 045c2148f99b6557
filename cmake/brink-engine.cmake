# Defines brink::brink, both in this project's own build and in that of a user who calls
# find_package(brink): this file and the units are installed as they are.
#
# brink is header-only; one translation unit of a program has to compile the implementation
# (BRINK_IMPLEMENTATION, see brink/brink.h). brink::brink does that by itself: it is an INTERFACE
# target that links brink_engine, a static library compiled in the user's own build, with the
# user's compiler and settings, once however many programs link it. On x86 it is several units, the
# kernels of each instruction set among them, so that they compile in parallel.

# brink_add_engine(INCLUDE_DIRECTORY UNITS_DIRECTORY)
function(brink_add_engine include_directory units_directory)
  if(TARGET brink::brink)
    return()
  endif()
  find_package(Threads REQUIRED)
  find_path(BRINK_HIGHWAY_INCLUDE hwy/highway.h DOC "Folder that holds hwy/highway.h")
  find_library(BRINK_HIGHWAY_LIBRARY hwy DOC "Highway's library, libhwy")
  find_path(BRINK_XXHASH_INCLUDE xxhash.h DOC "Folder that holds xxhash.h")
  if(NOT BRINK_HIGHWAY_INCLUDE OR NOT BRINK_HIGHWAY_LIBRARY)
    message(FATAL_ERROR "brink needs Google Highway (Debian: libhwy-dev)")
  endif()
  if(NOT BRINK_XXHASH_INCLUDE)
    message(FATAL_ERROR "brink needs xxHash (Debian: libxxhash-dev)")
  endif()

  add_library(brink_headers INTERFACE)
  target_compile_features(brink_headers INTERFACE cxx_std_20)
  target_include_directories(brink_headers INTERFACE "${include_directory}")
  target_include_directories(brink_headers SYSTEM INTERFACE "${BRINK_HIGHWAY_INCLUDE}"
                                                            "${BRINK_XXHASH_INCLUDE}")
  target_link_libraries(brink_headers INTERFACE "${BRINK_HIGHWAY_LIBRARY}" Threads::Threads)

  set(units "${units_directory}/engine.cc")
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64|i[3-6]86)$")
    foreach(isa sse4 avx2 avx512 avx512_vnni)
      list(APPEND units "${units_directory}/kernels_${isa}.cc"
                        "${units_directory}/encoders_${isa}.cc")
    endforeach()
    foreach(part encoders_scalar eval quantize text vulkan)
      list(APPEND units "${units_directory}/${part}.cc")
    endforeach()
    set(split ON)
  endif()
  add_library(brink_engine STATIC EXCLUDE_FROM_ALL ${units})
  # The encoders are huge functions without calls: by default GCC spends most of its time there on
  # which stores a load may see, and the code comes out the same.
  set(encoders ${units})
  list(FILTER encoders INCLUDE REGEX "/encoders_")
  set_source_files_properties(${encoders} PROPERTIES COMPILE_OPTIONS
    "$<$<CXX_COMPILER_ID:GNU>:--param=sccvn-max-alias-queries-per-access=50>")
  target_link_libraries(brink_engine PUBLIC brink_headers)
  # The Vulkan backend: where its shaders were compiled and Vulkan's headers are there. The library
  # itself is loaded at run time.
  if(BRINK_SHADERS_INCLUDE)
    find_path(BRINK_VULKAN_INCLUDE vulkan/vulkan_core.h
              DOC "Folder that holds vulkan/vulkan_core.h")
    if(BRINK_VULKAN_INCLUDE)
      target_compile_definitions(brink_engine PRIVATE BRINK_VULKAN)
      target_include_directories(brink_engine SYSTEM PRIVATE "${BRINK_VULKAN_INCLUDE}")
      target_include_directories(brink_engine PRIVATE "${BRINK_SHADERS_INCLUDE}")
      target_link_libraries(brink_engine PUBLIC ${CMAKE_DL_LIBS})
      if(TARGET brink_shaders)
        add_dependencies(brink_engine brink_shaders)
      endif()
    endif()
  endif()
  if(split)
    target_compile_definitions(brink_engine PRIVATE BRINK_SPLIT)
  endif()

  add_library(brink_interface INTERFACE)
  target_link_libraries(brink_interface INTERFACE brink_engine)
  add_library(brink::brink ALIAS brink_interface)
endfunction()
