// Makes programs instruction by instruction, with labels.
//
//   Assembler a;
//   a.mov64_imm(kR0, 0).jump_imm(Condition::kEqual, kR1, 0, "out").mov64_imm(kR0, 1).label("out").exit();
//   Result<Program> program = a.assemble();
//
// Every method adds one instruction (two slots for 64-bit constants) and returns the assembler. Nothing is checked
// while building but that labels exist and distances fit, which assemble() says with the InstructionPlace; check() says
// the rest. A target is a distance in slots from the next instruction, or the name of a label, also one that comes
// later. Not synchronised.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/program.h>

namespace weir::ebpf {

// A distance in slots, or a label.
class Target {
 public:
  Target(std::int32_t distance) : where_(distance) {}             // NOLINT: meant to convert
  Target(const char* label) : where_(std::string(label)) {}       // NOLINT
  Target(std::string label) : where_(std::move(label)) {}         // NOLINT
  Target(std::string_view label) : where_(std::string(label)) {}  // NOLINT
  const std::string* label() const { return std::get_if<std::string>(&where_); }
  std::int32_t distance() const { return label() != nullptr ? 0 : std::get<std::int32_t>(where_); }

 private:
  std::variant<std::int32_t, std::string> where_;
};

class Assembler {
 public:
  // Arithmetic: dst = dst op operand; the 32-bit forms set the upper half to 0. kNeg and kEnd have methods of their
  // own.
  Assembler& alu64_imm(AluOperation operation, Register dst, std::int32_t immediate);
  Assembler& alu64_reg(AluOperation operation, Register dst, Register src);
  Assembler& alu32_imm(AluOperation operation, Register dst, std::int32_t immediate);
  Assembler& alu32_reg(AluOperation operation, Register dst, Register src);
  Assembler& mov64_imm(Register dst, std::int32_t immediate);  // sign extended
  Assembler& mov64_reg(Register dst, Register src);
  Assembler& mov32_imm(Register dst, std::int32_t immediate);
  Assembler& mov32_reg(Register dst, Register src);
  // dst = the lower `bits` (8, 16, 32) of src with their sign; 32 only in the 64-bit form.
  Assembler& movsx64(Register dst, Register src, unsigned bits);
  Assembler& movsx32(Register dst, Register src, unsigned bits);
  Assembler& neg64(Register dst);
  Assembler& neg32(Register dst);
  Assembler& signed_div64_imm(Register dst, std::int32_t immediate);
  Assembler& signed_div64_reg(Register dst, Register src);
  Assembler& signed_div32_imm(Register dst, std::int32_t immediate);
  Assembler& signed_div32_reg(Register dst, Register src);
  Assembler& signed_mod64_imm(Register dst, std::int32_t immediate);
  Assembler& signed_mod64_reg(Register dst, Register src);
  Assembler& signed_mod32_imm(Register dst, std::int32_t immediate);
  Assembler& signed_mod32_reg(Register dst, Register src);
  // The lower `bits` (16, 32, 64) of dst from host to little or big order (or back), or always swapped.
  Assembler& little_endian(Register dst, unsigned bits);
  Assembler& big_endian(Register dst, unsigned bits);
  Assembler& byte_swap(Register dst, unsigned bits);

  // Memory.
  Assembler& mem_load(Width width, Register dst, Register src, std::int16_t offset);
  Assembler& mem_load_signed(Width width, Register dst, Register src, std::int16_t offset);  // not kDouble
  Assembler& mem_store_imm(Width width, Register dst, std::int16_t offset, std::int32_t immediate);
  Assembler& mem_store_reg(Width width, Register dst, Register src, std::int16_t offset);
  Assembler& load_abs(Width width, std::int32_t immediate);                // not kDouble
  Assembler& load_ind(Width width, Register src, std::int32_t immediate);  // not kDouble
  Assembler& atomic_add32(Register dst, Register src, std::int16_t offset);
  Assembler& atomic_add64(Register dst, Register src, std::int16_t offset);
  Assembler& atomic(AtomicOperation operation, Width width, Register dst, Register src, std::int16_t offset);
  Assembler& load_acquire(Width width, Register dst, Register src, std::int16_t offset);
  Assembler& store_release(Width width, Register dst, Register src, std::int16_t offset);
  // An address of an arena, from address space `from` to `to`; only kernels have arenas.
  Assembler& address_space_cast(Register dst, Register src, std::uint16_t to, std::uint16_t from);

  // 64-bit constants, two slots.
  Assembler& load_imm64(Register dst, std::uint64_t immediate);
  Assembler& load_map_fd(Register dst, std::int32_t descriptor);
  Assembler& load_map_value(Register dst, std::int32_t descriptor, std::uint32_t offset);
  Assembler& load_map_index(Register dst, std::int32_t index);
  Assembler& load_map_index_value(Register dst, std::int32_t index, std::uint32_t offset);
  Assembler& load_variable(Register dst, std::int32_t btf_id);
  Assembler& load_function(Register dst, const Target& target);  // the address of a function, for callbacks
  Assembler& load_map(Register dst, std::string_view name);      // a map that map() declares, before or after
  Assembler& load_map_value(Register dst, std::string_view name, std::uint32_t offset);

  // Jumps and calls.
  Assembler& jump(const Target& target);
  Assembler& jump_long(const Target& target);
  Assembler& may_goto(const Target& target);  // jumps when the kernel's count of rounds has run out
  Assembler& jump_imm(Condition condition, Register dst, std::int32_t immediate, const Target& target);
  Assembler& jump_reg(Condition condition, Register dst, Register src, const Target& target);
  Assembler& jump32_imm(Condition condition, Register dst, std::int32_t immediate, const Target& target);
  Assembler& jump32_reg(Condition condition, Register dst, Register src, const Target& target);
  Assembler& call(Helper helper);
  Assembler& call_local(const Target& target);
  Assembler& call_kernel(std::int32_t btf_id, std::int16_t module = 0);
  Assembler& call_register(Register dst);
  Assembler& exit();

  Assembler& raw(const Instruction& instruction);
  Assembler& set_immediate(std::int32_t immediate);  // of the last slot, also where it means nothing

  // Names. A function is a label that the program keeps.
  Assembler& label(std::string_view name);
  Assembler& label_at(std::string_view name, std::uint32_t slot);
  Assembler& function(std::string_view name);
  Assembler& map(MapDefinition definition);

  std::size_t size() const { return program_.instructions.size(); }
  // The slots so far; distances to labels are still 0.
  const std::vector<Instruction>& instructions() const { return program_.instructions; }
  bool has_label(std::string_view name) const { return labels_.find(name) != labels_.end(); }

  // The program so far. The assembler stays as it is.
  Result<Program> assemble() const;

 private:
  enum class Field : std::uint8_t { kOffset, kImmediate };
  struct Use {
    std::uint32_t instruction;
    Field field;
    std::string label;
  };
  struct MapUse {
    std::uint32_t instruction;
    std::string name;
  };
  Assembler& add(Instruction instruction);
  Assembler& add(Operation operation, Register dst, Register src, std::int32_t offset, std::int32_t immediate);
  Assembler& wide(Register dst, std::uint8_t form, std::int32_t low, std::int32_t high);
  Assembler& branch(std::uint8_t code, Register dst, Register src, std::int32_t immediate, const Target& target);
  std::int32_t use(Field field, const Target& target);
  void complain(std::string message);

  Program program_;
  std::map<std::string, std::uint32_t, std::less<>> labels_;
  std::vector<Use> uses_;
  std::vector<MapUse> map_uses_;
  std::vector<Error> errors_;
};

}  // namespace weir::ebpf
