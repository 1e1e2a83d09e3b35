// A program in assembler language: assemble() makes the same bytes of it, whatever the program is.
#pragma once

#include <string>

#include <weir/cbpf/program.h>

namespace weir::cbpf {

std::string disassemble(const Program& program);

}  // namespace weir::cbpf
