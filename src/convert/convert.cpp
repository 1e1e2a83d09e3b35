// Instruction by instruction from classic to extended. Exports convert.
//
// Arithmetic, jumps, scratch memory and returns are the same for all contexts and stand here; how packets are read is
// theirs. Source: net/core/filter.c, bpf_convert_filter.
#include <weir/cbpf/opcode_info.h>

#include "convert/converter.h"

namespace weir::convert {
namespace {

using cbpf::Opcode;
using ebpf::AluOperation;
using ebpf::Condition;
using ebpf::Register;

// Of the conditions that end_unless() is given.
Condition inverted(Condition condition) {
  switch (condition) {
    case Condition::kEqual: return Condition::kNotEqual;
    case Condition::kNotEqual: return Condition::kEqual;
    case Condition::kGreaterOrEqual: return Condition::kLess;
    default: return Condition::kGreater;  // of kLessOrEqual
  }
}

std::int16_t scratch(std::uint32_t k) { return static_cast<std::int16_t>(-4 * static_cast<int>(k + 1)); }

}  // namespace

bool Converter::reads_packet() const {
  for (const cbpf::Instruction& instruction : program_)
    if (is_packet_load(instruction)) return true;
  return false;
}

// Verifiers refuse code that nothing reaches; classic checkers do not.
std::vector<bool> Converter::reachable() const {
  std::vector<bool> reached(program_.size(), is_literal());
  reached[0] = true;
  for (std::size_t at = 0; at < program_.size(); ++at) {
    if (!reached[at]) continue;
    const cbpf::Instruction& instruction = program_[at];
    const unsigned kind = instruction.code & 7;
    if (kind == 6) continue;
    if (!seccomp_ && is_packet_load(instruction) && (instruction.code & 0xe0) != 0x40 &&
        always_fails(instruction.k,
                     instruction.opcode() == Opcode::kLdxHeaderLength ? 1 : bytes_of(width_of(instruction.code))))
      continue;
    if (instruction.opcode() == Opcode::kJa) reached[at + 1 + instruction.k] = true;
    else if (kind == 5) reached[at + 1 + instruction.jt] = reached[at + 1 + instruction.jf] = true;
    else reached[at + 1] = true;
  }
  return reached;
}

void Converter::find_facts(const std::vector<bool>& reached) {
  last_rejection_ = program_.size();
  if (is_literal()) {
    facts_.at.resize(program_.size());
    return;
  }
  for (std::size_t at = 0; at < program_.size(); ++at)
    if (reached[at] && program_[at].opcode() == Opcode::kRetK && program_[at].k == 0) last_rejection_ = at;
  facts_ = convert::find_facts(
      program_, reached,
      {.place = [this](std::uint32_t k) { return place_of(k); },
       .always_fails = [this](std::uint32_t k, unsigned size) { return !seccomp_ && always_fails(k, size); },
       .moving_counts = moving_counts(),
       .most = most_bytes()});
}

void Converter::registers_at_start() {
  if (facts_.a_is_read) a_.mov32_imm(kA, 0);
  if (facts_.x_is_read) a_.mov32_imm(kX, 0);
}

// Jumps of longer programs may not reach that far.
bool Converter::reaches_out() {
  constexpr std::size_t kMost = 1000;
  if (program_.size() > kMost || at_ > last_rejection_) return false;
  uses_out_ = true;
  return true;
}

void Converter::end_unless(Condition condition, Register left, Register right) {
  if (reaches_out()) a_.jump_reg(inverted(condition), left, right, kOut);
  else a_.jump_reg(condition, left, right, 2), end_with_zero();
}
void Converter::end_unless(Condition condition, Register left, std::int32_t right) {
  if (reaches_out()) a_.jump_imm(inverted(condition), left, right, kOut);
  else a_.jump_imm(condition, left, right, 2), end_with_zero();
}

Result<ebpf::Program> Converter::run() {
  a_.function(options_.name);
  const std::vector<bool> reached = reachable();
  find_facts(reached);
  prologue(!seccomp_ && reads_packet());
  std::vector<std::uint32_t> origin;  // of each slot: the classic instruction
  std::vector<ebpf::SourceLine> lines;
  for (std::size_t at = 0; at < program_.size(); ++at) {
    a_.label(label(at));
    if (!reached[at]) continue;
    at_ = at;
    if (at == last_rejection_) a_.label(kOut);
    origin.resize(a_.size(), static_cast<std::uint32_t>(at == 0 ? 0 : at - 1));
    const auto begin = static_cast<std::uint32_t>(a_.size());
    if (Status status = instruction(at); !status) {
      Error error = std::move(status).error();
      error.place = InstructionPlace{static_cast<std::uint32_t>(at)};
      return fail(std::move(error));
    }
    origin.resize(a_.size(), static_cast<std::uint32_t>(at));
    if (a_.size() > begin) lines.push_back({begin, static_cast<std::uint32_t>(at + 1), 0, options_.name, ""});
  }
  if (uses_out_ && last_rejection_ == program_.size()) {
    a_.label(kOut);
    end_with_zero();
  }
  Result<ebpf::Program> converted = a_.assemble();
  if (!converted) {
    Error error = std::move(converted).error();
    error.code = ErrorCode::kLimit;
    error.message = "a jump is too long for an extended program";
    error.hint = "the program grows when it is converted: make it shorter";
    if (const auto* place = std::get_if<InstructionPlace>(&error.place);
        place != nullptr && place->index < origin.size())
      error.place = InstructionPlace{origin[place->index]};
    return fail(std::move(error));
  }
  converted->name = options_.name;
  converted->lines = std::move(lines);
  return converted;
}

void Converter::end_with_zero() {
  if (options_.returns) a_.mov32_imm(kA, options_.returns->no_match);
  else if (is_literal()) a_.alu32_reg(AluOperation::kXor, kA, kA);
  else a_.mov32_imm(kA, 0);
  a_.exit();
}

// Ends with a verdict: a constant, or what A holds.
void Converter::finish(bool constant, std::uint32_t value) {
  if (!options_.returns) {
    if (constant) a_.mov32_imm(kA, static_cast<std::int32_t>(value));
    a_.exit();
    return;
  }
  if (constant) {
    a_.mov32_imm(kA, value != 0 ? options_.returns->match : options_.returns->no_match).exit();
    return;
  }
  a_.jump_imm(Condition::kEqual, kA, 0, 2).mov32_imm(kA, options_.returns->match).exit();
  a_.mov32_imm(kA, options_.returns->no_match).exit();
}

void Converter::arithmetic(const cbpf::Instruction& instruction) {
  const auto operation = static_cast<AluOperation>(instruction.code & 0xf0);
  const auto k = static_cast<std::int32_t>(instruction.k);
  const bool by_x = (instruction.code & 8) != 0;
  if (by_x && (operation == AluOperation::kDiv || operation == AluOperation::kMod)) {
    a_.mov32_reg(kX, kX);
    if (is_literal()) a_.jump_imm(Condition::kNotEqual, kX, 0, 2), end_with_zero();
    else end_unless(Condition::kNotEqual, kX, 0);
  }
  // The kernel's converter fills both operands, whichever the instruction has.
  if (is_literal()) a_.raw(ebpf::make(static_cast<std::uint8_t>(instruction.code), 0, static_cast<unsigned>(kX), 0, k));
  else if (operation == AluOperation::kNeg) a_.neg32(kA);
  else if (by_x) a_.alu32_reg(operation, kA, kX);
  else a_.alu32_imm(operation, kA, k);
}

void Converter::branch(std::size_t at) {
  const cbpf::Instruction& instruction = program_[at];
  const std::string if_true = label(at + 1 + instruction.jt);
  const std::string if_false = label(at + 1 + instruction.jf);
  auto condition = static_cast<Condition>(instruction.code & 0xf0);
  Register operand = kX;
  bool by_register = (instruction.code & 8) != 0;
  const auto k = static_cast<std::int32_t>(instruction.k);
  if (!by_register && k < 0) {  // the constant would be extended with its sign
    a_.mov32_imm(kTemporary, k);
    operand = kTemporary;
    by_register = true;
  }
  const auto jump = [&](Condition when, const std::string& to) {
    if (by_register) a_.jump_reg(when, kA, operand, to);
    else a_.jump_imm(when, kA, k, to);
    if (is_literal() && operand == kX) a_.set_immediate(k);  // also where it means nothing
  };
  if (instruction.jf == 0) {
    // Both ways lead on: nothing to test, but for the kernel's own form.
    if (instruction.jt != 0 || is_literal()) jump(condition, if_true);
    return;
  }
  if (instruction.jt == 0 && condition != Condition::kSet) {
    const Condition inverted = condition == Condition::kEqual     ? Condition::kNotEqual
                               : condition == Condition::kGreater ? Condition::kLessOrEqual
                                                                  : Condition::kLess;
    return jump(inverted, if_false);
  }
  jump(condition, if_true);
  a_.jump(if_false);
}

Status Converter::load(const cbpf::Instruction& instruction) {
  const Opcode opcode = instruction.opcode();
  const bool absolute = (instruction.code & 0xe0) == 0x20;
  if (opcode == Opcode::kLdxHeaderLength) {
    if (always_fails(instruction.k, 1)) return end_with_zero(), Status{};
    const bool keeps = facts_.at[at_].a_is_read;
    if (keeps) a_.mov64_reg(kX, kA);
    load_packet(ebpf::Width::kByte, false, instruction.k);
    a_.alu32_imm(AluOperation::kAnd, kA, 15).alu32_imm(AluOperation::kLsh, kA, 2);
    if (keeps) a_.mov64_reg(kTemporary, kX);
    a_.mov64_reg(kX, kA);
    if (keeps) a_.mov64_reg(kA, kTemporary);
    return {};
  }
  if (seccomp_) {
    a_.mem_load(ebpf::Width::kWord, kA, kContextRegister, static_cast<std::int16_t>(instruction.k));
    return {};
  }
  if (absolute && instruction.k >= cbpf::kExtensionBase)
    if (const cbpf::ExtensionInfo* extension = cbpf::find_extension(instruction.k))
      return load_extension(extension->extension);
  load_packet(width_of(instruction.code), !absolute, instruction.k);
  return {};
}

Status Converter::instruction(std::size_t at) {
  const cbpf::Instruction& instruction = program_[at];
  const auto k = static_cast<std::int32_t>(instruction.k);
  switch (instruction.opcode()) {
    case Opcode::kLdImmediate: a_.mov32_imm(kA, k); return {};
    case Opcode::kLdxImmediate: a_.mov32_imm(kX, k); return {};
    case Opcode::kLdScratch: a_.mem_load(ebpf::Width::kWord, kA, Register::kR10, scratch(instruction.k)); return {};
    case Opcode::kLdxScratch: a_.mem_load(ebpf::Width::kWord, kX, Register::kR10, scratch(instruction.k)); return {};
    case Opcode::kSt: a_.mem_store_reg(ebpf::Width::kWord, Register::kR10, kA, scratch(instruction.k)); return {};
    case Opcode::kStx: a_.mem_store_reg(ebpf::Width::kWord, Register::kR10, kX, scratch(instruction.k)); return {};
    case Opcode::kLdLength:
    case Opcode::kLdxLength: {
      const Register dst = instruction.opcode() == Opcode::kLdLength ? kA : kX;
      if (seccomp_) a_.mov32_imm(dst, 64);  // sizeof(struct seccomp_data)
      else load_length(dst);
      return {};
    }
    case Opcode::kTax: a_.mov64_reg(kX, kA); return {};
    case Opcode::kTxa: a_.mov64_reg(kA, kX); return {};
    case Opcode::kRetK: finish(true, instruction.k); return {};
    case Opcode::kRetA: finish(false, 0); return {};
    case Opcode::kJa: a_.jump(label(at + 1 + instruction.k)); return {};
    default: break;
  }
  if ((instruction.code & 7) == 5) return branch(at), Status{};
  if ((instruction.code & 7) == 4) return arithmetic(instruction), Status{};
  return load(instruction);
}

Result<ebpf::Program> convert(const cbpf::Checked& program, const Options& options) {
  std::unique_ptr<Converter> converter;
  switch (options.context) {
    case Context::kPacket:
    case Context::kXdp: converter = make_pointer_converter(program, options); break;
    case Context::kSocket: converter = make_socket_converter(program, options); break;
    case Context::kKernel: converter = make_kernel_converter(program, options); break;
  }
  return converter->run();
}

}  // namespace weir::convert
