// What all contexts share: registers, the builder, labels of classic instructions. Exports Converter.
//
// Registers as the kernel's converter has them: A is r0, X r7, the context r6, the packet r8, its length or end r9, r2
// is for passing values. M[k] lies at r10 - 4(k + 1).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <weir/convert/convert.h>
#include <weir/ebpf/assembler.h>

#include "convert/facts.h"

namespace weir::convert {

inline constexpr ebpf::Register kA = ebpf::Register::kR0;
inline constexpr ebpf::Register kX = ebpf::Register::kR7;
inline constexpr ebpf::Register kContextRegister = ebpf::Register::kR6;
inline constexpr ebpf::Register kTemporary = ebpf::Register::kR2;
inline constexpr ebpf::Register kData = ebpf::Register::kR8;
inline constexpr ebpf::Register kEnd = ebpf::Register::kR9;  // kKernel: the length of the linear part

// One conversion. A context derives from it and says how packets are read.
class Converter {
 public:
  Converter(const cbpf::Checked& checked, const Options& options)
      : program_(checked.program()), seccomp_(checked.target() == cbpf::Target::kSeccomp), options_(options) {}
  virtual ~Converter() = default;
  Result<ebpf::Program> run();

 protected:
  // The first instructions; those that load the packet's address only if some instruction reads the packet.
  virtual void prologue(bool reads_packet) = 0;
  // A = the bytes at k, or at X + k; ends the program with 0 where they are not there.
  virtual void load_packet(ebpf::Width width, bool indirect, std::uint32_t k) = 0;
  virtual Status load_extension(cbpf::Extension extension) = 0;
  virtual void load_length(ebpf::Register dst) = 0;
  // An absolute load at k fails whatever the packet: what follows is not reached from it.
  virtual bool always_fails(std::uint32_t, unsigned) const { return false; }
  // Where a load at k reads, from the packet's first byte on; UINT32_MAX: that is not known here.
  virtual std::uint32_t place_of(std::uint32_t k) const = 0;
  // Whether a load at X + k that was found to be within the packet shows the same of fixed places before it.
  virtual bool moving_counts() const { return false; }
  virtual std::uint32_t most_bytes() const { return INT32_MAX; }
  // Whether unreachable instructions and fields that nobody reads are kept as the kernel's converter keeps them.
  virtual bool is_literal() const { return false; }

  void end_with_zero();  // A = 0, exit (or what stands for no match)
  void end_with_a() { finish(false, 0); }
  // Ends with zero unless the condition holds.
  void end_unless(ebpf::Condition condition, ebpf::Register left, ebpf::Register right);
  void end_unless(ebpf::Condition condition, ebpf::Register left, std::int32_t right);
  // A = 0, X = 0, as far as they are read.
  void registers_at_start();
  const Facts& facts() const { return facts_.at[at_]; }
  static std::string label(std::size_t index) { return fmt::format("@{}", index); }

  ebpf::Assembler a_;
  const cbpf::Program& program_;
  bool seccomp_;
  const Options& options_;

 private:
  Status instruction(std::size_t at);
  Status load(const cbpf::Instruction& instruction);
  void arithmetic(const cbpf::Instruction& instruction);
  void branch(std::size_t at);
  void finish(bool constant, std::uint32_t value);
  std::vector<bool> reachable() const;
  void find_facts(const std::vector<bool>& reached);
  bool reaches_out();
  bool reads_packet() const;

  static constexpr const char* kOut = "@out";  // where the program ends with zero
  ProgramFacts facts_;
  std::size_t at_ = 0;              // the classic instruction
  std::size_t last_rejection_ = 0;  // the last 'ret #0'; behind the program where there is none
  bool uses_out_ = false;
};

std::unique_ptr<Converter> make_pointer_converter(const cbpf::Checked& checked, const Options& options);
std::unique_ptr<Converter> make_socket_converter(const cbpf::Checked& checked, const Options& options);
std::unique_ptr<Converter> make_kernel_converter(const cbpf::Checked& checked, const Options& options);

inline ebpf::Width width_of(std::uint16_t code) {
  return (code & 0x18) == 0x10 ? ebpf::Width::kByte : (code & 0x18) == 0x08 ? ebpf::Width::kHalf : ebpf::Width::kWord;
}
inline unsigned bytes_of(ebpf::Width width) {
  return width == ebpf::Width::kByte ? 1 : width == ebpf::Width::kHalf ? 2 : 4;
}

}  // namespace weir::convert
