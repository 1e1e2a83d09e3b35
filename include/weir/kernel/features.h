// What the running kernel can do with extended programs: asked of it, once a process.
//
// Each answer is true, false, or the error that kept the question from being asked (ErrorCode::kSystem, EPERM without
// CAP_BPF); answers are kept, errors are not. A question loads a tiny program or makes a small map and drops it again;
// nothing is attached. Thread-safe.
#pragma once

#include <span>
#include <string_view>

#include <weir/base/error.h>
#include <weir/ebpf/names.h>

namespace weir::kernel {

enum class Feature : std::uint8_t {
#define WEIR_KERNEL_FEATURE(name, text, since, meaning) name,
#include <weir/kernel/features.def>
#undef WEIR_KERNEL_FEATURE
};

struct FeatureInfo {
  Feature feature{};
  std::string_view text{};     // "bounded_loops"
  std::string_view since{};    // "5.3"
  std::string_view meaning{};  // in a few words
};
std::span<const FeatureInfo> features();

Result<bool> has(Feature feature);
Result<bool> has(ebpf::ProgramType type);
Result<bool> has(ebpf::MapType type);
// Whether programs of this type may call the helper. ErrorCode::kUnsupported for types that cannot be loaded without
// knowing what they attach to (tracing, lsm, ext, struct_ops).
Result<bool> has(ebpf::ProgramType type, ebpf::Helper helper);

}  // namespace weir::kernel
