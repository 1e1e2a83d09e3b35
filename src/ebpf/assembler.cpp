// The builder of programs. Exports Assembler.
//
// Distances to labels are filled in by assemble(), when all labels are known.
#include <weir/ebpf/assembler.h>

#include <algorithm>

#include <fmt/format.h>

#include <weir/base/suggest.h>

namespace weir::ebpf {
namespace {

constexpr unsigned number(Register reg) { return static_cast<unsigned>(reg); }
template <typename... Parts>
constexpr std::uint8_t code(Parts... parts) {
  return static_cast<std::uint8_t>((0u | ... | static_cast<unsigned>(parts)));
}

}  // namespace

Assembler& Assembler::add(Instruction instruction) {
  program_.instructions.push_back(instruction);
  return *this;
}

Assembler& Assembler::add(Operation operation, Register dst, Register src, std::int32_t offset,
                          std::int32_t immediate) {
  Instruction out = make(operation);
  out.dst = number(dst) & 15;
  if (info(operation).selector != Selector::kSource) out.src = number(src) & 15;
  if (info(operation).selector != Selector::kOffset) out.offset = static_cast<std::int16_t>(offset);
  if (info(operation).selector != Selector::kImmediate) out.immediate = immediate;
  return add(out);
}

void Assembler::complain(std::string message) {
  errors_.push_back(Error{.code = ErrorCode::kUsage,
                          .message = std::move(message),
                          .place = InstructionPlace{static_cast<std::uint32_t>(size())}});
}

Assembler& Assembler::alu64_imm(AluOperation operation, Register dst, std::int32_t immediate) {
  return add(make(code(operation, Class::kAlu64), number(dst), 0, 0, immediate));
}
Assembler& Assembler::alu64_reg(AluOperation operation, Register dst, Register src) {
  return add(make(code(operation, SourceOperand::kRegister, Class::kAlu64), number(dst), number(src)));
}
Assembler& Assembler::alu32_imm(AluOperation operation, Register dst, std::int32_t immediate) {
  return add(make(code(operation, Class::kAlu), number(dst), 0, 0, immediate));
}
Assembler& Assembler::alu32_reg(AluOperation operation, Register dst, Register src) {
  return add(make(code(operation, SourceOperand::kRegister, Class::kAlu), number(dst), number(src)));
}
Assembler& Assembler::mov64_imm(Register dst, std::int32_t immediate) {
  return alu64_imm(AluOperation::kMov, dst, immediate);
}
Assembler& Assembler::mov64_reg(Register dst, Register src) { return alu64_reg(AluOperation::kMov, dst, src); }
Assembler& Assembler::mov32_imm(Register dst, std::int32_t immediate) {
  return alu32_imm(AluOperation::kMov, dst, immediate);
}
Assembler& Assembler::mov32_reg(Register dst, Register src) { return alu32_reg(AluOperation::kMov, dst, src); }

Assembler& Assembler::movsx64(Register dst, Register src, unsigned bits) {
  if (bits != 8 && bits != 16 && bits != 32) complain(fmt::format("a sign cannot be extended from {} bits", bits));
  return add(make(0xbf, number(dst), number(src), static_cast<std::int32_t>(bits)));
}
Assembler& Assembler::movsx32(Register dst, Register src, unsigned bits) {
  if (bits != 8 && bits != 16) complain(fmt::format("a sign cannot be extended from {} to 32 bits", bits));
  return add(make(0xbc, number(dst), number(src), static_cast<std::int32_t>(bits)));
}
Assembler& Assembler::neg64(Register dst) { return alu64_imm(AluOperation::kNeg, dst, 0); }
Assembler& Assembler::neg32(Register dst) { return alu32_imm(AluOperation::kNeg, dst, 0); }

Assembler& Assembler::signed_div64_imm(Register dst, std::int32_t immediate) {
  return add(Operation::kSdiv64K, dst, Register::kR0, 0, immediate);
}
Assembler& Assembler::signed_div64_reg(Register dst, Register src) { return add(Operation::kSdiv64X, dst, src, 0, 0); }
Assembler& Assembler::signed_div32_imm(Register dst, std::int32_t immediate) {
  return add(Operation::kSdiv32K, dst, Register::kR0, 0, immediate);
}
Assembler& Assembler::signed_div32_reg(Register dst, Register src) { return add(Operation::kSdiv32X, dst, src, 0, 0); }
Assembler& Assembler::signed_mod64_imm(Register dst, std::int32_t immediate) {
  return add(Operation::kSmod64K, dst, Register::kR0, 0, immediate);
}
Assembler& Assembler::signed_mod64_reg(Register dst, Register src) { return add(Operation::kSmod64X, dst, src, 0, 0); }
Assembler& Assembler::signed_mod32_imm(Register dst, std::int32_t immediate) {
  return add(Operation::kSmod32K, dst, Register::kR0, 0, immediate);
}
Assembler& Assembler::signed_mod32_reg(Register dst, Register src) { return add(Operation::kSmod32X, dst, src, 0, 0); }

Assembler& Assembler::little_endian(Register dst, unsigned bits) {
  if (bits != 16 && bits != 32 && bits != 64) complain(fmt::format("no byte order of {} bits", bits));
  return add(make(0xd4, number(dst), 0, 0, static_cast<std::int32_t>(bits)));
}
Assembler& Assembler::big_endian(Register dst, unsigned bits) {
  if (bits != 16 && bits != 32 && bits != 64) complain(fmt::format("no byte order of {} bits", bits));
  return add(make(0xdc, number(dst), 0, 0, static_cast<std::int32_t>(bits)));
}
Assembler& Assembler::byte_swap(Register dst, unsigned bits) {
  if (bits != 16 && bits != 32 && bits != 64) complain(fmt::format("no byte order of {} bits", bits));
  return add(make(0xd7, number(dst), 0, 0, static_cast<std::int32_t>(bits)));
}

Assembler& Assembler::mem_load(Width width, Register dst, Register src, std::int16_t offset) {
  return add(make(code(Mode::kMemory, width, Class::kLdx), number(dst), number(src), offset));
}
Assembler& Assembler::mem_load_signed(Width width, Register dst, Register src, std::int16_t offset) {
  if (width == Width::kDouble) complain("a load of 8 bytes has no sign to extend");
  return add(make(code(Mode::kMemorySigned, width, Class::kLdx), number(dst), number(src), offset));
}
Assembler& Assembler::mem_store_imm(Width width, Register dst, std::int16_t offset, std::int32_t immediate) {
  return add(make(code(Mode::kMemory, width, Class::kSt), number(dst), 0, offset, immediate));
}
Assembler& Assembler::mem_store_reg(Width width, Register dst, Register src, std::int16_t offset) {
  return add(make(code(Mode::kMemory, width, Class::kStx), number(dst), number(src), offset));
}
Assembler& Assembler::load_abs(Width width, std::int32_t immediate) {
  if (width == Width::kDouble) complain("packet loads have at most 4 bytes");
  return add(make(code(Mode::kAbsolute, width, Class::kLd), 0, 0, 0, immediate));
}
Assembler& Assembler::load_ind(Width width, Register src, std::int32_t immediate) {
  if (width == Width::kDouble) complain("packet loads have at most 4 bytes");
  return add(make(code(Mode::kIndirect, width, Class::kLd), 0, number(src), 0, immediate));
}
Assembler& Assembler::atomic_add32(Register dst, Register src, std::int16_t offset) {
  return atomic(AtomicOperation::kAdd, Width::kWord, dst, src, offset);
}
Assembler& Assembler::atomic_add64(Register dst, Register src, std::int16_t offset) {
  return atomic(AtomicOperation::kAdd, Width::kDouble, dst, src, offset);
}
Assembler& Assembler::atomic(AtomicOperation operation, Width width, Register dst, Register src, std::int16_t offset) {
  if (width != Width::kWord && width != Width::kDouble) complain("atomics work on 4 or 8 bytes");
  return add(make(code(Mode::kAtomic, width, Class::kStx), number(dst), number(src), offset,
                  static_cast<std::int32_t>(operation)));
}
Assembler& Assembler::load_acquire(Width width, Register dst, Register src, std::int16_t offset) {
  return add(make(code(Mode::kAtomic, width, Class::kStx), number(dst), number(src), offset,
                  info(Operation::kLoadAcquire64).selected));
}
Assembler& Assembler::store_release(Width width, Register dst, Register src, std::int16_t offset) {
  return add(make(code(Mode::kAtomic, width, Class::kStx), number(dst), number(src), offset,
                  info(Operation::kStoreRelease64).selected));
}
Assembler& Assembler::address_space_cast(Register dst, Register src, std::uint16_t to, std::uint16_t from) {
  return add(Operation::kAddressSpaceCast, dst, src, 0, static_cast<std::int32_t>(std::uint32_t{to} << 16 | from));
}

Assembler& Assembler::wide(Register dst, std::uint8_t form, std::int32_t low, std::int32_t high) {
  add(make(kWideCode, number(dst), form, 0, low));
  return add(make(0, 0, 0, 0, high));
}
Assembler& Assembler::load_imm64(Register dst, std::uint64_t immediate) {
  return wide(dst, 0, static_cast<std::int32_t>(immediate & 0xffffffff), static_cast<std::int32_t>(immediate >> 32));
}
Assembler& Assembler::load_map_fd(Register dst, std::int32_t descriptor) {
  return wide(dst, kPseudoMapDescriptor, descriptor, 0);
}
Assembler& Assembler::load_map_value(Register dst, std::int32_t descriptor, std::uint32_t offset) {
  return wide(dst, kPseudoMapValue, descriptor, static_cast<std::int32_t>(offset));
}
Assembler& Assembler::load_map_index(Register dst, std::int32_t index) { return wide(dst, kPseudoMapIndex, index, 0); }
Assembler& Assembler::load_map_index_value(Register dst, std::int32_t index, std::uint32_t offset) {
  return wide(dst, kPseudoMapIndexValue, index, static_cast<std::int32_t>(offset));
}
Assembler& Assembler::load_variable(Register dst, std::int32_t btf_id) { return wide(dst, kPseudoVariable, btf_id, 0); }
Assembler& Assembler::load_function(Register dst, const Target& target) {
  const std::int32_t distance = use(Field::kImmediate, target);
  return wide(dst, kPseudoFunction, distance, 0);
}
Assembler& Assembler::load_map(Register dst, std::string_view name) {
  map_uses_.push_back({static_cast<std::uint32_t>(size()), std::string(name)});
  return wide(dst, kPseudoMapDescriptor, 0, 0);
}
Assembler& Assembler::load_map_value(Register dst, std::string_view name, std::uint32_t offset) {
  map_uses_.push_back({static_cast<std::uint32_t>(size()), std::string(name)});
  return wide(dst, kPseudoMapValue, 0, static_cast<std::int32_t>(offset));
}

std::int32_t Assembler::use(Field field, const Target& target) {
  if (const std::string* name = target.label()) uses_.push_back({static_cast<std::uint32_t>(size()), field, *name});
  else if (field == Field::kOffset && (target.distance() < INT16_MIN || target.distance() > INT16_MAX))
    complain(fmt::format("a distance of {} does not fit into 16 bits", target.distance()));
  return target.distance();
}

Assembler& Assembler::jump(const Target& target) { return branch(0x05, Register::kR0, Register::kR0, 0, target); }
Assembler& Assembler::jump_long(const Target& target) {
  const std::int32_t distance = use(Field::kImmediate, target);
  return add(make(0x06, 0, 0, 0, distance));
}
Assembler& Assembler::may_goto(const Target& target) { return branch(0xe5, Register::kR0, Register::kR0, 0, target); }
Assembler& Assembler::branch(std::uint8_t code_byte, Register dst, Register src, std::int32_t immediate,
                             const Target& target) {
  const std::int32_t distance = use(Field::kOffset, target);
  return add(make(code_byte, number(dst), number(src), distance, immediate));
}
Assembler& Assembler::jump_imm(Condition condition, Register dst, std::int32_t immediate, const Target& target) {
  return branch(code(condition, Class::kJmp), dst, Register::kR0, immediate, target);
}
Assembler& Assembler::jump_reg(Condition condition, Register dst, Register src, const Target& target) {
  return branch(code(condition, SourceOperand::kRegister, Class::kJmp), dst, src, 0, target);
}
Assembler& Assembler::jump32_imm(Condition condition, Register dst, std::int32_t immediate, const Target& target) {
  return branch(code(condition, Class::kJmp32), dst, Register::kR0, immediate, target);
}
Assembler& Assembler::jump32_reg(Condition condition, Register dst, Register src, const Target& target) {
  return branch(code(condition, SourceOperand::kRegister, Class::kJmp32), dst, src, 0, target);
}
Assembler& Assembler::call(Helper helper) { return add(make(0x85, 0, 0, 0, static_cast<std::int32_t>(helper))); }
Assembler& Assembler::call_local(const Target& target) {
  const std::int32_t distance = use(Field::kImmediate, target);
  return add(make(0x85, 0, kPseudoCall, 0, distance));
}
Assembler& Assembler::call_kernel(std::int32_t btf_id, std::int16_t module) {
  return add(make(0x85, 0, kPseudoKernelCall, module, btf_id));
}
Assembler& Assembler::call_register(Register dst) { return add(make(0x8d, number(dst))); }
Assembler& Assembler::exit() { return add(make(0x95)); }
Assembler& Assembler::raw(const Instruction& instruction) { return add(instruction); }

Assembler& Assembler::set_immediate(std::int32_t immediate) {
  if (!program_.instructions.empty()) program_.instructions.back().immediate = immediate;
  return *this;
}

Assembler& Assembler::label(std::string_view name) { return label_at(name, static_cast<std::uint32_t>(size())); }
Assembler& Assembler::label_at(std::string_view name, std::uint32_t slot) {
  if (!labels_.emplace(std::string(name), slot).second) complain(fmt::format("label '{}' is defined twice", name));
  return *this;
}
Assembler& Assembler::function(std::string_view name) {
  program_.functions.push_back({std::string(name), static_cast<std::uint32_t>(size())});
  return label(name);
}
Assembler& Assembler::map(MapDefinition definition) {
  for (const MapDefinition& other : program_.maps)
    if (other.name == definition.name) complain(fmt::format("map '{}' is defined twice", definition.name));
  program_.maps.push_back(std::move(definition));
  return *this;
}

Result<Program> Assembler::assemble() const {
  if (!errors_.empty()) return fail(errors_.front());
  Program program = program_;
  for (const Use& use : uses_) {
    const auto found = labels_.find(use.label);
    const InstructionPlace place{use.instruction};
    if (found == labels_.end()) {
      std::vector<std::string_view> known;
      for (const auto& label : labels_) known.push_back(label.first);
      return fail(fmt::format("there is no label '{}'", use.label), place, did_you_mean(use.label, known));
    }
    const std::int64_t distance = std::int64_t{found->second} - use.instruction - 1;
    if (use.field == Field::kOffset && (distance < INT16_MIN || distance > INT16_MAX))
      return fail(fmt::format("'{}' is {} slots away, more than a jump reaches", use.label, distance), place,
                  "go through a 'gotol'");
    Instruction& instruction = program.instructions[use.instruction];
    if (use.field == Field::kOffset) instruction.offset = static_cast<std::int16_t>(distance);
    else instruction.immediate = static_cast<std::int32_t>(distance);
  }
  for (const MapUse& use : map_uses_) {
    const auto found = std::find_if(program.maps.begin(), program.maps.end(),
                                    [&](const MapDefinition& map) { return map.name == use.name; });
    if (found == program.maps.end()) {
      std::vector<std::string_view> known;
      for (const MapDefinition& map : program.maps) known.push_back(map.name);
      return fail(fmt::format("there is no map '{}'", use.name), InstructionPlace{use.instruction},
                  did_you_mean(use.name, known));
    }
    program.map_references.push_back({use.instruction, static_cast<std::uint32_t>(found - program.maps.begin())});
  }
  return program;
}

}  // namespace weir::ebpf
