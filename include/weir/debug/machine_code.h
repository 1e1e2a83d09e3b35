// Machine code as text: what compilers of BPF programs made, read back.
//
// x86 comes in the form that objdump prints (AT&T syntax), which is what bpf_jit_disasm shows; other processors come as
// their manuals write them. Bytes that are no instruction are shown as "(bad)", one byte a line, and never an error:
// the listing always covers all bytes. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/base/error.h>

namespace weir::debug {

enum class Processor : std::uint8_t {
  kX86_64,
  kX86,
  kArm64,
  kArm,
  kPowerPc64,
  kPowerPc64Little,
  kS390x,
  kSparc64,
  kMips64
};

std::string_view name_of(Processor processor);
// By name as uname -m gives it ("x86_64", "aarch64"); an error names those that are known.
Result<Processor> read_processor(std::string_view name);
// The processor that this program runs on.
Processor native_processor();

// Whether code for this processor can be read. It always can for x86; other processors need the library capstone, which
// is looked for here: kUnsupported where it is not installed. disassemble() then shows all bytes as "(bad)".
Status can_disassemble(Processor processor);

struct MachineInstruction {
  std::uint64_t offset = 0;               // from the start of the code
  std::uint32_t size = 0;                 // bytes
  std::string text{};                     // "mov    %rsp,%rbp"
  std::optional<std::uint64_t> target{};  // of a jump or call with a fixed target: its address
};

struct MachineCodeOptions {
  Processor processor = native_processor();
  std::uint64_t address = 0;  // where the code lies; targets of jumps and calls are shown relative to it
};

std::vector<MachineInstruction> disassemble(ByteSpan code, const MachineCodeOptions& options = {});

// One instruction a line, as bpf_jit_disasm prints it: the offset in hexadecimal, and with `opcodes` its bytes below
// it.
std::string machine_code_text(ByteSpan code, const std::vector<MachineInstruction>& instructions, bool opcodes);

}  // namespace weir::debug
