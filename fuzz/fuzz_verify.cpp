// Any bytes as a program: verify never crashes, and what it accepts runs in the checked interpreter without a fault.
//
// The first byte is the kind of program, the second the length of the memory or packet; then slots of eight bytes, most
// of them bent into instructions that exist and stay within the program, so that many get past the first check.
#include <linux/bpf.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>
#include <weir/verify/verify.h>

namespace {

using namespace weir;

// A field that a check would refuse at once becomes one that it takes.
void bend(std::vector<ebpf::Instruction>& code) {
  for (std::size_t i = 0; i < code.size(); ++i) {
    ebpf::Instruction& it = code[i];
    if (it.code < 0xf8) {  // a row of the table; else what it is
      const ebpf::OpcodeInfo& row = ebpf::opcodes()[it.code % ebpf::opcodes().size()];
      const ebpf::Instruction before = it;
      it = ebpf::make(row.operation);
      it.dst = before.dst % 10;
      if (row.selector != ebpf::Selector::kSource) it.src = before.src % 11;
      if (row.selector != ebpf::Selector::kOffset) it.offset = static_cast<std::int16_t>(before.offset % 64);
      if (row.selector != ebpf::Selector::kImmediate) it.immediate = before.immediate;
      using S = ebpf::OperandShape;
      const bool stores = row.shape == S::kStoreConstant || row.shape == S::kStoreRegister || row.shape == S::kAtomic ||
                          row.shape == S::kAtomicFetch || row.shape == S::kAtomicCompare ||
                          row.shape == S::kStoreRelease;
      if (stores && (before.dst & 8) != 0) it.dst = 10;
      if ((row.shape == S::kLoad || row.shape == S::kLoadAcquire) && (before.src & 8) != 0) it.src = 10;
      if (row.shape == S::kAluConstant || row.shape == S::kNegate || row.shape == S::kByteOrder) it.src = 0;
      const bool memory = stores || row.shape == S::kLoad || row.shape == S::kLoadAcquire;
      const bool jumps = row.shape == S::kJump || ebpf::is_branch(row.shape);
      if (!memory && !jumps && row.selector != ebpf::Selector::kOffset) it.offset = 0;
      if (jumps) it.offset = static_cast<std::int16_t>(before.offset % static_cast<int>(code.size() + 1));
      if (row.shape == S::kCallLocal || row.shape == S::kJumpLong)
        it.immediate = before.immediate % static_cast<int>(code.size() + 1);
      if (row.shape == S::kCallHelper)
        it.immediate = static_cast<std::int32_t>(static_cast<unsigned>(before.immediate) % 212);
      if (ebpf::is_wide(row.shape) && i + 1 < code.size()) {
        if (row.shape == S::kWideMap) {  // one of the maps, by its index
          const bool value = (before.immediate & 1) != 0;
          it.src = value ? ebpf::kPseudoMapIndexValue : ebpf::kPseudoMapIndex;
          it.immediate = static_cast<std::int32_t>(static_cast<unsigned>(before.immediate) / 2 % 5);
        }
        const std::int32_t upper = code[i + 1].immediate;
        code[++i] = ebpf::Instruction{};
        code[i].immediate = it.src == 0 ? upper : it.src == ebpf::kPseudoMapIndexValue ? upper & 31 : 0;
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static runtime::PacketBuffer buffer = std::move(runtime::PacketBuffer::create(256).value());
  if (size < 2 + sizeof(ebpf::Instruction)) return 0;
  constexpr ebpf::ProgramType kTypes[] = {ebpf::ProgramType::kUnspec, ebpf::ProgramType::kXdp,
                                          ebpf::ProgramType::kSchedCls, ebpf::ProgramType::kSocketFilter};
  const ebpf::ProgramType type = kTypes[data[0] % 4];
  const std::size_t length = data[1];
  ebpf::Program program;
  program.instructions.resize(std::min<std::size_t>((size - 2) / sizeof(ebpf::Instruction), 256));
  std::memcpy(program.instructions.data(), data + 2, program.size() * sizeof(ebpf::Instruction));
  bend(program.instructions);
  if ((data[0] & 4) == 0) {
    program.instructions.push_back(ebpf::make(ebpf::Operation::kMov64K));
    program.instructions.push_back(ebpf::make(ebpf::Operation::kExit));
  }
  program.maps = {
      {.name = "hash", .type = ebpf::MapType::kHash, .key_size = 4, .value_size = 16, .max_entries = 4},
      {.name = "array", .type = ebpf::MapType::kArray, .key_size = 4, .value_size = 24, .max_entries = 2},
      {.name = "ring", .type = ebpf::MapType::kRingbuf, .max_entries = 4096},
      {.name = "queue", .type = ebpf::MapType::kQueue, .value_size = 8, .max_entries = 2},
      {.name = "jumps", .type = ebpf::MapType::kProgArray, .key_size = 4, .value_size = 4, .max_entries = 2}};
  verify::Options options;
  options.premise.type = type;
  options.budget = 5000;
  const verify::Report report = verify::examine(program, options);
  if (!report.verified) {
    if (verify::explain(*report.refusal).empty()) std::abort();
    return 0;
  }
  const auto engine = engine::load_extended(report.verified->checked(),
                                            {.kind = engine::ExtendedKind::kInterpreter, .budget = 10'000'000});
  if (!engine) std::abort();
  std::vector<std::uint8_t> bytes(length);
  for (std::size_t i = 0; i < length; ++i) bytes[i] = data[i % size];
  runtime::Invocation run;
  if (type == ebpf::ProgramType::kUnspec) {
    const auto address = reinterpret_cast<std::uint64_t>(bytes.data());
    run.arguments = {bytes.empty() ? 0 : address, bytes.size(), 0, 0, 0};
    run.regions = {{run.arguments[0], bytes.size(), true}};
    run.loads = bytes;
  } else {
    buffer.set(bytes);
    run.packet = &buffer;
    const bool xdp = type == ebpf::ProgramType::kXdp;
    run.arguments[0] = xdp ? reinterpret_cast<std::uint64_t>(buffer.xdp_context())
                           : reinterpret_cast<std::uint64_t>(buffer.socket_context());
    run.regions = {{run.arguments[0], xdp ? sizeof(xdp_md) : sizeof(__sk_buff), !xdp}};
  }
  const engine::Outcome outcome = (*engine)->run(run);
  if (!outcome && outcome.fault != engine::Fault::kHelper) {  // some helpers exist in kernels only
    std::fprintf(stderr, "%s at %u\n%s", engine::describe(outcome).message.c_str(), outcome.instruction,
                 write(program, ebpf::Format::kListing).c_str());
    std::abort();
  }
  return 0;
}
