// Programs as source code of other languages, and as data.
#pragma once

#include <string>

#include <weir/cbpf/program.h>

namespace weir::cbpf {

std::string write_c_array(const Program& program);
std::string write_go(const Program& program);
std::string write_go_raw(const Program& program);
std::string write_xnet(const Program& program);
std::string write_rust(const Program& program);
std::string write_json(const Program& program);
std::string write_hex(const Program& program);
std::string write_binary(const Program& program);
std::string write_dot(const Program& program);
std::string write_mermaid(const Program& program);

// The instruction of a listing with single blanks: "jeq #0x806 jt 2 jf 3".
std::string program_remark(const Program& program, std::size_t at);

}  // namespace weir::cbpf
