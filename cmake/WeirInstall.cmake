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
# A page for each verb that is described on another's.
foreach(page info:weir compile:weir explain:weir optimize:weir check:weir install-compat:weir disasm:weir-asm
    compare:weir-verdict)
  string(REPLACE ":" ";" page ${page})
  list(GET page 0 verb)
  list(GET page 1 described)
  file(WRITE ${PROJECT_BINARY_DIR}/man/weir-${verb}.1 ".so man1/${described}.1\n")
  install(FILES ${PROJECT_BINARY_DIR}/man/weir-${verb}.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endforeach()
install(FILES man/weir-ebpf.7 man/weir-filter.7 DESTINATION ${CMAKE_INSTALL_MANDIR}/man7)

install(EXPORT weirTargets NAMESPACE weir:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
configure_package_config_file(cmake/weirConfig.cmake.in ${PROJECT_BINARY_DIR}/weirConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/weirConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/weirConfig.cmake ${PROJECT_BINARY_DIR}/weirConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/weir)

# A static library brings what it links with it; a shared one has it inside. Of these, asmjit and Zydis have no
# pkg-config file. Its prefix is where the file lies, so that the tree may be installed or moved anywhere.
set(WEIR_PC_REQUIRES "fmt, zlib, libzstd, liblz4")
set(WEIR_PC_REQUIRES_PRIVATE "")
string(JOIN " " WEIR_PC_LIBS "" -lasmjit -lZydis -lrt ${CMAKE_DL_LIBS})
string(REGEX REPLACE " ([a-z]+)$" " -l\\1" WEIR_PC_LIBS "${WEIR_PC_LIBS}")  # CMAKE_DL_LIBS is a bare name
if(BUILD_SHARED_LIBS)
  set(WEIR_PC_REQUIRES_PRIVATE "${WEIR_PC_REQUIRES}")
  set(WEIR_PC_LIBS_PRIVATE "${WEIR_PC_LIBS}")
  set(WEIR_PC_REQUIRES "")
  set(WEIR_PC_LIBS "")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(WEIR_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
  set(WEIR_PC_LIBDIR "${CMAKE_INSTALL_FULL_LIBDIR}")
  set(WEIR_PC_INCLUDEDIR "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
else()
  file(RELATIVE_PATH WEIR_PC_PREFIX "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
  string(REGEX REPLACE "/$" "" WEIR_PC_PREFIX "\${pcfiledir}/${WEIR_PC_PREFIX}")
  set(WEIR_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
  set(WEIR_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(cmake/weir.pc.in ${PROJECT_BINARY_DIR}/weir.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/weir.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
