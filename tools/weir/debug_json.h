// The debugger for programs: a console whose replies are JSON, an object a line.
#pragma once

#include <weir/debug/extended_console.h>

#include "debug_shell.h"

namespace weir::tool {

// The console must outlive the dialogue.
Dialogue json_dialogue(debug::Console& console);
Dialogue json_dialogue(debug::ExtendedConsole& console);

}  // namespace weir::tool
