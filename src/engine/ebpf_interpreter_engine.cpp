// The interpreter as an engine, and a step at a time. Exports make_extended_interpreter, make_stepper.
#include <optional>

#include <weir/engine/stepper.h>

#include "engine/ebpf_interpretation.h"
#include "engine/ebpf_native.h"

namespace weir::engine {
namespace {

class ExtendedInterpreter final : public ExtendedEngine {
 public:
  explicit ExtendedInterpreter(std::shared_ptr<const Code> code) : code_(std::move(code)) {}
  std::string_view name() const override { return "interpreter"; }
  const ebpf::Program& program() const override { return code_->program; }
  const std::vector<std::shared_ptr<runtime::Map>>& maps() const override { return code_->maps; }
  Outcome run_whole(runtime::Invocation& invocation) const override {
    return Interpretation(*code_, invocation, code_->options.budget).go();
  }
  const Code& code_reference() const { return *code_; }

 private:
  std::shared_ptr<const Code> code_;
};

class InterpreterStepper final : public ExtendedStepper {
 public:
  explicit InterpreterStepper(std::shared_ptr<const Code> code) : code_(std::move(code)) {}

  const std::vector<std::shared_ptr<runtime::Map>>& maps() const override { return code_->maps; }
  void start(runtime::Invocation& run) override {
    interpretation_.emplace(*code_, run, 1);
    interpretation_->run_callbacks_whole(code_->options.budget);
    outcome_ = {0, Fault::kBudget, 0, 0, 0, &code_->program};
  }
  bool step() override {
    if (has_ended()) return false;
    outcome_ = interpretation_->go_on(outcome_.instruction);
    return true;
  }
  // A budget of one instruction is spent before the next.
  bool has_ended() const override {
    return !interpretation_ || outcome_.fault != Fault::kBudget || interpretation_->callbacks_are_spent();
  }
  const Outcome& outcome() const override { return outcome_; }
  std::span<const std::uint64_t, ebpf::kRegisters> registers() const override {
    return std::span<const std::uint64_t, ebpf::kRegisters>(interpretation_->registers(), ebpf::kRegisters);
  }
  std::uint32_t depth() const override { return interpretation_->depth(); }
  std::uint32_t return_slot(std::uint32_t depth) const override { return interpretation_->return_slot(depth); }
  std::uint64_t frame_pointer(std::uint32_t depth) const override { return interpretation_->frame_pointer(depth); }
  bool may_read(std::uint64_t address, std::uint64_t size) const override {
    return interpretation_->may_read(address, size);
  }

 private:
  std::shared_ptr<const Code> code_;
  std::optional<Interpretation> interpretation_;
  Outcome outcome_;
};

}  // namespace

Result<std::unique_ptr<ExtendedStepper>> make_stepper(const ebpf::Checked& program, const ExtendedOptions& options) {
  WEIR_TRY(std::shared_ptr<const Code> code, prepare(program, options));
  return std::unique_ptr<ExtendedStepper>(std::make_unique<InterpreterStepper>(std::move(code)));
}

const Code* code_of(const ExtendedEngine& engine) {
  const auto* interpreter = dynamic_cast<const ExtendedInterpreter*>(&engine);
  return interpreter != nullptr ? &interpreter->code_reference() : native_code_of(engine);
}

Outcome interpret_nested(const Code& code, runtime::Invocation& run, std::int64_t& budget, std::uint32_t& tail_calls) {
  const std::uint64_t left = budget > 0 ? static_cast<std::uint64_t>(budget) : 1;  // 0 is no budget there
  Interpretation interpretation(code, run, left, tail_calls);
  const Outcome outcome = interpretation.go();
  budget = static_cast<std::int64_t>(left - outcome.steps);
  tail_calls = interpretation.tail_calls();
  return outcome;
}

Result<ExtendedEnginePointer> make_extended_interpreter(std::shared_ptr<const Code> code) {
  return ExtendedEnginePointer(std::make_shared<ExtendedInterpreter>(std::move(code)));
}

}  // namespace weir::engine
