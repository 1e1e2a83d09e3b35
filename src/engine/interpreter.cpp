// A threaded-code interpreter for checked classic programs. Exports make_interpreter.
//
// load time: each instruction becomes a Step with its operand size known, its jumps resolved to absolute steps, and the
// address of the code that runs it; a load followed by a conditional jump on a constant becomes one fused step (the
// jump keeps its own step too, for whoever jumps to it). Run time: each step ends in an indirect jump of its own, which
// branch predictors follow far better than the one of a switch (Ertl and Gregg, "The structure and performance of
// efficient interpreters", 2003).
//
// Memory safety rests on cbpf::check: jumps stay inside, M[] indices are below 16, the last step returns. Loads check
// the packet's length with 64-bit sums, so no offset wraps.
#include "engine/interpreter.h"

#include <algorithm>
#include <vector>

#include <weir/base/bytes.h>

#include "engine/extension_load.h"
#include "engine/machine_code.h"
#include "engine/set_table.h"

// Labels as values: taken by both supported compilers, unknown to ISO C++.
#pragma GCC diagnostic ignored "-Wpedantic"

namespace weir::engine {
namespace {

using cbpf::Opcode;

// Steps beyond the opcodes themselves: loads by size of what is fused with the jump after them, and extension loads.
// One list names them all; the dispatch table and the decoder are made from it.
// clang-format off
#define WEIR_STEPS(X) \
  X(LdImmediate) X(LdWord) X(LdHalf) X(LdByte) X(LdWordIndirect) X(LdHalfIndirect) X(LdByteIndirect) \
  X(LdScratch) X(LdLength) X(LdExtension) X(LdXorX) X(LdOutside) X(LdxImmediate) X(LdxScratch) X(LdxLength) \
  X(LdxHeaderLength) X(St) X(Stx) X(AddK) X(AddX) X(SubK) X(SubX) X(MulK) X(MulX) X(DivK) X(DivX) X(OrK) X(OrX) \
  X(AndK) X(AndX) X(LshK) X(LshX) X(RshK) X(RshX) X(Neg) X(ModK) X(ModX) X(XorK) X(XorX) X(Ja) X(JeqK) X(JeqX) \
  X(JgtK) X(JgtX) X(JgeK) X(JgeX) X(JsetK) X(JsetX) X(RetK) X(RetA) X(Tax) X(Txa) X(LdWordJeq) X(LdWordJgt) \
  X(LdWordJge) X(LdWordJset) X(LdHalfJeq) X(LdHalfJgt) X(LdHalfJge) X(LdHalfJset) X(LdByteJeq) X(LdByteJgt) \
  X(LdByteJge) X(LdByteJset) X(LdHalfIndirectJeq) X(JeqSet)
// clang-format on

enum class StepKind : std::uint8_t {
#define WEIR_STEP(name) k##name,
  WEIR_STEPS(WEIR_STEP)
#undef WEIR_STEP
};

struct Step {
  const void* code = nullptr;
  std::uint32_t k = 0;
  std::uint32_t compare = 0;  // the jump's constant in fused steps
  std::uint32_t if_true = 0;  // absolute steps
  std::uint32_t if_false = 0;
};

StepKind kind_of_absolute(const cbpf::Instruction& instruction, StepKind in_packet) {
  if (instruction.k == cbpf::kExtensionBase + static_cast<std::uint32_t>(cbpf::Extension::kXorX))
    return StepKind::kLdXorX;
  if (instruction.k >= cbpf::kExtensionBase) return StepKind::kLdExtension;
  // Loads relative to the network or link-layer header, or at other offsets that the kernel takes as negative.
  if (instruction.k >= 0x80000000) return StepKind::kLdOutside;
  return in_packet;
}

StepKind kind_of(const cbpf::Instruction& instruction) {
  switch (instruction.opcode()) {
    case Opcode::kLdWordAbsolute: return kind_of_absolute(instruction, StepKind::kLdWord);
    case Opcode::kLdHalfAbsolute: return kind_of_absolute(instruction, StepKind::kLdHalf);
    case Opcode::kLdByteAbsolute: return kind_of_absolute(instruction, StepKind::kLdByte);
#define WEIR_SAME(name) \
  case Opcode::k##name: return StepKind::k##name;
      // clang-format off
      WEIR_SAME(LdImmediate) WEIR_SAME(LdWordIndirect) WEIR_SAME(LdHalfIndirect) WEIR_SAME(LdByteIndirect)
      WEIR_SAME(LdScratch) WEIR_SAME(LdLength) WEIR_SAME(LdxImmediate) WEIR_SAME(LdxScratch)
      WEIR_SAME(LdxLength) WEIR_SAME(LdxHeaderLength) WEIR_SAME(St) WEIR_SAME(Stx) WEIR_SAME(AddK)
      WEIR_SAME(AddX) WEIR_SAME(SubK) WEIR_SAME(SubX) WEIR_SAME(MulK) WEIR_SAME(MulX) WEIR_SAME(DivK)
      WEIR_SAME(DivX) WEIR_SAME(OrK) WEIR_SAME(OrX) WEIR_SAME(AndK) WEIR_SAME(AndX) WEIR_SAME(LshK)
      WEIR_SAME(LshX) WEIR_SAME(RshK) WEIR_SAME(RshX) WEIR_SAME(Neg) WEIR_SAME(ModK) WEIR_SAME(ModX)
      WEIR_SAME(XorK) WEIR_SAME(XorX) WEIR_SAME(Ja) WEIR_SAME(JeqK) WEIR_SAME(JeqX) WEIR_SAME(JgtK)
      WEIR_SAME(JgtX) WEIR_SAME(JgeK) WEIR_SAME(JgeX) WEIR_SAME(JsetK) WEIR_SAME(JsetX) WEIR_SAME(RetK)
      WEIR_SAME(RetA) WEIR_SAME(Tax) WEIR_SAME(Txa)
      // clang-format on
#undef WEIR_SAME
  }
  return StepKind::kRetK;
}

// The fused step for a load and the jump after it, or the load's own kind when there is none.
StepKind fuse(StepKind load, StepKind jump) {
  struct Pair {
    StepKind load, jump, fused;
  };
  static constexpr Pair kPairs[] = {
      {StepKind::kLdWord, StepKind::kJeqK, StepKind::kLdWordJeq},
      {StepKind::kLdWord, StepKind::kJgtK, StepKind::kLdWordJgt},
      {StepKind::kLdWord, StepKind::kJgeK, StepKind::kLdWordJge},
      {StepKind::kLdWord, StepKind::kJsetK, StepKind::kLdWordJset},
      {StepKind::kLdHalf, StepKind::kJeqK, StepKind::kLdHalfJeq},
      {StepKind::kLdHalf, StepKind::kJgtK, StepKind::kLdHalfJgt},
      {StepKind::kLdHalf, StepKind::kJgeK, StepKind::kLdHalfJge},
      {StepKind::kLdHalf, StepKind::kJsetK, StepKind::kLdHalfJset},
      {StepKind::kLdByte, StepKind::kJeqK, StepKind::kLdByteJeq},
      {StepKind::kLdByte, StepKind::kJgtK, StepKind::kLdByteJgt},
      {StepKind::kLdByte, StepKind::kJgeK, StepKind::kLdByteJge},
      {StepKind::kLdByte, StepKind::kJsetK, StepKind::kLdByteJset},
      {StepKind::kLdHalfIndirect, StepKind::kJeqK, StepKind::kLdHalfIndirectJeq},
  };
  for (const Pair& pair : kPairs)
    if (pair.load == load && pair.jump == jump) return pair.fused;
  return load;
}

inline bool inside(std::uint32_t offset, std::uint32_t size, std::uint32_t length) {
  return std::uint64_t{offset} + size <= length;
}

// Runs the program over the columns; without columns, only says where the dispatch table is (labels are known only
// inside of the function). The loop over packets is inside: each packet starts with a jump to the first step.
void execute(const Step* steps, const SetTable* sets, const packet::Columns* columns, std::uint32_t* verdicts,
             const void* const** table) {
  static const void* const kTable[] = {
#define WEIR_STEP(name) &&name,
      WEIR_STEPS(WEIR_STEP)
#undef WEIR_STEP
  };
  if (columns == nullptr) {
    *table = kTable;
    return;
  }

  std::uint32_t scratch[cbpf::kScratchWords];
  const std::uint32_t* const wire_lengths = columns->wire_lengths != nullptr ? columns->wire_lengths : columns->lengths;
  const std::size_t count = columns->count;
  std::size_t packet = 0;
  const std::uint8_t* data = nullptr;
  std::uint32_t length = 0;
  std::uint32_t a = 0;
  std::uint32_t x = 0;
  const Step* step = steps;

#define START()                                      \
  do {                                               \
    data = columns->base + columns->offsets[packet]; \
    length = columns->lengths[packet];               \
    a = x = 0;                                       \
    step = steps;                                    \
    goto * step->code;                               \
  } while (false)
#define RETURN(value)              \
  do {                             \
    verdicts[packet] = (value);    \
    if (++packet == count) return; \
    START();                       \
  } while (false)
#define NEXT()         \
  do {                 \
    ++step;            \
    goto * step->code; \
  } while (false)
#define GO(target)           \
  do {                       \
    step = steps + (target); \
    goto * step->code;       \
  } while (false)
#define BRANCH(condition) GO((condition) ? step->if_true : step->if_false)
#define LOAD(offset, size, reader)            \
  do {                                        \
    const std::uint32_t at = (offset);        \
    if (!inside(at, size, length)) RETURN(0); \
    a = reader(data + at);                    \
  } while (false)
#define BYTE(p) (*(p))
#define FUSED(name, offset, size, reader, condition) \
  name:                                              \
  LOAD(offset, size, reader);                        \
  BRANCH(condition);

  if (count == 0) return;
  START();

LdImmediate:
  a = step->k;
  NEXT();
LdWord:
  LOAD(step->k, 4, load_be32);
  NEXT();
LdHalf:
  LOAD(step->k, 2, load_be16);
  NEXT();
LdByte:
  LOAD(step->k, 1, BYTE);
  NEXT();
// x + k wraps at 32 bits; what the kernel takes as negative lies beyond every packet.
LdWordIndirect:
  LOAD(x + step->k, 4, load_be32);
  NEXT();
LdHalfIndirect:
  LOAD(x + step->k, 2, load_be16);
  NEXT();
LdByteIndirect:
  LOAD(x + step->k, 1, BYTE);
  NEXT();
LdScratch:
  a = scratch[step->k];
  NEXT();
LdLength:
  a = wire_lengths[packet];
  NEXT();
LdExtension:
  a = load_extension(static_cast<cbpf::Extension>(step->k - cbpf::kExtensionBase), (*columns)[packet], a, x);
  NEXT();
LdXorX:
  a ^= x;
  NEXT();
LdOutside:
  RETURN(0);
LdxImmediate:
  x = step->k;
  NEXT();
LdxScratch:
  x = scratch[step->k];
  NEXT();
LdxLength:
  x = wire_lengths[packet];
  NEXT();
LdxHeaderLength:
  if (!inside(step->k, 1, length)) RETURN(0);
  x = (data[step->k] & 0xfu) << 2;
  NEXT();
St:
  scratch[step->k] = a;
  NEXT();
Stx:
  scratch[step->k] = x;
  NEXT();
AddK:
  a += step->k;
  NEXT();
AddX:
  a += x;
  NEXT();
SubK:
  a -= step->k;
  NEXT();
SubX:
  a -= x;
  NEXT();
MulK:
  a *= step->k;
  NEXT();
MulX:
  a *= x;
  NEXT();
DivK:
  a /= step->k;
  NEXT();
DivX:
  if (x == 0) RETURN(0);
  a /= x;
  NEXT();
OrK:
  a |= step->k;
  NEXT();
OrX:
  a |= x;
  NEXT();
AndK:
  a &= step->k;
  NEXT();
AndX:
  a &= x;
  NEXT();
LshK:
  a <<= step->k;
  NEXT();
LshX:
  a <<= x & 31;
  NEXT();
RshK:
  a >>= step->k;
  NEXT();
RshX:
  a >>= x & 31;
  NEXT();
Neg:
  a = 0u - a;
  NEXT();
ModK:
  a %= step->k;
  NEXT();
ModX:
  if (x == 0) RETURN(0);
  a %= x;
  NEXT();
XorK:
  a ^= step->k;
  NEXT();
XorX:
  a ^= x;
  NEXT();
Ja:
  GO(step->if_true);
JeqK:
  BRANCH(a == step->compare);
JeqX:
  BRANCH(a == x);
JgtK:
  BRANCH(a > step->compare);
JgtX:
  BRANCH(a > x);
JgeK:
  BRANCH(a >= step->compare);
JgeX:
  BRANCH(a >= x);
JsetK:
  BRANCH((a & step->compare) != 0);
JsetX:
  BRANCH((a & x) != 0);
RetK:
  RETURN(step->k);
RetA:
  RETURN(a);
Tax:
  x = a;
  NEXT();
Txa:
  a = x;
  NEXT();
JeqSet:
  BRANCH(sets[step->k].contains(a));
  FUSED(LdWordJeq, step->k, 4, load_be32, a == step->compare)
  FUSED(LdWordJgt, step->k, 4, load_be32, a > step->compare)
  FUSED(LdWordJge, step->k, 4, load_be32, a >= step->compare)
  FUSED(LdWordJset, step->k, 4, load_be32, (a & step->compare) != 0)
  FUSED(LdHalfJeq, step->k, 2, load_be16, a == step->compare)
  FUSED(LdHalfJgt, step->k, 2, load_be16, a > step->compare)
  FUSED(LdHalfJge, step->k, 2, load_be16, a >= step->compare)
  FUSED(LdHalfJset, step->k, 2, load_be16, (a & step->compare) != 0)
  FUSED(LdByteJeq, step->k, 1, BYTE, a == step->compare)
  FUSED(LdByteJgt, step->k, 1, BYTE, a > step->compare)
  FUSED(LdByteJge, step->k, 1, BYTE, a >= step->compare)
  FUSED(LdByteJset, step->k, 1, BYTE, (a & step->compare) != 0)
  FUSED(LdHalfIndirectJeq, x + step->k, 2, load_be16, a == step->compare)

#undef START
#undef RETURN
#undef NEXT
#undef GO
#undef BRANCH
#undef LOAD
#undef BYTE
#undef FUSED
}

// Where a jump to `at` really leads: through unconditional ones.
std::uint32_t through_jumps(const cbpf::Program& program, std::uint32_t at) {
  while (program[at].opcode() == Opcode::kJa) at += 1 + program[at].k;
  return at;
}

// Comparisons for equality one after another, with one target when equal, are one step: whether A is in a set. For each
// instruction the row that starts there: how long it is, and the next of it.
struct Row {
  std::uint32_t length = 0;
  std::uint32_t next = 0;
  bool inner = false;  // another row goes through here
};

std::vector<Row> rows_of_comparisons(const cbpf::Program& program, const std::vector<Step>& steps) {
  std::vector<Row> rows(program.size());
  for (std::size_t i = program.size(); i-- > 0;) {
    if (program[i].opcode() != Opcode::kJeqK) continue;
    rows[i].length = 1;
    const std::uint32_t next = steps[i].if_false;
    if (program[next].opcode() != Opcode::kJeqK || steps[next].if_true != steps[i].if_true) continue;
    rows[i].next = next;
    rows[i].length += rows[next].length;
    rows[next].inner = true;
  }
  return rows;
}

SetTable set_of_row(const cbpf::Program& program, const std::vector<Row>& rows, std::uint32_t at) {
  std::vector<std::uint32_t> values;
  for (std::uint32_t left = rows[at].length; left-- > 0; at = rows[at].next) values.push_back(program[at].k);
  std::sort(values.begin(), values.end());
  std::vector<flow::Range> ranges;
  for (const std::uint32_t value : values) {
    if (!ranges.empty() && value <= std::uint64_t{ranges.back().last} + 1) {
      ranges.back().last = value;
    } else {
      ranges.push_back({value, value});
    }
  }
  return make_set_table(ranges);
}

struct Decoded {
  std::vector<Step> steps;
  std::vector<SetTable> sets;
};

Decoded decode(const cbpf::Program& program) {
  constexpr std::uint32_t kShortestRow = 4;
  const void* const* table = nullptr;
  execute(nullptr, nullptr, nullptr, nullptr, &table);
  Decoded out;
  out.steps.resize(program.size());
  std::vector<Step>& steps = out.steps;
  std::vector<StepKind> kinds(program.size());
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const cbpf::Instruction& instruction = program[i];
    kinds[i] = kind_of(instruction);
    steps[i].k = steps[i].compare = instruction.k;
    if ((instruction.code & 0x07) != 0x05) continue;  // no jump
    const bool always = kinds[i] == StepKind::kJa;
    steps[i].if_true = through_jumps(program, i + 1 + (always ? instruction.k : instruction.jt));
    if (!always) steps[i].if_false = through_jumps(program, i + 1u + instruction.jf);
  }
  const std::vector<Row> rows = rows_of_comparisons(program, steps);
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    if (rows[i].length < kShortestRow || rows[i].inner) continue;
    kinds[i] = StepKind::kJeqSet;
    steps[i].k = static_cast<std::uint32_t>(out.sets.size());
    out.sets.push_back(set_of_row(program, rows, i));
    std::uint32_t last = i;
    for (std::uint32_t left = rows[i].length; left > 1; --left) last = rows[last].next;
    steps[i].if_false = steps[last].if_false;
  }
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    StepKind kind = kinds[i];
    if (i + 1 < program.size() && (kind = fuse(kinds[i], kinds[i + 1])) != kinds[i]) {
      steps[i].compare = steps[i + 1].compare;
      steps[i].if_true = steps[i + 1].if_true;
      steps[i].if_false = steps[i + 1].if_false;
    }
    steps[i].code = table[static_cast<std::size_t>(kind)];
  }
  return out;
}

