# The installed tree: library, headers, program, manual pages, a CMake package and a pkg-config file.
include(CMakePackageConfigHelpers)

install(TARGETS weir EXPORT weirTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/weir DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.def")
if(WEIR_BUILD_TOOLS)
  install(TARGETS weir_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
file(GLOB WEIR_MANUALS CONFIGURE_DEPENDS man/weir-*.1)
install(FILES man/weir.1 ${WEIR_MANUALS} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES man/weir-ebpf.7 man/weir-filter.7 DESTINATION ${CMAKE_INSTALL_MANDIR}/man7)

install(EXPORT weirTargets NAMESPACE weir:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
configure_package_config_file(cmake/weirConfig.cmake.in ${PROJECT_BINARY_DIR}/weirConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/weirConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/weirConfig.cmake ${PROJECT_BINARY_DIR}/weirConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weir)

# A static library brings what it links with it; a shared one has it inside.
set(WEIR_PC_REQUIRES_PRIVATE "fmt, zlib, libzstd, liblz4")
set(WEIR_PC_LIBS_PRIVATE "-lZydis")  # has no pkg-config file
if(BUILD_SHARED_LIBS)
  set(WEIR_PC_REQUIRES "")
  set(WEIR_PC_LIBS "")
else()
  set(WEIR_PC_LIBS " ${WEIR_PC_LIBS_PRIVATE}")
  set(WEIR_PC_REQUIRES "${WEIR_PC_REQUIRES_PRIVATE}")
  set(WEIR_PC_REQUIRES_PRIVATE "")
  set(WEIR_PC_LIBS " -lasmjit -lpthread -lrt")  # asmjit has no pkg-config file
endif()
configure_file(cmake/weir.pc.in ${PROJECT_BINARY_DIR}/weir.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/weir.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
