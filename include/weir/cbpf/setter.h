// Handing a program to whatever takes one: the interface that sockets, captures and tests implement.
//
// Implementers get a Checked, so they need not look at it again. A Setter keeps nothing of the program after the call
// unless it says so. Thread safety is the implementer's to state.
#pragma once

#include <span>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/cbpf/typed.h>

namespace weir::cbpf {

class Setter {
 public:
  virtual ~Setter() = default;
  // Takes the program in place of the one before, or fails and keeps that.
  virtual Status set_filter(const Checked& program) = 0;
};

// Checks for the target, and hands over: errors carry the place of the instruction, or are the setter's own.
Status set_filter(Setter& setter, Program program, const CheckOptions& options = {});
// Assembles, checks, hands over.
Status set_filter(Setter& setter, std::span<const typed::Instruction> instructions, const CheckOptions& options = {});

}  // namespace weir::cbpf
