// Runs AArch64 code of extended programs beside the interpreter: built by a cross compiler with weir's own sources, run
// under qemu-user by ebpf_a64_test.cpp.
//
// Standard input: programs one after another, each: whose helpers it calls (1: the conformance suite's), the slots, the
// maps (type, key, value, entries), where they are named (slot, map), the memory, and the machine code; counts come
// first, all numbers have 32 bits. Standard output: for each the interpreter's fault and slot, the machine code's fault
// and slot, whether memory and maps are equal afterwards, and both results (64 bits).
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include <weir/engine/ebpf.h>

#include "conformance/helpers.h"
#include "engine/ebpf_native.h"

namespace {

std::vector<std::uint8_t> given_code;

bool read_all(void* to, std::size_t size) { return std::fread(to, 1, size, stdin) == size; }
std::uint32_t number() {
  std::uint32_t value = 0;
  read_all(&value, sizeof value);
  return value;
}
void put(std::uint32_t value) { std::fwrite(&value, sizeof value, 1, stdout); }

struct Ran {
  weir::engine::Outcome outcome;
  std::vector<std::uint8_t> memory, values;
};

Ran run(const weir::ebpf::Checked& program, std::vector<std::uint8_t> memory, bool conformance,
        weir::engine::ExtendedKind kind) {
  using namespace weir;
  engine::ExtendedOptions options;
  if (conformance) options = tests::conformance_options();
  options.budget = 100000;
  options.kind = kind;
  const auto loaded = engine::load_extended(program, options);
  if (!loaded) {
    std::fprintf(stderr, "%s\n", loaded.error().message.c_str());
    return {};
  }
  static std::uint8_t room[4096];  // at one place for both
  std::memcpy(room, memory.data(), memory.size());
  runtime::Invocation invocation;
  if (!memory.empty()) {
    const auto address = reinterpret_cast<std::uint64_t>(room);
    invocation.arguments = {address, memory.size(), 0, 0, 0};
    invocation.regions = {{address, memory.size(), true}};
    invocation.loads = {room, memory.size()};
  }
  invocation.cpu = 3;
  Ran out{(*loaded)->run(invocation), {room, room + memory.size()}, {}};
  out.outcome.program = nullptr;
  const std::uint32_t key = 0;
  for (const auto& map : (*loaded)->maps())
    if (const auto* value = static_cast<const std::uint8_t*>(map->lookup(&key, 0)))
      out.values.insert(out.values.end(), value, value + map->value_size());
  return out;
}

}  // namespace

namespace weir::engine {
// The machine code that was made on the other machine.
Result<std::unique_ptr<NativeCode>> emit_native(const Code&, const Facts&) {
  std::unique_ptr<NativeCode> native = NativeCode::allocate(given_code.size());
  std::memcpy(native->data(), given_code.data(), given_code.size());
  if (!native->seal(given_code.size())) return fail("code cannot be made executable");
  return native;
}
}  // namespace weir::engine

int main() {
  using namespace weir;
  std::uint32_t conformance = 0;
  while (read_all(&conformance, sizeof conformance)) {
    ebpf::Program program;
    program.instructions.resize(number());
    if (!read_all(program.instructions.data(), program.size() * sizeof(ebpf::Instruction))) return 1;
    program.maps.resize(number());
    for (ebpf::MapDefinition& map : program.maps) {
      map.type = static_cast<ebpf::MapType>(number());
      map.key_size = number();
      map.value_size = number();
      map.max_entries = number();
    }
    program.map_references.resize(number());
    for (ebpf::MapReference& reference : program.map_references) {
      reference.instruction = number();
      reference.map = number();
    }
    std::vector<std::uint8_t> memory(number());
    if (!read_all(memory.data(), memory.size())) return 1;
    given_code.resize(number());
    if (!read_all(given_code.data(), given_code.size())) return 1;
    const auto checked = ebpf::check(program, {.register_calls = true});
    if (!checked) return 2;
    const Ran expected = run(*checked, memory, conformance != 0, engine::ExtendedKind::kInterpreter);
    const Ran native = run(*checked, memory, conformance != 0, engine::ExtendedKind::kNative);
    put(static_cast<std::uint32_t>(expected.outcome.fault));
    put(expected.outcome.instruction);
    put(static_cast<std::uint32_t>(native.outcome.fault));
    put(native.outcome.instruction);
    put(expected.memory == native.memory && expected.values == native.values ? 1 : 0);
    std::fwrite(&expected.outcome.value, 8, 1, stdout);
    std::fwrite(&native.outcome.value, 8, 1, stdout);
  }
  return 0;
}
