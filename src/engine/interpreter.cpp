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

#include <vector>

#include <weir/base/bytes.h>

#include "engine/extension_load.h"

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
  X(LdByteJge) X(LdByteJset) X(LdHalfIndirectJeq)
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

// Runs the program; with no packet, returns the dispatch table instead (labels are known only inside of the function).
std::uint32_t execute(const Step* steps, const packet::Packet* packet, const void* const** table) {
  static const void* const kTable[] = {
#define WEIR_STEP(name) &&name,
      WEIR_STEPS(WEIR_STEP)
#undef WEIR_STEP
  };
  if (packet == nullptr) {
    *table = kTable;
    return 0;
  }

  const std::uint8_t* const data = packet->data;
  const std::uint32_t length = packet->length;
  std::uint32_t scratch[cbpf::kScratchWords];
  std::uint32_t a = 0;
  std::uint32_t x = 0;
  const Step* step = steps;

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
#define LOAD(offset, size, reader)           \
  do {                                       \
    const std::uint32_t at = (offset);       \
    if (!inside(at, size, length)) return 0; \
    a = reader(data + at);                   \
  } while (false)
#define BYTE(p) (*(p))
#define FUSED(name, offset, size, reader, condition) \
  name:                                              \
  LOAD(offset, size, reader);                        \
  BRANCH(condition);

  goto * step->code;

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
  a = packet->wire_length;
  NEXT();
LdExtension:
  a = load_extension(static_cast<cbpf::Extension>(step->k - cbpf::kExtensionBase), *packet, a, x);
  NEXT();
LdXorX:
  a ^= x;
  NEXT();
LdOutside:
  return 0;
LdxImmediate:
  x = step->k;
  NEXT();
LdxScratch:
  x = scratch[step->k];
  NEXT();
LdxLength:
  x = packet->wire_length;
  NEXT();
LdxHeaderLength:
  if (!inside(step->k, 1, length)) return 0;
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
  if (x == 0) return 0;
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
  if (x == 0) return 0;
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
  return step->k;
RetA:
  return a;
Tax:
  x = a;
  NEXT();
Txa:
  a = x;
  NEXT();
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

#undef NEXT
#undef GO
#undef BRANCH
#undef LOAD
#undef BYTE
#undef FUSED
}

std::vector<Step> decode(const cbpf::Program& program) {
  const void* const* table = nullptr;
  execute(nullptr, nullptr, &table);
  std::vector<Step> steps(program.size());
  std::vector<StepKind> kinds(program.size());
  for (std::uint32_t i = 0; i < program.size(); ++i) {
    const cbpf::Instruction& instruction = program[i];
    kinds[i] = kind_of(instruction);
    steps[i].k = steps[i].compare = instruction.k;
    steps[i].if_true = i + 1 + (kinds[i] == StepKind::kJa ? instruction.k : instruction.jt);
    steps[i].if_false = i + 1 + instruction.jf;
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
  return steps;
}

class Interpreter final : public Engine {
 public:
  explicit Interpreter(const cbpf::Checked& program) : steps_(decode(program.program())) {}

  std::string_view name() const override { return "interpreter"; }

  std::uint32_t run(const packet::Packet& packet) const override { return execute(steps_.data(), &packet, nullptr); }

  void run(packet::Batch batch, std::span<std::uint32_t> verdicts) const override {
    const Step* const steps = steps_.data();
    for (std::size_t i = 0; i < batch.size(); ++i) verdicts[i] = execute(steps, &batch[i], nullptr);
  }

  void run(const packet::Columns& columns, std::span<std::uint32_t> verdicts) const override {
    const Step* const steps = steps_.data();
    for (std::size_t i = 0; i < columns.count; ++i) {
      const packet::Packet packet = columns[i];
      verdicts[i] = execute(steps, &packet, nullptr);
    }
  }

 private:
  std::vector<Step> steps_;
};

}  // namespace

std::unique_ptr<Engine> make_interpreter(const cbpf::Checked& program) {
  return std::make_unique<Interpreter>(program);
}

}  // namespace weir::engine