class Interpreter final : public Engine {
 public:
  explicit Interpreter(const cbpf::Checked& program) : decoded_(decode(program.program())) {}

  std::string_view name() const override { return "interpreter"; }

  std::uint32_t run(const packet::Packet& packet) const override {
    const std::uint32_t offset = 0;
    const packet::Columns columns{packet.data, &offset, &packet.length, &packet.wire_length, &packet.metadata, 1};
    std::uint32_t verdict = 0;
    execute_columns(columns, &verdict);
    return verdict;
  }

  void run(packet::Batch batch, std::span<std::uint32_t> verdicts) const override {
    run_as_columns(*this, batch, verdicts,
                   [this](const packet::Columns& columns, std::uint32_t* out) { execute_columns(columns, out); });
  }

  void run(const packet::Columns& columns, std::span<std::uint32_t> verdicts) const override {
    execute_columns(columns, verdicts.data());
  }

 private:
  void execute_columns(const packet::Columns& columns, std::uint32_t* verdicts) const {
    execute(decoded_.steps.data(), decoded_.sets.data(), &columns, verdicts, nullptr);
  }

  Decoded decoded_;
};

}  // namespace

std::unique_ptr<Engine> make_interpreter(const cbpf::Checked& program) {
  return std::make_unique<Interpreter>(program);
}

}  // namespace weir::engine
