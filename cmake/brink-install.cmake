include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_directory "${CMAKE_INSTALL_LIBDIR}/cmake/brink")
install(DIRECTORY include/brink DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
if(BRINK_SHADERS_INCLUDE)
  install(FILES "${BRINK_SHADERS_INCLUDE}/brink/vulkan/shaders.inc"
          DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/brink/vulkan")
endif()
install(FILES cmake/brink-engine.cmake DESTINATION "${package_directory}")
install(DIRECTORY cmake/units DESTINATION "${package_directory}")
configure_package_config_file(
  cmake/brink-config.cmake.in "${PROJECT_BINARY_DIR}/brink-config.cmake"
  INSTALL_DESTINATION "${package_directory}" PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/brink-config-version.cmake"
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/brink-config.cmake"
              "${PROJECT_BINARY_DIR}/brink-config-version.cmake"
        DESTINATION "${package_directory}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/brink")
if(BRINK_BUILD_TOOLS)
  install(TARGETS ${BRINK_TOOLS} COMPONENT tools)
endif()
