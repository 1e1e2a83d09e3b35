// System calls by architecture: names, numbers, and the architectures' numbers in seccomp filters.
//
// The table is syscalls.def, made from the kernel's user-space headers. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace weir::kernel {

enum class Architecture : std::uint8_t { kX86_64, kI386, kX32, kAarch64, kArm, kRiscv64 };

// x32 shares x86_64's number and marks its calls with this bit.
inline constexpr std::uint32_t kX32Bit = 0x40000000;

struct ArchitectureInfo {
  Architecture architecture;
  std::string_view name;      // "x86_64"
  std::uint32_t audit;        // AUDIT_ARCH_*: what seccomp_data.arch holds
  std::uint32_t number_bits;  // set in seccomp_data.nr of every call: kX32Bit or 0
};
std::span<const ArchitectureInfo> architectures();
const ArchitectureInfo& info(Architecture architecture);
std::optional<Architecture> architecture_named(std::string_view name);
std::string architecture_hint(std::string_view name);  // for a name that is none: the one that was meant, or all
Architecture native_architecture();
// The architectures whose programs this one's kernel may run too: i386 and x32 beside x86_64.
std::span<const Architecture> siblings(Architecture architecture);

struct Syscall {
  std::string_view name;
  std::int32_t numbers[6];  // by Architecture, without number_bits; -1: there is none
};
std::span<const Syscall> syscalls();  // by name
const Syscall* find_syscall(std::string_view name);
std::string syscall_hint(std::string_view name);  // for a name that is none: the one that was meant, or nothing
// As seccomp_data.nr holds it; none when the architecture has no such call.
std::optional<std::uint32_t> number_of(const Syscall& syscall, Architecture architecture);
// The name of a number of this architecture; empty when unknown.
std::string_view syscall_name(std::uint32_t number, Architecture architecture);

}  // namespace weir::kernel
