// An extended program run one instruction at a time, for debuggers.
//
// start() begins a run before its first instruction; each step() executes one (a helper is one, with the functions that
// it calls back; a call of a function leads into it). Between steps all that the run has can be looked at. The
// Invocation must live as long as the stepper, or until the next start, and no other run may use it. Not synchronised.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <weir/base/error.h>
#include <weir/engine/ebpf.h>

namespace weir::engine {

class ExtendedStepper {
 public:
  virtual ~ExtendedStepper() = default;
  virtual const std::vector<std::shared_ptr<runtime::Map>>& maps() const = 0;

  virtual void start(runtime::Invocation& run) = 0;
  // False when the run has ended before.
  virtual bool step() = 0;
  virtual bool has_ended() const = 0;
  // While it runs: `instruction` is the next one's slot and `program` whose it is (a tail call leads into another).
  // When it has ended: how.
  virtual const Outcome& outcome() const = 0;

  // All below need start().
  virtual std::span<const std::uint64_t, ebpf::kRegisters> registers() const = 0;
  virtual std::uint32_t depth() const = 0;  // functions that wait for the one that runs
  // The slot to which the function at this depth goes on when the one it called returns; depth < depth().
  virtual std::uint32_t return_slot(std::uint32_t depth) const = 0;
  virtual std::uint64_t frame_pointer(std::uint32_t depth) const = 0;  // r10 of the function at this depth
  virtual bool may_read(std::uint64_t address, std::uint64_t size) const = 0;
};

// options.kind has no meaning here; options.budget is what functions that helpers call back may run in all.
Result<std::unique_ptr<ExtendedStepper>> make_stepper(const ebpf::Checked& program,
                                                      const ExtendedOptions& options = {});

}  // namespace weir::engine
