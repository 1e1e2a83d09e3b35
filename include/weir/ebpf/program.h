// An extended program, and the proofs about it.
//
// Program is plain data: any instructions, and what their numbers stand for where they stand for names (maps,
// functions). Checked is a Program whose structure is sound: only check() makes one. Whoever runs a Checked program
// must still check each access to memory while it runs; Verified says that none can go wrong, and only verify() makes
// one. All are values: copy and share them freely; not synchronised.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <weir/base/error.h>
#include <weir/ebpf/instruction.h>
#include <weir/ebpf/names.h>

namespace weir::ebpf {

// A map as a program wants it. Sizes in bytes.
struct MapDefinition {
  std::string name{};
  MapType type = MapType::kHash;
  std::uint32_t key_size = 0;
  std::uint32_t value_size = 0;
  std::uint32_t max_entries = 0;
  std::uint32_t flags = 0;               // BPF_F_*
  std::string inner{};                   // maps of maps: the name of the map that shows what the inner ones are like
  std::vector<std::uint8_t> contents{};  // arrays that hold a program's variables: their first value
  friend bool operator==(const MapDefinition&, const MapDefinition&) = default;
};

// The 64-bit constant at slot `instruction` is map number `map` of the program (or the address of its only value).
struct MapReference {
  std::uint32_t instruction = 0;
  std::uint32_t map = 0;
  friend bool operator==(const MapReference&, const MapReference&) = default;
};

// A function starts at slot `instruction`.
struct Function {
  std::string name{};
  std::uint32_t instruction = 0;
  friend bool operator==(const Function&, const Function&) = default;
};

// The instruction at slot `instruction`, and those after it up to the next entry, come from this place of a source.
struct SourceLine {
  std::uint32_t instruction = 0;
  std::uint32_t line = 0;    // from 1
  std::uint32_t column = 0;  // from 1; 0: unknown
  std::string file{};
  std::string text{};  // the line itself, where it is known
  friend bool operator==(const SourceLine&, const SourceLine&) = default;
};

struct Program {
  std::vector<Instruction> instructions{};
  std::vector<MapDefinition> maps{};
  std::vector<MapReference> map_references{};  // in order of instructions
  std::vector<Function> functions{};           // in order of instructions
  std::vector<SourceLine> lines{};             // in order of instructions
  std::string name{};
  std::string license = "";
  ProgramType type = ProgramType::kUnspec;
  AttachType attach_type{};
  bool has_attach_type = false;

  std::size_t size() const { return instructions.size(); }
  // The map that the constant at this slot stands for, or null.
  const MapReference* map_reference(std::size_t instruction) const;
  // The last entry of `lines` at or before this slot, or null.
  const SourceLine* line_of(std::size_t instruction) const;
  friend bool operator==(const Program&, const Program&) = default;
};

struct CheckOptions {
  bool register_calls = false;       // callx is legal; the kernel refuses it
  bool kernel_instructions = false;  // may_goto and addr_space_cast are legal; nothing here runs them
  bool packet_loads = true;          // ldabs and ldind are legal
  bool kernel_constants = false;     // refuse constant divisors 0 and shifts beyond the width, as the kernel does; else
                                     // they mean what RFC 9669 says: division gives 0, shifts are masked
};

// The structure of a program is sound: each slot is an instruction that exists, or the second half of one; registers
// exist and r10 is not written; jumps and calls go to instructions; the end is not run over; there are 1 to 2^20 slots.
// Nothing is said about memory, loops or values.
class Checked {
 public:
  const Program& program() const { return program_; }

 private:
  explicit Checked(Program program) : program_(std::move(program)) {}
  friend Result<Checked> check(Program program, const CheckOptions& options);
  Program program_;
};

// Errors carry the InstructionPlace. Thread-safe.
Result<Checked> check(Program program, const CheckOptions& options = {});
// All violations, not only the first; empty when check() would succeed.
std::vector<Error> violations(const Program& program, const CheckOptions& options = {});

}  // namespace weir::ebpf
