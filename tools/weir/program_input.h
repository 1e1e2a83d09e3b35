// Programs and captures that verbs take as arguments.
#pragma once

#include <string>
#include <string_view>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/packet/link_type.h>

namespace weir::tool {

// Reads a program in any form from a file ("-": standard input) and checks it for the target. An error's place is in
// `text`, when that is not null: it gets the text of the file.
Result<cbpf::Checked> read_checked(const std::string& path, cbpf::Target target, std::string* text);

// The error of a text that is no classic program, with the name of its file; where it is an extended one, it says that.
Error in_program(Error error, std::string_view text, const std::string& path);

}  // namespace weir::tool
