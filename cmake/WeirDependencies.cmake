# Every outside library, found once. All are in Debian 12; the README's first command installs them.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(ZLIB REQUIRED)
find_package(asmjit REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(LZ4 REQUIRED IMPORTED_TARGET liblz4)
find_package(zydis REQUIRED)
pkg_check_modules(CAPSTONE REQUIRED capstone)  # its header; the library is opened at run time

# Debian's libexpected-dev carries the header and a CMake package; other systems may carry the header alone.
find_package(tl-expected QUIET)
if(NOT TARGET tl::expected)
  find_path(TL_EXPECTED_INCLUDE_DIR tl/expected.hpp REQUIRED)
  add_library(tl::expected INTERFACE IMPORTED GLOBAL)
  target_include_directories(tl::expected INTERFACE ${TL_EXPECTED_INCLUDE_DIR})
endif()

if(WEIR_BUILD_TOOLS OR WEIR_BUILD_TESTS)
  find_package(CLI11 REQUIRED)
  find_package(nlohmann_json REQUIRED)
  pkg_check_modules(EDIT REQUIRED libedit)  # its header; the library is opened at run time
endif()
if(WEIR_BUILD_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
  # libpcap is an oracle in tests and benchmarks only; nothing that is installed links it.
  find_library(PCAP_LIBRARY pcap)
  if(PCAP_LIBRARY)
    add_library(weir_oracle_pcap INTERFACE)
    target_link_libraries(weir_oracle_pcap INTERFACE ${PCAP_LIBRARY})
    target_compile_definitions(weir_oracle_pcap INTERFACE WEIR_HAVE_LIBPCAP=1)
  else()
    add_library(weir_oracle_pcap INTERFACE)
    message(STATUS "libpcap not found: tests against it will say that they are skipped")
  endif()
endif()
