// Calls of helper functions. Exports call_helper.
//
// Each argument is looked at as the prototype says; memory that a helper reads or writes must be the program's.
#include "engine/ebpf_helpers.h"

namespace weir::engine {
namespace {

using runtime::ArgumentKind;

// The most that one argument's memory may be, so that sums do not wrap.
constexpr std::uint64_t kLargest = 1ull << 30;

bool argument_is_good(const Code& code, const Memory& memory, const runtime::Invocation& run, ArgumentKind kind,
                      const std::uint64_t* value, runtime::Map*& map) {
  const std::uint64_t it = *value;
  switch (kind) {
    case ArgumentKind::kNone:
    case ArgumentKind::kAnything:
    case ArgumentKind::kConstantText:  // the helper looks at it itself
    case ArgumentKind::kConstantSize: return true;
    case ArgumentKind::kContext: return it == run.arguments[0];
    case ArgumentKind::kMap: map = code.map_at(it); return map != nullptr;
    case ArgumentKind::kMapKey: return map != nullptr && memory.allows(it, map->key_size(), false);
    case ArgumentKind::kMapValue: return map != nullptr && memory.allows(it, map->value_size(), false);
    case ArgumentKind::kMapValueOut: return map != nullptr && memory.allows(it, map->value_size(), true);
    case ArgumentKind::kMemoryOrNull:
      if (it == 0) return value[1] == 0;
      [[fallthrough]];
    case ArgumentKind::kMemory: return value[1] == 0 || (value[1] < kLargest && memory.allows(it, value[1], false));
    case ArgumentKind::kMemoryOut: return value[1] == 0 || (value[1] < kLargest && memory.allows(it, value[1], true));
    case ArgumentKind::kSize: return it != 0;
    case ArgumentKind::kSizeOrZero: return true;
    case ArgumentKind::kRecord:
      for (const auto& ring : code.maps)
        if (ring->definition().type == ebpf::MapType::kRingbuf &&
            static_cast<const runtime::RingBuffer&>(*ring).reserved_size(reinterpret_cast<const void*>(it)).has_value())
          return true;
      return false;
    case ArgumentKind::kText: {
      for (std::uint64_t i = 0; i < kLargest; ++i) {
        if (!memory.allows(it + i, 1, false)) return false;
        if (*reinterpret_cast<const char*>(it + i) == '\0') return true;
      }
      return false;
    }
    default: return false;  // for helpers that exist in kernels only
  }
}

}  // namespace

HelperResult call_helper(const Code& code, const Memory& memory, runtime::Invocation& run,
                         const runtime::HelperEntry* helper, std::int32_t number, const std::uint64_t* registers) {
  if (helper == nullptr || helper->function == nullptr)
    return {0, Fault::kHelper, static_cast<std::uint64_t>(std::int64_t{number})};
  runtime::Map* map = nullptr;
  for (std::size_t i = 0; i < 5; ++i)
    if (!argument_is_good(code, memory, run, helper->prototype.arguments[i], &registers[i + 1], map))
      return {0, Fault::kArgument, i + 1};
  // What a map of one type does not do is said by the map; reference maps give no value that a program may write.
  return {helper->function(run, registers[1], registers[2], registers[3], registers[4], registers[5])};
}

}  // namespace weir::engine
