// Programs with labels, resolved. Exports Builder's larger functions.
//
// A conditional jump holds distances up to 255. Layout starts with all branches short and makes those long that do not
// reach, until none is left; a branch never becomes short again, so this ends. A long branch leads to a `ja` of its own
// behind the jump: [jump] [ja of the true branch] [ja of the false branch].
#include <weir/cbpf/builder.h>

#include <map>
#include <optional>

#include <fmt/format.h>

#include <weir/base/suggest.h>

namespace weir::cbpf {

Builder& Builder::label(std::string_view name) {
  labels_.emplace_back(name, steps_.size());
  return *this;
}

Builder& Builder::add(typed::Instruction instruction) {
  steps_.push_back({.instruction = std::move(instruction)});
  return *this;
}

Builder& Builder::jump(std::string_view label) {
  steps_.push_back({.instruction = typed::Jump{}, .labelled_jump = true, .when_true = std::string(label)});
  return *this;
}

Builder& Builder::jump_if(Test test, std::uint32_t value, std::string_view when_true, std::string_view when_false) {
  steps_.push_back({.instruction = typed::JumpIf{test, value},
                    .labelled_jump = true,
                    .when_true = std::string(when_true),
                    .when_false = std::string(when_false)});
  return *this;
}

Builder& Builder::jump_if_x(Test test, std::string_view when_true, std::string_view when_false) {
  steps_.push_back({.instruction = typed::JumpIfX{test},
                    .labelled_jump = true,
                    .when_true = std::string(when_true),
                    .when_false = std::string(when_false)});
  return *this;
}

// The steps with their places in the program.
class Builder::Layout {
 public:
  explicit Layout(const Builder& builder) : steps_(builder.steps_), placed_(steps_.size()) {}

  Status find_targets(const std::vector<std::pair<std::string, std::size_t>>& names) {
    std::map<std::string_view, std::size_t> labels;
    for (const auto& [name, step] : names) {
      if (step == steps_.size()) return fail(fmt::format("no instruction follows the label '{}'", name));
      if (name.empty()) return wrong(step, "its label is empty");
      if (!labels.emplace(name, step).second) return wrong(step, fmt::format("label '{}' is defined twice", name));
    }
    for (std::size_t step = 0; step < steps_.size(); ++step) {
      if (!steps_[step].labelled_jump) continue;
      WEIR_TRY(placed_[step].target[0], target_of(step, steps_[step].when_true, labels));
      WEIR_TRY(placed_[step].target[1], target_of(step, steps_[step].when_false, labels));
    }
    return {};
  }

  void place() {
    for (bool changed = true; changed;) {
      changed = false;
      std::size_t at = 0;
      for (Placed& one : placed_) {
        one.at = at;
        at += one.size();
      }
      for (std::size_t step = 0; step < steps_.size(); ++step) {
        if (!steps_[step].labelled_jump || std::holds_alternative<typed::Jump>(steps_[step].instruction)) continue;
        for (int branch = 0; branch < 2; ++branch) {
          if (placed_[step].far[branch] || distance(step, branch) <= 255) continue;
          placed_[step].far[branch] = changed = true;
        }
      }
    }
  }

  Result<Program> write() const {
    std::vector<Instruction> program;
    for (std::size_t step = 0; step < steps_.size(); ++step) {
      Result<Instruction> made = typed::assemble(with_distances(step));
      if (!made) {
        made.error().place = InstructionPlace{static_cast<std::uint32_t>(step)};
        return fail(std::move(made.error()));
      }
      program.push_back(*made);
      const Placed& here = placed_[step];
      for (int branch = 0; branch < 2; ++branch)
        if (here.far[branch])
          program.push_back(
              make(Opcode::kJa, static_cast<std::uint32_t>(placed_[here.target[branch]].at - program.size() - 1)));
    }
    return Program(std::move(program));
  }

 private:
  struct Placed {
    std::size_t target[2] = {};  // steps: true, false; of `jump` the first
    bool far[2] = {false, false};
    std::size_t at = 0;  // its instruction

    std::size_t size() const { return 1u + (far[0] ? 1 : 0) + (far[1] ? 1 : 0); }
  };

  tl::unexpected<Error> wrong(std::size_t step, std::string message, std::string hint = {}) const {
    return fail(fmt::format("{}: {}", typed::kind_of(steps_[step].instruction), message),
                InstructionPlace{static_cast<std::uint32_t>(step)}, std::move(hint));
  }

  Result<std::size_t> target_of(std::size_t step, const std::string& name,
                                const std::map<std::string_view, std::size_t>& labels) const {
    std::size_t target = step + 1;
    if (!name.empty()) {
      const auto found = labels.find(name);
      if (found == labels.end()) {
        std::vector<std::string_view> known;
        for (const auto& label : labels) known.push_back(label.first);
        return wrong(step, fmt::format("there is no label '{}'", name), did_you_mean(name, known));
      }
      target = found->second;
      if (target <= step) return wrong(step, fmt::format("jump backward to '{}'", name), "programs only jump forward");
    }
    if (target == steps_.size()) return wrong(step, "no instruction follows it");
    return target;
  }

  std::uint64_t distance(std::size_t from, int branch) const {
    return placed_[placed_[from].target[branch]].at - placed_[from].at - 1;
  }

  typed::Instruction with_distances(std::size_t step) const {
    typed::Instruction instruction = steps_[step].instruction;
    if (!steps_[step].labelled_jump) return instruction;
    const auto skip = [&](int branch) {
      const Placed& here = placed_[step];
      if (here.far[branch]) return static_cast<std::uint8_t>(branch == 1 && here.far[0] ? 1 : 0);
      return static_cast<std::uint8_t>(distance(step, branch));
    };
    if (auto* jump = std::get_if<typed::Jump>(&instruction)) jump->skip = static_cast<std::uint32_t>(distance(step, 0));
    if (auto* jump = std::get_if<typed::JumpIf>(&instruction)) jump->skip_true = skip(0), jump->skip_false = skip(1);
    if (auto* jump = std::get_if<typed::JumpIfX>(&instruction)) jump->skip_true = skip(0), jump->skip_false = skip(1);
    return instruction;
  }

  const std::vector<Step>& steps_;
  std::vector<Placed> placed_;
};

Result<Program> Builder::build() const {
  Layout layout(*this);
  WEIR_CHECK(layout.find_targets(labels_));
  layout.place();
  return layout.write();
}

}  // namespace weir::cbpf
