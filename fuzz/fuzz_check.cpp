// A program that check() takes reads only packet and scratch memory, and ends: any bytes as a program and a packet.
//
// The packet ends where a page ends and nothing is mapped behind it, and starts where a page starts and nothing is
// mapped before it, so a load outside is a fault; the sanitizers watch scratch memory. A program that does not end runs
// into libFuzzer's time limit (jumps lead forward only: at most one step an instruction).
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <weir/cbpf/opcode_info.h>
#include <weir/cbpf/program.h>
#include <weir/engine/engine.h>

namespace {

// A page between two that cannot be touched.
std::uint8_t* guarded_page(std::size_t page) {
  auto* base = static_cast<std::uint8_t*>(::mmap(nullptr, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (base == MAP_FAILED || ::mprotect(base + page, page, PROT_READ | PROT_WRITE) != 0) std::abort();
  return base + page;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  static std::uint8_t* const memory = guarded_page(page);
  if (size < 2) return 0;
  const std::size_t count = data[0];
  const std::size_t length = data[1];
  data += 2;
  size -= 2;
  std::vector<cbpf::Instruction> code(std::min(count, size / sizeof(cbpf::Instruction)));
  if (!code.empty()) std::memcpy(code.data(), data, code.size() * sizeof(cbpf::Instruction));
  // Most random codes are none: take those of the table half of the time.
  for (cbpf::Instruction& instruction : code)
    if ((instruction.code & 0xff00) != 0)
      instruction.code =
          static_cast<std::uint16_t>(cbpf::opcodes()[(instruction.code >> 8) % cbpf::opcodes().size()].opcode);
  code.push_back(cbpf::make(cbpf::Opcode::kRetA));
  const Result<cbpf::Checked> checked = cbpf::check(cbpf::Program(std::move(code)), {.target = cbpf::Target::kUser});
  if (!checked) return 0;
  const std::size_t bytes = std::min(length, size);
  for (const engine::KindInfo& kind : engine::kinds()) {
    const auto engine = engine::load(*checked, {.kind = kind.kind});
    if (!engine) {
      if (kind.kind == engine::Kind::kInterpreter) std::abort();
      continue;  // not on this machine
    }
    for (std::uint8_t* at : {memory + page - bytes, memory}) {
      std::memcpy(at, data, bytes);
      const packet::Packet packet{at, static_cast<std::uint32_t>(bytes), static_cast<std::uint32_t>(bytes), nullptr};
      const packet::Packet both[] = {packet, packet};
      std::uint32_t verdicts[2] = {};
      (*engine)->run(both, verdicts);
      (*engine)->run(packet);
    }
  }
  return 0;
}
