// What is loaded in the running kernel: the ids of all maps, programs, links and tables of types.
//
// An object may be gone by the time that it is opened by its id: is_not_exist() then. A link that is being made has an
// id already, and gives EAGAIN. Needs CAP_SYS_ADMIN (the kernel asks for it, not CAP_BPF). Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weir/base/error.h>

namespace weir::kernel {

Result<std::vector<std::uint32_t>> map_ids();
Result<std::vector<std::uint32_t>> program_ids();
Result<std::vector<std::uint32_t>> link_ids();
Result<std::vector<std::uint32_t>> type_table_ids();

// What lies in the BPF file systems that are mounted: where, and the id of what it holds. Pins of other kinds (a
// file's and a folder's too) are left out.
struct Pin {
  enum class Kind : std::uint8_t { kMap, kProgram, kLink } kind = Kind::kMap;
  std::uint32_t id = 0;
  std::string path{};
};
std::vector<Pin> pins();

// What a pin holds; an error where the path is none.
Result<Pin> read_pin(const std::string& path);

}  // namespace weir::kernel
