// Extended programs ready to run: slots decoded once, what the engines share. Exports Code, Step, prepare.
//
// A Step is a slot with its operation, its target as an index and its constant as 64 bits. The second halves of 64-bit
// constants keep their places, so that indices are slots.
#pragma once

#include <memory>
#include <vector>

#include <weir/ebpf/opcode_info.h>
#include <weir/engine/ebpf.h>

namespace weir::engine {

// Two to five steps that the interpreter does at once where the first of them stands.
enum class Group : std::uint8_t {
  kMovAdd64K,              // rX = rY; rX += K
  kMovAdd64X,              // rX = rY; rX += rZ
  kMovAddJGt64X,           // rX = rY; rX += K; if rX > rZ goto
  kMovAddMov32KJGt64X,     // rX = rY; rX += K; wZ = L; if rX > rA goto: a bound is checked, and what fails is returned
  kMovAddXMovAddJGt64X,    // rX = rY; rX += rZ; rA = rB; rA += K; if rC > rD goto
  kLoad16Add32XAddJNe32K,  // rX = *(u16 *)...; wY += wZ; rA += K; if wB != L goto
  kAddJNe64K,              // rX += K; if rY != L goto
  kAddJNe32K,              // the same with wY
  kAddJLt64K,              // rX += K; if rY < L goto
  kLoad16Add32X,           // rX = *(u16 *)...; wY += wZ
  kMov32KJGt64X,           // wX = K; if rY > rZ goto
  kMov32KJNe32K,           // wX = K; if wY != L goto
  kMov32KJLt32K,           // wX = K; if wY < L goto
  kMov32KJEq32K,           // wX = K; if wY == L goto
  kAnd32KMov32KJNe32K,     // wX &= K; wY = L; if wX != M goto
  kJEqJNe32K,              // if wX == K goto; if wY != L goto
  kCount,
};

struct Step {
  ebpf::Operation operation = ebpf::Operation::kExit;
  std::uint8_t dst = 0;
  std::uint8_t src = 0;
  std::uint8_t dispatch = 0;   // what the interpreter does: an operation, or a group behind all operations
  std::int32_t offset = 0;     // memory: the offset; jumps and calls: the slot they go to
  std::uint64_t constant = 0;  // sign extended; 64-bit constants: whole, addresses of maps filled in

  static constexpr std::uint8_t kSecond = 255;
  // The second half of a 64-bit constant: never run.
  bool is_second() const { return dispatch == kSecond; }
};

// What a proof speaks of: r1 is memory, or the context of a packet.
enum class Sight : std::uint8_t { kMemory, kXdp, kSocket, kOther };

struct Code {
  ebpf::Program program;
  std::vector<Step> steps;
  std::vector<std::shared_ptr<runtime::Map>> maps;
  ExtendedOptions options;
  const runtime::Helpers* helpers = nullptr;
  std::array<const runtime::HelperEntry*, 256> helpers_called{};  // those that the program calls by such a number
  bool proven = false;      // the program is verified: no access and no argument of its calls can be bad
  ebpf::Premise premise{};  // of the proof
  Sight sight = Sight::kOther;
  std::vector<std::uint32_t> callbacks;  // the slots of functions whose addresses the program takes, in order

  const runtime::HelperEntry* helper(std::int32_t number) const {
    const auto at = static_cast<std::uint32_t>(number);
    if (at < helpers_called.size() && helpers_called[at] != nullptr) return helpers_called[at];
    return helpers->find(number);
  }

  // Whether a run is one that the proof is about.
  bool premise_holds(const runtime::Invocation& run) const {
    const auto is = [&](const void* context) { return run.arguments[0] == reinterpret_cast<std::uint64_t>(context); };
    if (sight == Sight::kXdp) return run.packet != nullptr && is(run.packet->xdp_context());
    if (sight == Sight::kSocket)
      return run.packet != nullptr && is(run.packet->socket_context()) && points_to_packet(*run.packet);
    return sight == Sight::kMemory && memory_is_as_proven(run);
  }
  bool memory_is_as_proven(const runtime::Invocation& run) const;
  // Contexts of sockets may be writable for programs that are not verified.
  static bool points_to_packet(const runtime::PacketBuffer& packet);

  // The slot of the function that has this address; negative: none that may be called back.
  std::int64_t callback_at(std::uint64_t address) const;

  // The map at this address that belongs to the program or is inside one of its maps of maps, or null.
  runtime::Map* map_at(std::uint64_t address) const;
};

Result<std::shared_ptr<Code>> prepare(const ebpf::Checked& program, const ExtendedOptions& options);

Result<ExtendedEnginePointer> make_extended_interpreter(std::shared_ptr<const Code> code);

// The code of a program in a program array.
const Code* code_of(const ExtendedEngine& engine);

}  // namespace weir::engine
