# weir_module(NAME SOURCES ... TESTS ... DEPENDS ... LIBRARIES ... TEST_LIBRARIES ...)
#
# Declares the module NAME: an object library with its sources, a static library weir_NAME (alias weir::NAME) that
# tests link alone, and one test program weir_NAME_test made of TESTS.
#   DEPENDS         modules that it may include (must also stand in cmake/layers.txt)
#   LIBRARIES       outside libraries that it links
#   TEST_LIBRARIES  outside libraries or modules that only its tests link
# weir_library() gathers the objects of all modules into the one library that is installed, libweir.

add_library(weir_options INTERFACE)
target_compile_options(weir_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wcast-qual)
# Warnings of g++ 12 that are wrong about the standard library's own strings and optionals.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(weir_options INTERFACE -Wno-restrict -Wno-maybe-uninitialized -Wno-stringop-overflow)
endif()
if(WEIR_WERROR)
  target_compile_options(weir_options INTERFACE -Werror)
endif()
if(WEIR_SANITIZE)
  target_compile_options(weir_options INTERFACE -fsanitize=${WEIR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(weir_options INTERFACE -fsanitize=${WEIR_SANITIZE})
endif()
if(WEIR_COVERAGE)
  target_compile_options(weir_options INTERFACE --coverage -O0)
  target_link_options(weir_options INTERFACE --coverage)
endif()

set_property(GLOBAL PROPERTY WEIR_MODULES "")
set_property(GLOBAL PROPERTY WEIR_LIBRARIES "")

function(weir_module name)
  cmake_parse_arguments(M "" "" "SOURCES;TESTS;DEPENDS;LIBRARIES;TEST_LIBRARIES" ${ARGN})
  set_property(GLOBAL APPEND PROPERTY WEIR_MODULES ${name})
  set_property(GLOBAL APPEND PROPERTY WEIR_LIBRARIES ${M_LIBRARIES})

  add_library(weir_${name}_objects OBJECT ${M_SOURCES})
  target_include_directories(weir_${name}_objects
    PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(weir_${name}_objects PRIVATE weir_options ${M_LIBRARIES} tl::expected)

  add_library(weir_${name} STATIC $<TARGET_OBJECTS:weir_${name}_objects>)
  add_library(weir::${name} ALIAS weir_${name})
  set_target_properties(weir_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(weir_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include)
  list(TRANSFORM M_DEPENDS PREPEND weir_ OUTPUT_VARIABLE module_targets)
  target_link_libraries(weir_${name} PUBLIC ${module_targets} ${M_LIBRARIES} tl::expected)

  if(WEIR_BUILD_TESTS AND M_TESTS)
    weir_test(weir_${name}_test SOURCES ${M_TESTS} LIBRARIES weir_${name} ${M_TEST_LIBRARIES})
  endif()
endfunction()

# weir_test(NAME SOURCES ... LIBRARIES ...): a GoogleTest program; every TEST in it is one ctest entry.
# WEIR_SHARED (cases from real systems) and WEIR_SOURCE_DIR are in the environment of each test.
function(weir_test name)
  cmake_parse_arguments(T "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  # Tests are compiled quickly rather than well; what they test keeps its flags.
  target_compile_options(${name} PRIVATE $<$<NOT:$<CONFIG:Debug>>:-O1>)
  target_link_libraries(${name} PRIVATE weir_options ${T_LIBRARIES} GTest::gtest GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${name} NO_PRETTY_VALUES DISCOVERY_TIMEOUT 120 PROPERTIES
    ENVIRONMENT "WEIR_SOURCE_DIR=${PROJECT_SOURCE_DIR}" TIMEOUT 600)
endfunction()

function(weir_library)
  get_property(modules GLOBAL PROPERTY WEIR_MODULES)
  get_property(libraries GLOBAL PROPERTY WEIR_LIBRARIES)
  list(REMOVE_DUPLICATES libraries)
  set(objects "")
  foreach(module IN LISTS modules)
    list(APPEND objects $<TARGET_OBJECTS:weir_${module}_objects>)
  endforeach()
  add_library(weir ${objects})
  add_library(weir::weir ALIAS weir)
  set_target_properties(weir PROPERTIES LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION} SOVERSION 0)
  target_include_directories(weir INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(weir INTERFACE cxx_std_20)
  target_link_libraries(weir PRIVATE $<BUILD_INTERFACE:weir_options> ${libraries} PUBLIC tl::expected)
endfunction()
