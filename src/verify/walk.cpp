// The walk itself: one path after another, depth first. Exports Walk::run and verify's entries.
//
// A branch whose side is not known leaves a copy of the state for the other side and goes on. The budget counts the
// instructions of all paths.
#include "verify/walk.h"

#include <algorithm>

#include <fmt/format.h>

#include "verify/context.h"

namespace weir::verify {

// Where the program attaches, if the premise is about its own type.
static std::optional<ebpf::AttachType> attach_type_of(const ebpf::Program& program, const ebpf::Premise& premise) {
  if (!program.has_attach_type || program.type != premise.type) return std::nullopt;
  return program.attach_type;
}

using ebpf::OperandShape;

namespace {
constexpr std::size_t kMostPending = 8192;  // BPF_COMPLEXITY_LIMIT_JMP_SEQ
}  // namespace

Walk::Walk(const ebpf::Program& program, const Options& options, Flow flow)
    : program_(program),
      code_(program.instructions),
      options_(options),
      helpers_(options.helpers != nullptr ? *options.helpers : runtime::Helpers::standard()),
      flow_(std::move(flow)),
      on_memory_(options.premise.type == ebpf::ProgramType::kUnspec),
      layout_(find_layout(options.premise.type, attach_type_of(program, options.premise))),
      listed_(program.size()),
      visits_(program.size()) {}

State Walk::first_state() const {
  State state;
  state.frames.emplace_back();
  state.frames.back().overwritten = ~std::uint64_t{0};
  Value* registers = state.registers();
  registers[10] = Value::pointer(Kind::kStack);
  if (!on_memory_) {
    registers[1] = Value::pointer(Kind::kContext);
    return state;
  }
  const ebpf::Premise& premise = options_.premise;
  registers[2] = Value::of(Range::between(premise.memory_least, premise.memory_most));
  registers[2].identity = kLengthIdentity;
  if (premise.memory_most == 0) {
    registers[1] = Value::constant(0);
  } else {
    registers[1] = Value::pointer(Kind::kPacket);
    registers[1].room = static_cast<std::uint32_t>(std::min<std::uint64_t>(premise.memory_least, 1u << 30));
  }
  return state;
}

// Constants that stand for maps must do so also where no path leads: engines fill them in before the program runs.
bool Walk::constants_are_good() {
  state_ = first_state();
  for (at_ = 0; at_ < code_.size(); ++at_)
    if (flow_.rows[at_] != nullptr && ebpf::is_wide(flow_.rows[at_]->shape) && !wide_constant(*flow_.rows[at_]))
      return false;
  at_ = 0;
  state_ = first_state();
  return true;
}

bool Walk::run() {
  if (!constants_are_good()) return false;
  for (;;) {
    ended_ = false;
    while (!ended_) {
      bool known = false;
      if (flow_.joins[at_] && !join(known)) return false;
      if (known) {
        ++statistics_.known_paths;
        break;
      }
      ++visits_[at_];
      if (++statistics_.steps > options_.budget) return too_many_steps();
      const std::uint32_t at = at_;
      if (!options_.log) {
        if (!step()) return false;
        continue;
      }
      const State before = state_;
      const bool went = step();
      log_step(before, at);
      if (!went) return false;
    }
    end_of_path();
    if (pending_.empty()) return true;
    Pending& next = pending_.back();
    state_ = std::move(next.state);
    parent_ = next.parent;
    path_ = next.path;
    at_ = next.at;
    pending_.pop_back();
    if (options_.log) options_.log(fmt::format("from a branch to {}:", at_));
  }
}

// Names the place that was walked most often: the loop that is too long, or where branches multiply.
bool Walk::too_many_steps() {
  const auto most = static_cast<std::uint32_t>(std::max_element(visits_.begin(), visits_.end()) - visits_.begin());
  refuse(Rule::kTooComplex, fmt::format("the paths have more than {} instructions in all", options_.budget),
         "all paths can be walked within the budget", {},
         "make loops shorter or give them a constant bound, split the program by tail calls");
  const ebpf::SourceLine* line = program_.line_of(most);
  const std::string where = line != nullptr ? fmt::format(" ({}:{})", line->file, line->line) : "";
  refusal_->known.push_back(fmt::format("instruction {}, '{}'{}, was walked {} times; {} path{} ended", most,
                                        instruction_text(most), where, visits_[most], statistics_.paths,
                                        statistics_.paths == 1 ? "" : "s"));
  return false;
}

// One way less goes on from each checkpoint behind.
void Walk::end_of_path() {
  ++statistics_.paths;
  for (Checkpoint* each = parent_; each != nullptr && --each->branches == 0; each = each->parent)
    if (!each->is_listed) give_back(*each);
}

// Keeps the other side of a branch for later.
bool Walk::push(State state, std::uint32_t at, std::uint32_t branch, bool taken) {
  if (pending_.size() >= kMostPending)
    return refuse(Rule::kTooComplex, fmt::format("more than {} branches wait for their other side", kMostPending),
                  "fewer branches on one path", {}, "make the loop shorter, or move its body into a function");
  path_steps_.push_back({path_, branch, taken, false, path_ != nullptr ? path_->length + 1 : 1});
  pending_.push_back({std::move(state), parent_, &path_steps_.back(), at});
  if (parent_ != nullptr) ++parent_->branches;
  return true;
}

bool Walk::readable(unsigned number) {
  if (reg(number).kind != Kind::kNothing) return true;
  const bool argument = number >= 1 && number <= 5;
  return refuse(
      Rule::kUninitialised, fmt::format("r{} is read but was never written", number),
      fmt::format("a value in r{}", number), {number},
      argument ? fmt::format("calls leave nothing in r1 to r5: keep what you need in r6 to r9 or set r{} again", number)
               : fmt::format("give r{} a value on every path that leads here", number));
}

bool Walk::step() {
  const ebpf::OpcodeInfo& row = *flow_.rows[at_];
  switch (row.shape) {
    case OperandShape::kAluConstant:
    case OperandShape::kAluRegister:
    case OperandShape::kNegate:
    case OperandShape::kSignExtend:
    case OperandShape::kByteOrder:
      if (!alu(row)) return false;
      ++at_;
      return true;
    case OperandShape::kWideConstant:
    case OperandShape::kWideMap:
    case OperandShape::kWideVariable:
    case OperandShape::kWideFunction:
      if (!wide_constant(row)) return false;
      at_ += 2;
      return true;
    case OperandShape::kJump:
    case OperandShape::kJumpLong:
      ++jumps_;
      at_ = target();
      return true;
    case OperandShape::kBranchConstant:
    case OperandShape::kBranchRegister: ++jumps_; return branch(row);
    case OperandShape::kLoad:
    case OperandShape::kStoreConstant:
    case OperandShape::kStoreRegister:
    case OperandShape::kLoadAcquire:
    case OperandShape::kStoreRelease:
      if (!memory(row)) return false;
      ++at_;
      return true;
    case OperandShape::kMayJump:
    case OperandShape::kAddressSpace:
      return refuse(Rule::kStructure, fmt::format("{} means something in kernels alone", row.sign),
                    "an instruction that has a meaning here", {}, "load the program into the kernel");
    case OperandShape::kAtomic:
    case OperandShape::kAtomicFetch:
    case OperandShape::kAtomicCompare:
      if (!atomic(row)) return false;
      ++at_;
      return true;
    case OperandShape::kPacketAbsolute:
    case OperandShape::kPacketIndirect:
      if (!packet_load(row)) return false;
      ++at_;
      return true;
    case OperandShape::kCallHelper:
      if (!call_helper(slot().immediate)) return false;
      ++at_;
      return true;
    case OperandShape::kCallRegister: {
      const unsigned number = slot().dst;
      if (!readable(number)) return false;
      if (!options_.register_calls || !reg(number).is_constant())
        return refuse(Rule::kCall, "a call through a register", "a call of a function that is known", {number},
                      "call the helper by its number");
      mark_exact(reg(number));
      if (!call_helper(static_cast<std::int32_t>(reg(number).number.number()))) return false;
      ++at_;
      return true;
    }
    case OperandShape::kCallKernel:
      return refuse(Rule::kCall, fmt::format("a call of the kernel's function of BTF id {}", slot().immediate),
                    "a helper or a function of the program", {},
                    "functions of the kernel exist there alone: let it judge, weir prog load FILE");
    case OperandShape::kCallLocal: return call_local();
    case OperandShape::kNone: return leave();
  }
  return true;
}

void Walk::log_step(const State& before, std::uint32_t at) {
  std::string line = fmt::format("{}: {}", at, instruction_text(at));
  if (refusal_) return options_.log(line);
  std::string changes;
  const bool same_frame = before.frames.size() == state_.frames.size();
  for (unsigned i = 0; i < 10; ++i) {
    const Value& now = reg(i);
    if (now.kind == Kind::kNothing) continue;
    if (same_frame) {
      const Value& then = before.registers()[i];
      if (then.kind == now.kind && then.number == now.number && then.offset == now.offset && then.room == now.room &&
          then.may_be_null == now.may_be_null && then.identity == now.identity)
        continue;
    }
    changes += fmt::format("{}r{}: {}", changes.empty() ? "" : "; ", i, value_text(now));
  }
  if (line.size() < 44) line.resize(44, ' ');
  options_.log(changes.empty() ? fmt::format("{}: {}", at, instruction_text(at)) : line + " ; " + changes);
}

}  // namespace weir::verify
