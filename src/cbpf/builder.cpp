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
namespace {

// A step with its targets as steps.
struct Placed {
  std::size_t target[2] = {};  // true, false; of `jump` the first
  bool far[2] = {false, false};
  std::size_t at = 0;  // its instruction

  std::size_t size() const { return 1u + (far[0] ? 1 : 0) + (far[1] ? 1 : 0); }
};

std::uint64_t distance(const std::vector<Placed>& placed, std::size_t from, int branch) {
  return placed[placed[from].target[branch]].at - placed[from].at - 1;
}

}  // namespace

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

Result<Program> Builder::build() const {
  const auto wrong = [&](std::size_t step, std::string message, std::string hint = {}) {
    return fail(fmt::format("{}: {}", typed::kind_of(steps_[step].instruction), message),
                InstructionPlace{static_cast<std::uint32_t>(step)}, std::move(hint));
  };
  std::map<std::string_view, std::size_t> labels;
  for (const auto& [name, step] : labels_) {
    if (step == steps_.size()) return fail(fmt::format("no instruction follows the label '{}'", name));
    if (name.empty()) return wrong(step, "its label is empty");
    if (!labels.emplace(name, step).second) return wrong(step, fmt::format("label '{}' is defined twice", name));
  }

  std::vector<Placed> placed(steps_.size());
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    if (!steps_[step].labelled_jump) continue;
    for (int branch = 0; branch < 2; ++branch) {
      const std::string& name = branch == 0 ? steps_[step].when_true : steps_[step].when_false;
      std::size_t target = step + 1;
      if (!name.empty()) {
        const auto found = labels.find(name);
        if (found == labels.end()) {
          std::vector<std::string_view> known;
          for (const auto& label : labels) known.push_back(label.first);
          return wrong(step, fmt::format("there is no label '{}'", name), did_you_mean(name, known));
        }
        target = found->second;
        if (target <= step)
          return wrong(step, fmt::format("jump backward to '{}'", name), "programs only jump forward");
      }
      if (target == steps_.size()) return wrong(step, "no instruction follows it");
      placed[step].target[branch] = target;
    }
  }

  for (bool changed = true; changed;) {
    changed = false;
    std::size_t at = 0;
    for (Placed& one : placed) {
      one.at = at;
      at += one.size();
    }
    for (std::size_t step = 0; step < steps_.size(); ++step) {
      if (!steps_[step].labelled_jump || std::holds_alternative<typed::Jump>(steps_[step].instruction)) continue;
      for (int branch = 0; branch < 2; ++branch) {
        if (placed[step].far[branch] || distance(placed, step, branch) <= 255) continue;
        placed[step].far[branch] = changed = true;
      }
    }
  }

  std::vector<Instruction> program;
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    typed::Instruction instruction = steps_[step].instruction;
    const Placed& here = placed[step];
    if (steps_[step].labelled_jump) {
      const auto skip = [&](int branch) {
        if (here.far[branch]) return static_cast<std::uint8_t>(branch == 1 && here.far[0] ? 1 : 0);
        return static_cast<std::uint8_t>(distance(placed, step, branch));
      };
      if (auto* jump = std::get_if<typed::Jump>(&instruction))
        jump->skip = static_cast<std::uint32_t>(distance(placed, step, 0));
      if (auto* jump = std::get_if<typed::JumpIf>(&instruction)) jump->skip_true = skip(0), jump->skip_false = skip(1);
      if (auto* jump = std::get_if<typed::JumpIfX>(&instruction)) jump->skip_true = skip(0), jump->skip_false = skip(1);
    }
    Result<Instruction> made = typed::assemble(instruction);
    if (!made) {
      made.error().place = InstructionPlace{static_cast<std::uint32_t>(step)};
      return fail(std::move(made.error()));
    }
    program.push_back(*made);
    for (int branch = 0; branch < 2; ++branch)
      if (here.far[branch])
        program.push_back(
            make(Opcode::kJa, static_cast<std::uint32_t>(placed[here.target[branch]].at - program.size() - 1)));
  }
  return Program(std::move(program));
}

}  // namespace weir::cbpf
