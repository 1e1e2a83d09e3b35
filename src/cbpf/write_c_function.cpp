// A program as a function in C. Exports write_c_function.
//
// C99 without a library: an instruction is a line or two, a jump a goto, so a compiler sees the whole program and makes
// of it what it can. The meaning is Linux's, as everywhere in weir: 32 bits wrap, a load beyond the packet or a
// division by 0 ends with the verdict 0. What the kernel knows of a packet beside its bytes comes from a function that
// the caller gives.
#include <weir/cbpf/text.h>

#include <vector>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

#include "cbpf/write_source.h"

namespace weir::cbpf {
namespace {

constexpr std::string_view kLoad =
    R"(static int {0}_load(const uint8_t *packet, uint32_t length, uint32_t at, uint32_t size, uint32_t *out)
{{
	uint32_t value = 0, i;

	if (at > length || length - at < size)
		return 0;
	for (i = 0; i < size; i++)
		value = value << 8 | packet[at + i];
	*out = value;
	return 1;
}}

)";

constexpr std::string_view kHead = R"(/*
 * The verdict: how many bytes of the packet to keep, 0 for none. packet has length bytes, on the wire it had wire_length.
 * extension(context, number, a, x) gives what the kernel knows of it, by the numbers SKF_AD_* of <linux/filter.h>; all of
 * that is 0 if the pointer is null.
 */
uint32_t {0}(const uint8_t *packet, uint32_t length, uint32_t wire_length,
	uint32_t (*extension)(void *context, uint32_t number, uint32_t a, uint32_t x), void *context)
{{
	uint32_t a = 0, x = 0, m[16] = {{0}};

	(void)packet, (void)length, (void)wire_length, (void)extension, (void)context, (void)a, (void)x, (void)m;
)";

class Writer {
 public:
  Writer(const Program& program, std::string_view name) : program_(program), name_(name), target_(program.size()) {}

  std::string run() {
    bool loads = false;
    for (std::size_t at = 0; at < program_.size(); ++at) {
      mark_targets(at);
      const OpcodeInfo& info = *find(program_[at].code);
      loads = loads || info.shape == OperandShape::kIndirect || info.shape == OperandShape::kHeaderLength ||
              (info.shape == OperandShape::kAbsolute && program_[at].k < kExtensionBase);
    }
    std::string out = "#include <stdint.h>\n\n";
    if (loads) out += fmt::format(kLoad, name_);
    out += fmt::format(kHead, name_);
    for (std::size_t at = 0; at < program_.size(); ++at) {
      if (target_[at]) out += fmt::format("l{}:\n", at);
      out += fmt::format("\t/* {}: {} */\n\t{}\n", at, program_remark(program_, at), statement(at));
    }
    return out + "}\n";
  }

 private:
  void mark_targets(std::size_t at) {
    const Instruction& i = program_[at];
    const OperandShape shape = find(i.code)->shape;
    if (shape == OperandShape::kJump) return mark(at, i.k);
    if (shape != OperandShape::kBranchConstant && shape != OperandShape::kBranchIndex) return;
    if (i.jt == i.jf) return mark(at, i.jt);
    mark(at, i.jt);
    mark(at, i.jf);
  }
  void mark(std::size_t at, std::uint32_t skip) {
    if (skip != 0) target_[at + 1 + skip] = true;
  }

  // Nothing where the next instruction is the target.
  static std::string go(std::size_t at, std::uint32_t skip) {
    return skip == 0 ? std::string() : fmt::format("goto l{};", at + 1 + skip);
  }

  std::string branch(std::size_t at, std::string_view condition) const {
    const Instruction& i = program_[at];
    if (i.jt == i.jf) return i.jt == 0 ? ";" : go(at, i.jt);
    if (i.jt == 0) return fmt::format("if (!({}))\n\t\t{}", condition, go(at, i.jf));
    const std::string otherwise = i.jf == 0 ? "" : "\n\t" + go(at, i.jf);
    return fmt::format("if ({})\n\t\t{}{}", condition, go(at, i.jt), otherwise);
  }

  std::string load(std::string_view from, unsigned size, std::string_view to) const {
    return fmt::format("if (!{}_load(packet, length, {}, {}, &{}))\n\t\treturn 0;", name_, from, size, to);
  }

  std::string absolute(std::uint32_t k, unsigned size) const {
    if (k < kExtensionBase) return load(fmt::format("{}u", k), size, "a");
    const std::uint32_t number = k - kExtensionBase;
    if (number == static_cast<std::uint32_t>(Extension::kXorX)) return "a ^= x;";
    return fmt::format("a = extension ? extension(context, {}, a, x) : 0;", number);
  }

  std::string statement(std::size_t at) const {
    const std::uint32_t k = program_[at].k;
    const auto with = [](std::string_view form, std::uint32_t value) { return fmt::format(fmt::runtime(form), value); };
    switch (program_[at].opcode()) {
      case Opcode::kLdImmediate: return with("a = {}u;", k);
      case Opcode::kLdWordAbsolute: return absolute(k, 4);
      case Opcode::kLdHalfAbsolute: return absolute(k, 2);
      case Opcode::kLdByteAbsolute: return absolute(k, 1);
      case Opcode::kLdWordIndirect: return load(with("x + {}u", k), 4, "a");
      case Opcode::kLdHalfIndirect: return load(with("x + {}u", k), 2, "a");
      case Opcode::kLdByteIndirect: return load(with("x + {}u", k), 1, "a");
      case Opcode::kLdScratch: return with("a = m[{}];", k);
      case Opcode::kLdLength: return "a = wire_length;";
      case Opcode::kLdxImmediate: return with("x = {}u;", k);
      case Opcode::kLdxScratch: return with("x = m[{}];", k);
      case Opcode::kLdxLength: return "x = wire_length;";
      case Opcode::kLdxHeaderLength: return load(with("{}u", k), 1, "x") + "\n\tx = 4 * (x & 15);";
      case Opcode::kSt: return with("m[{}] = a;", k);
      case Opcode::kStx: return with("m[{}] = x;", k);
      case Opcode::kAddK: return with("a += {}u;", k);
      case Opcode::kAddX: return "a += x;";
      case Opcode::kSubK: return with("a -= {}u;", k);
      case Opcode::kSubX: return "a -= x;";
      case Opcode::kMulK: return with("a *= {}u;", k);
      case Opcode::kMulX: return "a *= x;";
      case Opcode::kDivK: return with("a /= {}u;", k);
      case Opcode::kDivX: return "if (x == 0)\n\t\treturn 0;\n\ta /= x;";
      case Opcode::kModK: return with("a %= {}u;", k);
      case Opcode::kModX: return "if (x == 0)\n\t\treturn 0;\n\ta %= x;";
      case Opcode::kOrK: return with("a |= {:#x}u;", k);
      case Opcode::kOrX: return "a |= x;";
      case Opcode::kAndK: return with("a &= {:#x}u;", k);
      case Opcode::kAndX: return "a &= x;";
      case Opcode::kXorK: return with("a ^= {:#x}u;", k);
      case Opcode::kXorX: return "a ^= x;";
      case Opcode::kLshK: return with("a <<= {};", k);
      case Opcode::kLshX: return "a <<= x & 31;";
      case Opcode::kRshK: return with("a >>= {};", k);
      case Opcode::kRshX: return "a >>= x & 31;";
      case Opcode::kNeg: return "a = 0u - a;";
      case Opcode::kJa: return k == 0 ? ";" : go(at, k);
      case Opcode::kJeqK: return branch(at, with("a == {:#x}u", k));
      case Opcode::kJeqX: return branch(at, "a == x");
      case Opcode::kJgtK: return branch(at, with("a > {:#x}u", k));
      case Opcode::kJgtX: return branch(at, "a > x");
      // Compilers warn of what is always true.
      case Opcode::kJgeK: return branch(at, k == 0 ? "1" : with("a >= {:#x}u", k));
      case Opcode::kJgeX: return branch(at, "a >= x");
      case Opcode::kJsetK: return branch(at, with("a & {:#x}u", k));
      case Opcode::kJsetX: return branch(at, "a & x");
      case Opcode::kRetK: return with("return {}u;", k);
      case Opcode::kRetA: return "return a;";
      case Opcode::kTax: return "x = a;";
      case Opcode::kTxa: return "a = x;";
    }
    return ";";
  }

  const Program& program_;
  std::string_view name_;
  std::vector<bool> target_;
};

}  // namespace

std::string write_c_function(const Checked& program, std::string_view name) {
  return Writer(program.program(), name).run();
}

}  // namespace weir::cbpf
