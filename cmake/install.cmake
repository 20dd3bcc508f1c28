# What an installation holds: the program with recipes, manual page and completion (component `program`); headers, library,
# CMake package and pkg-config file (component `development`); the Python package (component `python`, python/CMakeLists.txt).
# Completion and page come from the program itself.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# program
install(TARGETS gibbsite_app RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT program)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/recipes" DESTINATION "${CMAKE_INSTALL_DATADIR}/gibbsite" COMPONENT program)
install(FILES "${PROJECT_SOURCE_DIR}/README.md" "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT program)
set(written "${PROJECT_BINARY_DIR}/generated/share")
install(CODE "
  file(MAKE_DIRECTORY \"${written}\")
  function(write file)
    # LibTorch keeps its thread pools until exit, which a leak checker would report.
    execute_process(COMMAND \"\${CMAKE_COMMAND}\" -E env ASAN_OPTIONS=detect_leaks=0 \"$<TARGET_FILE:gibbsite_app>\" \${ARGN}
      OUTPUT_FILE \"${written}/\${file}\" RESULT_VARIABLE failed)
    if(failed)
      message(FATAL_ERROR \"gibbsite \${ARGN} failed: \${failed}\")
    endif()
  endfunction()
  write(gibbsite.1 manual)
  write(gibbsite completion bash)
  write(_gibbsite completion zsh)
  write(gibbsite.fish completion fish)" COMPONENT program)
install(FILES "${written}/gibbsite.1" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT program)
install(FILES "${written}/gibbsite" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" COMPONENT program)
install(FILES "${written}/_gibbsite" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions" COMPONENT program)
install(FILES "${written}/gibbsite.fish" DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d" COMPONENT program)

# development
install(DIRECTORY "${PROJECT_SOURCE_DIR}/gibbsite" "${PROJECT_BINARY_DIR}/generated/gibbsite" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  COMPONENT development FILES_MATCHING PATTERN "*.h")
install(TARGETS gibbsite EXPORT gibbsite ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development
  INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
set(package_directory "${CMAKE_INSTALL_LIBDIR}/cmake/gibbsite")
install(EXPORT gibbsite NAMESPACE gibbsite:: FILE gibbsiteTargets.cmake DESTINATION "${package_directory}" COMPONENT development)
set(GIBBSITE_DATA "${CMAKE_INSTALL_DATADIR}")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/gibbsiteConfig.cmake.in" "${PROJECT_BINARY_DIR}/generated/gibbsiteConfig.cmake"
  INSTALL_DESTINATION "${package_directory}" PATH_VARS GIBBSITE_DATA)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/generated/gibbsiteConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/generated/gibbsiteConfig.cmake" "${PROJECT_BINARY_DIR}/generated/gibbsiteConfigVersion.cmake"
  DESTINATION "${package_directory}" COMPONENT development)
# LibTorch has no pkg-config file of its own, so its folders and libraries are written out.
set(GIBBSITE_PC_CFLAGS "")
foreach(directory IN LISTS TORCH_INCLUDE_DIRS)
  string(APPEND GIBBSITE_PC_CFLAGS " -I${directory}")
endforeach()
get_filename_component(torch_directory "${TORCH_LIBRARY}" DIRECTORY)
# The prefix is chosen when installing, so the file finds it from where it lies.
file(RELATIVE_PATH GIBBSITE_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file("${PROJECT_SOURCE_DIR}/cmake/gibbsite.pc.in" "${PROJECT_BINARY_DIR}/generated/gibbsite.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/generated/gibbsite.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT development)

# Debian packages: cpack -G DEB
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME gibbsite)
set(CPACK_PACKAGE_VENDOR gibbsite)
set(CPACK_PACKAGE_CONTACT "gibbsite maintainers <gibbsite@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_DIRECTORY "${PROJECT_BINARY_DIR}/packages")
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL program development)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME gibbsite)
set(CPACK_DEBIAN_PROGRAM_DESCRIPTION "energy-based models: train, sample, score, evaluate")
# Debian's LibTorch is content with any BLAS; plots want gnuplot and a font, and do without.
set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS "libopenblas0-openmp, gnuplot-nox, fonts-dejavu-core")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libgibbsite-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "energy-based models: headers and library")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libtorch-dev, libdnnl-dev, liblinear-dev, libfmt-dev, nlohmann-json3-dev, libpng-dev, libjpeg-dev, libssl-dev, libcurl4-openssl-dev, zlib1g-dev")
if(TARGET gibbsite_python)
  list(APPEND CPACK_COMPONENTS_ALL python)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_NAME python3-gibbsite)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_SECTION python)
  set(CPACK_DEBIAN_PYTHON_DESCRIPTION "energy-based models: Python module")
  set(CPACK_DEBIAN_PYTHON_PACKAGE_DEPENDS "python3 (>= ${GIBBSITE_PYTHON_VERSION}), python3 (<< ${GIBBSITE_NEXT_PYTHON_VERSION}), python3-torch, python3-numpy")
  set(CPACK_DEBIAN_PYTHON_PACKAGE_RECOMMENDS "gibbsite")
endif()
include(CPack)
