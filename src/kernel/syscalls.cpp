// The table of system calls. Exports syscalls, find_syscall, syscall_name and the architectures.
#include <weir/kernel/syscalls.h>

#include <vector>

#include <fmt/format.h>

#include <weir/base/suggest.h>

#include <algorithm>

namespace weir::kernel {
namespace {

constexpr Syscall kSyscalls[] = {
#define WEIR_SYSCALL(name, x86_64, i386, x32, aarch64, arm, riscv64) \
  {#name, {x86_64, i386, x32, aarch64, arm, riscv64}},
#include <weir/kernel/syscalls.def>
#undef WEIR_SYSCALL
};

// Numbers: <linux/audit.h>.
constexpr ArchitectureInfo kArchitectures[] = {
    {Architecture::kX86_64, "x86_64", 0xc000003e, 0}, {Architecture::kI386, "i386", 0x40000003, 0},
    {Architecture::kX32, "x32", 0xc000003e, kX32Bit}, {Architecture::kAarch64, "aarch64", 0xc00000b7, 0},
    {Architecture::kArm, "arm", 0x40000028, 0},       {Architecture::kRiscv64, "riscv64", 0xc00000f3, 0},
};

}  // namespace

std::span<const ArchitectureInfo> architectures() { return kArchitectures; }

const ArchitectureInfo& info(Architecture architecture) { return kArchitectures[static_cast<int>(architecture)]; }

std::optional<Architecture> architecture_named(std::string_view name) {
  if (name == "amd64") return Architecture::kX86_64;
  if (name == "x86" || name == "i686") return Architecture::kI386;
  if (name == "arm64") return Architecture::kAarch64;
  for (const ArchitectureInfo& one : kArchitectures)
    if (one.name == name) return one.architecture;
  return std::nullopt;
}

std::string architecture_hint(std::string_view name) {
  std::vector<std::string_view> names;
  for (const ArchitectureInfo& one : architectures()) names.push_back(one.name);
  std::string hint = did_you_mean(name, names);
  return hint.empty() ? fmt::format("there are: {}", fmt::join(names, ", ")) : hint;
}

Architecture native_architecture() {
#if defined(__x86_64__) && defined(__ILP32__)
  return Architecture::kX32;
#elif defined(__i386__)
  return Architecture::kI386;
#elif defined(__aarch64__)
  return Architecture::kAarch64;
#elif defined(__arm__)
  return Architecture::kArm;
#elif defined(__riscv)
  return Architecture::kRiscv64;
#else
  return Architecture::kX86_64;
#endif
}

std::span<const Architecture> siblings(Architecture architecture) {
  static constexpr Architecture kOfX86_64[] = {Architecture::kI386, Architecture::kX32};
  static constexpr Architecture kOfAarch64[] = {Architecture::kArm};
  if (architecture == Architecture::kX86_64) return kOfX86_64;
  if (architecture == Architecture::kAarch64) return kOfAarch64;
  return {};
}

std::span<const Syscall> syscalls() { return kSyscalls; }

const Syscall* find_syscall(std::string_view name) {
  const auto found =
      std::find_if(std::begin(kSyscalls), std::end(kSyscalls), [&](const Syscall& one) { return one.name == name; });
  return found == std::end(kSyscalls) ? nullptr : found;
}

std::string syscall_hint(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Syscall& one : syscalls()) names.push_back(one.name);
  return did_you_mean(name, names);
}

std::optional<std::uint32_t> number_of(const Syscall& syscall, Architecture architecture) {
  const std::int32_t number = syscall.numbers[static_cast<int>(architecture)];
  if (number < 0) return std::nullopt;
  return static_cast<std::uint32_t>(number) | info(architecture).number_bits;
}

std::string_view syscall_name(std::uint32_t number, Architecture architecture) {
  for (const Syscall& one : kSyscalls)
    if (number_of(one, architecture) == number) return one.name;
  return {};
}

}  // namespace weir::kernel
