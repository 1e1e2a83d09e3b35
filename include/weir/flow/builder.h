// Tests to a program, without a graph between: what filter::compile uses for expressions whose values all come from the
// packet.
//
// Values are numbered as they are made, equal ones once; blocks are made from the last to the first, each after those
// that it leads to. A block tests two values, whose loads and divisions happen there, or ends with a verdict. It is the
// plain form of weir/flow/graph.h without slots, and means the same.
//
// Not for several threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include <weir/cbpf/program.h>
#include <weir/flow/graph.h>
#include <weir/flow/optimise.h>

namespace weir::flow {

struct BuilderTest {
  Condition condition = Condition::kEqual;
  ValueId lhs = kNone;
  ValueId rhs = kNone;
  BlockId if_true = kNone;
  BlockId if_false = kNone;
  BlockId sole = kNone;  // the one of both that nothing else leads to, now or later, if that is known
};

class Builder {
 public:
  // About how many there will be.
  struct Sizes {
    std::size_t values = 0;
    std::size_t blocks = 0;
  };
  explicit Builder(Sizes sizes);
  ~Builder();
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  ValueId constant(std::uint32_t k);
  ValueId load(std::uint8_t size, ValueId base, std::uint32_t k);  // at packet[base + k]; base may be kNone
  ValueId length();
  ValueId extension(std::uint32_t k);
  ValueId negate(ValueId a);
  ValueId binary(Op op, ValueId a, ValueId b);

  BlockId verdict(std::uint32_t k);
  // The block may take the place of the sole one, whose name is then worthless.
  BlockId test(const BuilderTest& asked);

  // The optimised program that starts at the block; the builder is spent. Nothing where optimise() would give up, or
  // the registers do not suffice: then the same as a graph may still be emitted.
  std::optional<cbpf::Program> optimise_and_emit(BlockId entry, const OptimiseOptions& options = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir::flow
