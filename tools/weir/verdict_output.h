// The verifier's verdict on a program, as `weir verify` shows it.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <weir/verify/verify.h>

namespace weir::tool {

struct VerdictRow {
  const ebpf::Program& program;
  ebpf::ProgramType seen_as;   // kUnspec: memory
  const std::string& section;  // empty where there is none
  const verify::Report& report;
};
nlohmann::json verdict_as_json(const VerdictRow& row);
std::string verdict_as_text(const VerdictRow& row);  // whole lines

}  // namespace weir::tool
