// Any classic program, optimised: never longer, passes the checker, and has the verdicts that it had.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <weir/cbpf/opcode_info.h>
#include <weir/cbpf/program.h>
#include <weir/flow/optimise.h>

#include "fuzz_verdicts.h"

namespace {

using weir::cbpf::Instruction;

// Eight bytes an instruction: opcodes are taken from the table, jumps lead nearby, and offsets lie in small packets
// most of the time, so that many inputs are programs.
std::vector<Instruction> program_of(const std::uint8_t* data, std::size_t size) {
  std::vector<Instruction> out;
  for (; size >= 8 && out.size() < 60; data += 8, size -= 8) {
    Instruction instruction{};
    std::memcpy(&instruction, data, sizeof instruction);
    instruction.code = static_cast<std::uint16_t>(weir::cbpf::opcodes()[data[0] % weir::cbpf::opcodes().size()].opcode);
    if ((data[1] & 3) != 0) {
      instruction.jt %= 4;
      instruction.jf %= 4;
      instruction.k %= (data[1] & 4) != 0 ? 16 : 80;
    }
    // Random numbers are other ones at each run.
    if (instruction.k == weir::cbpf::kExtensionBase + 56) instruction.k = 0;
    out.push_back(instruction);
  }
  for (int i = 0; i < 5; ++i) out.push_back(weir::cbpf::make(weir::cbpf::Opcode::kRetA));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const auto checked = cbpf::check(cbpf::Program(program_of(data, size)), {.target = cbpf::Target::kUser});
  if (!checked) return 0;
  const cbpf::Program optimised = flow::optimise(*checked);
  fuzz::require(optimised.size() <= checked->program().size());
  fuzz::require(cbpf::check(optimised, {.target = cbpf::Target::kUser}).has_value());
  fuzz::require_equal_verdicts(checked->program(), optimised, size);
  return 0;
}
