// Functions of a shared library that is opened when it is first needed, and may be missing.
//
// The caller declares a struct of pointers to functions, named as the library names them, and fills it:
//
//   struct Library { decltype(&::cs_open) cs_open; decltype(&::cs_close) cs_close; };
//   static const auto library = open_library<Library>("libcapstone.so.4", RTLD_LAZY, [](void* handle, Library& to) {
//     return find_symbol(handle, "cs_open", to.cs_open) && find_symbol(handle, "cs_close", to.cs_close);
//   });
//
// A library stays open until the program ends.
#pragma once

#include <dlfcn.h>

#include <memory>

namespace weir {

template <typename Function>
bool find_symbol(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

// Null where the library is not installed, or `fill` finds that it lacks a function.
template <typename Library, typename Fill>
std::unique_ptr<const Library> open_library(const char* file, int mode, Fill fill) {
  void* const handle = ::dlopen(file, mode | RTLD_LOCAL);
  if (handle == nullptr) return nullptr;
  auto library = std::make_unique<Library>();
  return fill(handle, *library) ? std::move(library) : nullptr;
}

}  // namespace weir
