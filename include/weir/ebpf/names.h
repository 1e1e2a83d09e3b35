// What Linux numbers, by name: helper functions, kinds of programs and maps, places to attach to.
//
// Texts are the kernel's names in small letters without their prefix: "map_lookup_elem", "xdp", "lru_hash",
// "cgroup_inet_ingress". Unknown numbers are values too: the kernel may be newer than these tables.
// Thread-safe: constant data.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace weir::ebpf {

enum class Helper : std::int32_t {
#define WEIR_EBPF_HELPER(name, number, text) name = number,
#include <weir/ebpf/helpers.def>
#undef WEIR_EBPF_HELPER
};
enum class ProgramType : std::uint32_t {
#define WEIR_EBPF_PROGRAM_TYPE(name, number, text) name = number,
#include <weir/ebpf/program_types.def>
#undef WEIR_EBPF_PROGRAM_TYPE
};
enum class MapType : std::uint32_t {
#define WEIR_EBPF_MAP_TYPE(name, number, text) name = number,
#include <weir/ebpf/map_types.def>
#undef WEIR_EBPF_MAP_TYPE
};
enum class AttachType : std::uint32_t {
#define WEIR_EBPF_ATTACH_TYPE(name, number, text) name = number,
#include <weir/ebpf/attach_types.def>
#undef WEIR_EBPF_ATTACH_TYPE
};

// How programs share a control group. Source: <linux/bpf.h>, BPF_F_ALLOW_*.
enum class CgroupAttach : std::uint32_t { kNone = 0, kOverride = 1, kMulti = 2 };

// All texts of a table; the index is the number.
std::span<const std::string_view> helper_names();
std::span<const std::string_view> program_type_names();
std::span<const std::string_view> map_type_names();
std::span<const std::string_view> attach_type_names();

// The text of a value, or its number as text where the table has none.
std::string name_of(Helper helper);
std::string name_of(ProgramType type);
std::string name_of(MapType type);
std::string name_of(AttachType type);

// By text, with or without the kernel's prefix and in any case: "bpf_map_lookup_elem", "BPF_PROG_TYPE_XDP", "xdp".
std::optional<Helper> find_helper(std::string_view text);
std::optional<ProgramType> find_program_type(std::string_view text);
std::optional<MapType> find_map_type(std::string_view text);
std::optional<AttachType> find_attach_type(std::string_view text);

}  // namespace weir::ebpf
