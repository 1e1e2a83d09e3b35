#include "libedit.h"

#include <dlfcn.h>

namespace weir::tool {
namespace {

// Debian's name, and that of others: the interface has been the same since before either.
constexpr const char* kNames[] = {"libedit.so.2", "libedit.so.0"};

template <typename Function>
bool find_function(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

}  // namespace

const Libedit* Libedit::find() {
  static Libedit edit;
  static const bool found = [] {
    void* library = nullptr;
    for (const char* name : kNames)
      if (library == nullptr) library = ::dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    const auto take = [library](const char* name, auto& function) { return find_function(library, name, function); };
    return library != nullptr && take("el_init", edit.el_init) && take("el_end", edit.el_end) &&
           take("el_set", edit.el_set) && take("el_get", edit.el_get) && take("el_source", edit.el_source) &&
           take("el_gets", edit.el_gets) && take("el_line", edit.el_line) && take("el_cursor", edit.el_cursor) &&
           take("el_insertstr", edit.el_insertstr) && take("el_deletestr", edit.el_deletestr) &&
           take("history_init", edit.history_init) && take("history_end", edit.history_end) &&
           take("history", edit.history);
  }();
  return found ? &edit : nullptr;
}

}  // namespace weir::tool
