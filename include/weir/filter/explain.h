// What an expression or a classic program matches, in plain words.
//
// An expression becomes an outline of its tests, in the order in which they are made. A program becomes the ways in
// which it accepts a packet, each a list of what must hold; fields are named where the link type tells what lies there.
// Programs of any length take bounded time and memory: 24 ways are told, 2000 tests of each, as far as 200,000 steps
// along the program's ways lead; where something is left out, a sentence says what, and how much of the program was
// reached.
// Text for people: its wording may change. Thread-safe: no state.
#pragma once

#include <string>

#include <weir/cbpf/program.h>
#include <weir/filter/ast.h>
#include <weir/filter/bind.h>

namespace weir::filter {

std::string explain(const Ast& ast, const BindOptions& options = {});
std::string explain(const cbpf::Checked& program, packet::LinkType link_type);

}  // namespace weir::filter
