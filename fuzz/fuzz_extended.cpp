// Any bytes as an extended program: what check() takes runs in both engines without touching what is not its own, and
// with and without blinded constants.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>

namespace {

void require(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  auto program = ebpf::from_bytes({data, size / 8 * 8});
  if (!program) return 0;
  program->maps = {{"a", ebpf::MapType::kArray, 4, 16, 2}, {"h", ebpf::MapType::kHash, 4, 8, 4}};
  for (std::uint32_t i = 0; i + 1 < program->size(); ++i)
    if (program->instructions[i].code == ebpf::kWideCode) {
      if (program->instructions[i].src != 0)
        program->map_references.push_back({i, static_cast<std::uint32_t>(program->instructions[i].immediate) & 1});
      ++i;
    }
  const auto checked = ebpf::check(std::move(*program));
  if (!checked) return 0;
  for (const engine::ExtendedKind kind : {engine::ExtendedKind::kInterpreter, engine::ExtendedKind::kAutomatic}) {
    const auto loaded =
        engine::load_extended(*checked, {.kind = kind, .budget = 2000, .blind_constants = (size & 8) != 0});
    if (!loaded) continue;
    alignas(16) std::uint8_t room[192];
    std::memset(room, 0x5a, sizeof room);
    runtime::Invocation run;
    run.arguments = {reinterpret_cast<std::uint64_t>(room + 64), 64, 0, 0, 0};
    run.regions = {{run.arguments[0], 64, true}};
    run.loads = {room + 64, 64};
    const engine::Outcome outcome = (*loaded)->run(run);
    if (!outcome) require(!engine::describe(outcome).message.empty());
    for (std::size_t i = 0; i < 64; ++i) require(room[i] == 0x5a && room[128 + i] == 0x5a);
  }
  return 0;
}
