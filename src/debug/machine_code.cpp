// Machine code as text, for any processor that Linux compiles BPF for. Exports disassemble, machine_code_text.
//
// x86 is read by Zydis, everything else by capstone. Capstone is opened when it is first needed: its tables have 77,000
// pointers, which the dynamic linker would set at every start of every program, a quarter of the time that a short
// command takes. The file must be of the version whose header this was compiled with.
#include <weir/debug/machine_code.h>

#include <array>

#include <capstone/capstone.h>
#include <fmt/format.h>

#include <weir/base/suggest.h>

#include "base/shared_library.h"
#include "debug/machine_code_x86.h"

namespace weir::debug {
namespace {

struct ProcessorInfo {
  Processor processor;
  std::string_view name;
  cs_arch arch;
  int mode;
  std::uint32_t unit;  // bytes that are skipped when they are no instruction
};

constexpr int mode_bits(unsigned value) { return static_cast<int>(value); }

constexpr std::array kProcessors = {
    ProcessorInfo{Processor::kX86_64, "x86_64", CS_ARCH_X86, CS_MODE_64, 1},
    ProcessorInfo{Processor::kX86, "i386", CS_ARCH_X86, CS_MODE_32, 1},
    ProcessorInfo{Processor::kArm64, "aarch64", CS_ARCH_ARM64, CS_MODE_ARM, 4},
    ProcessorInfo{Processor::kArm, "arm", CS_ARCH_ARM, CS_MODE_ARM, 4},
    ProcessorInfo{Processor::kPowerPc64, "ppc64", CS_ARCH_PPC, mode_bits(0x80000000u | CS_MODE_64), 4},
    ProcessorInfo{Processor::kPowerPc64Little, "ppc64le", CS_ARCH_PPC, CS_MODE_64, 4},
    ProcessorInfo{Processor::kS390x, "s390x", CS_ARCH_SYSZ, mode_bits(0x80000000u), 2},
    ProcessorInfo{Processor::kSparc64, "sparc64", CS_ARCH_SPARC, mode_bits(0x80000000u | CS_MODE_V9), 4},
    ProcessorInfo{Processor::kMips64, "mips64", CS_ARCH_MIPS, mode_bits(0x80000000u | CS_MODE_MIPS64), 4},
};

const ProcessorInfo& info_of(Processor processor) {
  for (const ProcessorInfo& info : kProcessors)
    if (info.processor == processor) return info;
  return kProcessors.front();
}

#define WEIR_TEXT_OF(value) #value
#define WEIR_TEXT(value) WEIR_TEXT_OF(value)
constexpr const char* kLibrary = "libcapstone.so." WEIR_TEXT(CS_API_MAJOR);

// The functions of capstone that are used, with its own names.
struct Library {
  decltype(&::cs_open) cs_open = nullptr;
  decltype(&::cs_close) cs_close = nullptr;
  decltype(&::cs_malloc) cs_malloc = nullptr;
  decltype(&::cs_free) cs_free = nullptr;
  decltype(&::cs_disasm_iter) cs_disasm_iter = nullptr;
};

// Null where the library is not installed.
const Library* find_library() {
  static const auto found = open_library<Library>(kLibrary, RTLD_LAZY, [](void* handle, Library& to) {
    return find_symbol(handle, "cs_open", to.cs_open) && find_symbol(handle, "cs_close", to.cs_close) &&
           find_symbol(handle, "cs_malloc", to.cs_malloc) && find_symbol(handle, "cs_free", to.cs_free) &&
           find_symbol(handle, "cs_disasm_iter", to.cs_disasm_iter);
  });
  return found.get();
}

bool is_x86(Processor processor) { return processor == Processor::kX86_64 || processor == Processor::kX86; }

std::vector<MachineInstruction> disassemble_x86(ByteSpan code, const MachineCodeOptions& options) {
  std::vector<MachineInstruction> out;
  for (std::uint64_t at = 0; at < code.size(); at += out.back().size) {
    out.push_back(decode_x86(code.subspan(at), options.address + at, options.processor == Processor::kX86_64));
    out.back().offset = at;
  }
  return out;
}

std::vector<MachineInstruction> disassemble_other(ByteSpan code, const MachineCodeOptions& options) {
  const ProcessorInfo& info = info_of(options.processor);
  std::vector<MachineInstruction> out;
  csh handle = 0;
  const Library* const capstone = find_library();
  const bool open =
      capstone != nullptr && capstone->cs_open(info.arch, static_cast<cs_mode>(info.mode), &handle) == CS_ERR_OK;
  cs_insn* instruction = open ? capstone->cs_malloc(handle) : nullptr;
  for (std::size_t at = 0; at < code.size();) {
    const std::uint8_t* bytes = code.data() + at;
    std::size_t left = code.size() - at;
    std::uint64_t address = options.address + at;
    if (open && capstone->cs_disasm_iter(handle, &bytes, &left, &address, instruction)) {
      const std::string_view operands = instruction->op_str;
      out.push_back({.offset = at,
                     .size = instruction->size,
                     .text = fmt::format("{}{}{}", instruction->mnemonic, operands.empty() ? "" : "\t", operands)});
    } else {
      const auto rest = static_cast<std::uint32_t>(code.size() - at);
      out.push_back({.offset = at, .size = info.unit < rest ? info.unit : rest, .text = "(bad)"});
    }
    at += out.back().size;
  }
  if (instruction != nullptr) capstone->cs_free(instruction, 1);
  if (open) capstone->cs_close(&handle);
  return out;
}

}  // namespace

std::string_view name_of(Processor processor) { return info_of(processor).name; }

Result<Processor> read_processor(std::string_view name) {
  std::string all;
  for (const ProcessorInfo& info : kProcessors) {
    if (info.name == name) return info.processor;
    all += (all.empty() ? "" : ", ") + std::string(info.name);
  }
  return fail(Error{.code = ErrorCode::kUsage, .message = fmt::format("unknown processor '{}'", name), .hint = all});
}

Processor native_processor() {
#if defined(__aarch64__)
  return Processor::kArm64;
#elif defined(__i386__)
  return Processor::kX86;
#elif defined(__arm__)
  return Processor::kArm;
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
  return Processor::kPowerPc64Little;
#elif defined(__powerpc64__)
  return Processor::kPowerPc64;
#elif defined(__s390x__)
  return Processor::kS390x;
#elif defined(__sparc__)
  return Processor::kSparc64;
#elif defined(__mips64)
  return Processor::kMips64;
#else
  return Processor::kX86_64;
#endif
}

Status can_disassemble(Processor processor) {
  if (is_x86(processor) || find_library() != nullptr) return {};
  return fail(
      Error{.code = ErrorCode::kUnsupported,
            .message = fmt::format("machine code of {} cannot be read: there is no {}", name_of(processor), kLibrary),
            .hint = "install capstone"});
}

std::vector<MachineInstruction> disassemble(ByteSpan code, const MachineCodeOptions& options) {
  return is_x86(options.processor) ? disassemble_x86(code, options) : disassemble_other(code, options);
}

std::string machine_code_text(ByteSpan code, const std::vector<MachineInstruction>& instructions, bool opcodes) {
  std::string out;
  for (const MachineInstruction& instruction : instructions) {
    out += fmt::format("{:4x}:\t{}\n", instruction.offset, instruction.text);
    if (!opcodes) continue;
    out += "\t";
    for (std::uint32_t n = 0; n < instruction.size; ++n) out += fmt::format("{:02x} ", code[instruction.offset + n]);
    out += "\n";
  }
  return out;
}

}  // namespace weir::debug
