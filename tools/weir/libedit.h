// libedit, opened when a terminal is edited on: it and the three libraries that it needs would else be loaded by every
// command. Exports Libedit.
#pragma once

#include <histedit.h>

namespace weir::tool {

struct Libedit {
  decltype(&::el_init) el_init = nullptr;
  decltype(&::el_end) el_end = nullptr;
  decltype(&::el_set) el_set = nullptr;
  decltype(&::el_get) el_get = nullptr;
  decltype(&::el_source) el_source = nullptr;
  decltype(&::el_gets) el_gets = nullptr;
  decltype(&::el_line) el_line = nullptr;
  decltype(&::el_cursor) el_cursor = nullptr;
  decltype(&::el_insertstr) el_insertstr = nullptr;
  decltype(&::el_deletestr) el_deletestr = nullptr;
  decltype(&::history_init) history_init = nullptr;
  decltype(&::history_end) history_end = nullptr;
  decltype(&::history) history = nullptr;

  // Null where the library is not installed.
  static const Libedit* find();
};

}  // namespace weir::tool
