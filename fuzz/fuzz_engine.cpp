// Any bytes as a classic program and packets: every engine gives the reference's verdict.
//
// The first byte says how many instructions follow, eight bytes each; fields that a checker would refuse are bent into
// range, so that most inputs are programs that run. The rest is cut into packets, which end where a page ends.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <weir/cbpf/opcode_info.h>
#include <weir/cbpf/text.h>
#include <weir/engine/engine.h>

#include "reference/reference_interpreter.h"

namespace {

using namespace weir;

cbpf::Program program_of(const std::uint8_t* data, std::size_t count) {
  const auto table = cbpf::opcodes();
  std::vector<cbpf::Instruction> program;
  for (std::uint32_t i = 0; i < cbpf::kScratchWords; ++i) program.push_back(cbpf::make(cbpf::Opcode::kSt, i));
  for (std::size_t i = 0; i < count; ++i, data += 8) {
    const cbpf::OpcodeInfo& info = table[data[0] % table.size()];
    cbpf::Instruction one = cbpf::make(info.opcode);
    std::memcpy(&one.k, data + 4, 4);
    const std::size_t left = count - i;  // instructions after this one, the last `ret` included
    const bool division = info.opcode == cbpf::Opcode::kDivK || info.opcode == cbpf::Opcode::kModK;
    switch (info.shape) {
      case cbpf::OperandShape::kScratch: one.k %= cbpf::kScratchWords; break;
      case cbpf::OperandShape::kJump: one.k %= static_cast<std::uint32_t>(left); break;
      case cbpf::OperandShape::kAbsolute:
      case cbpf::OperandShape::kIndirect:
      case cbpf::OperandShape::kHeaderLength:
        if (data[1] % 8 != 0) one.k %= 80;
        break;
      case cbpf::OperandShape::kBranchConstant:
      case cbpf::OperandShape::kBranchIndex:
        one.jt = static_cast<std::uint8_t>(data[2] % left);
        one.jf = static_cast<std::uint8_t>(data[3] % left);
        if (data[1] % 2 == 0) one.k &= 0xff;
        break;
      default: break;
    }
    if (info.opcode == cbpf::Opcode::kLshK || info.opcode == cbpf::Opcode::kRshK) one.k &= 31;
    if (division && one.k == 0) one.k = 1;
    program.push_back(one);
  }
  program.push_back(cbpf::make(cbpf::Opcode::kRetA));
  return cbpf::Program(std::move(program));
}

// One page for each of ten packets, with nothing mapped between them.
constexpr std::size_t kPackets = 10;
std::uint8_t* pages(std::size_t& page) {
  static const auto kPage = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  static std::uint8_t* const kBase = [] {
    auto* base = static_cast<std::uint8_t*>(
        ::mmap(nullptr, (2 * kPackets + 1) * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (std::size_t i = 0; i < kPackets; ++i) ::mprotect(base + (2 * i + 1) * kPage, kPage, PROT_READ | PROT_WRITE);
    return base;
  }();
  page = kPage;
  return kBase;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t count = data[0] % 64;
  const std::size_t longest = data[1] % 128;
  if (size < 2 + 8 * count) return 0;
  const auto program = cbpf::check(program_of(data + 2, count), {.target = cbpf::Target::kUser});
  if (!program) return 0;
  for (const cbpf::Instruction& one : program->program())
    if (one.k == cbpf::kExtensionBase + static_cast<std::uint32_t>(cbpf::Extension::kRandom)) return 0;
  data += 2 + 8 * count;
  size -= 2 + 8 * count;
  std::size_t page = 0;
  std::uint8_t* const base = pages(page);
  std::uint32_t offsets[kPackets];
  std::uint32_t lengths[kPackets];
  std::uint32_t expected[kPackets];
  const packet::Columns columns{base, offsets, lengths, nullptr, nullptr, kPackets};
  for (std::size_t i = 0; i < kPackets; ++i) {
    const std::size_t length = std::min(size, longest - longest * (i % 3) / 4);
    offsets[i] = static_cast<std::uint32_t>((2 * i + 1) * page + (i % 4 == 3 ? 0 : page - length));
    lengths[i] = static_cast<std::uint32_t>(length);
    std::memcpy(base + offsets[i], data, length);
    data += length;
    size -= length;
    expected[i] = reference::run(program->program(), columns[i]).verdict;
  }
  for (const engine::KindInfo& info : engine::kinds()) {
    const auto engine = engine::load(*program, {.kind = info.kind});
    if (!engine) continue;
    std::uint32_t verdicts[kPackets] = {};
    (*engine)->run(columns, verdicts);
    for (std::size_t i = 0; i < kPackets; ++i) {
      if (verdicts[i] == expected[i] && (*engine)->run(columns[i]) == expected[i]) continue;
      std::fprintf(stderr, "%s says %u, the reference %u, packet %zu of\n%s", std::string(info.name).c_str(),
                   verdicts[i], expected[i], i, cbpf::write(program->program(), cbpf::Format::kText).c_str());
      std::abort();
    }
  }
  return 0;
}
