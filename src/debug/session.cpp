// A point in time over a program and packets. Exports Session.
//
// The idea: a classic program only jumps forward and reads nothing that changes, so (packet, number of steps) names a
// point in time, and any earlier one is reached by executing its packet again. Source of the commands' meaning:
// filter.rst of Linux, section bpf_dbg.
#include <weir/debug/session.h>

#include <algorithm>

#include <fmt/format.h>

#include <weir/debug/fields.h>

namespace weir::debug {

inline constexpr std::size_t kMostFinished = 16;

Status Session::set_program(cbpf::Program program) {
  WEIR_TRY(cbpf::Checked checked, cbpf::check(std::move(program), {.target = cbpf::Target::kUser}));
  program_ = std::move(checked);
  clear_stops();
  begin_run(0);
  return {};
}

void Session::set_packets(std::shared_ptr<const PacketList> packets) {
  packets_ = std::move(packets);
  begin_run(0);
}

void Session::clear_program() {
  program_.reset();
  clear_stops();
  enter_packet(packet_);
}

void Session::clear_packets() {
  packets_.reset();
  begin_run(0);
}

Surroundings Session::surroundings_for(std::uint32_t packet) const {
  Surroundings out{set_, packet};
  if (!guess_ || !has_packets()) return out;
  const packet::Metadata known = guess_metadata((*packets_)[packet], packets_->info(packet).link_type);
  using cbpf::Extension;
  const std::pair<Extension, std::uint32_t> guesses[] = {
      {Extension::kProtocol, known.protocol},
      {Extension::kType, known.type},
      {Extension::kInterfaceIndex, known.interface_index},
      {Extension::kHardwareType, known.hardware_type},
  };
  for (const auto& [extension, value] : guesses) out.set.emplace(extension, value);
  return out;
}

void Session::begin_run(std::uint32_t packet) {
  run_start_ = packet;
  counts_ = {};
  counted_.clear();
  enter_packet(packet);
}

void Session::enter_packet(std::uint32_t packet) {
  packet_ = packet;
  step_ = 0;
  state_ = {};
  fresh_ = true;
  surroundings_ = surroundings_for(packet_);
}

// Goes on to the next packet. False when there is none: then a new run begins at the first.
bool Session::leave_packet(const State& end, bool count) {
  if (count) ++(end.verdict != 0 ? counts_.passes : counts_.fails);
  counted_.push_back(count);
  if (packet_ + 1 < packets_->size()) {
    enter_packet(packet_ + 1);
    return true;
  }
  begin_run(0);
  return false;
}

bool Session::select(std::uint32_t packet_number) {
  if (packet_number == 0 || packet_number > packets_->size()) return false;
  begin_run(packet_number - 1);
  return true;
}

Stop Session::step(std::uint64_t steps) {
  finished_.clear();
  while (steps > 0) {
    --steps;
    if (fresh_) {
      fresh_ = false;
      continue;
    }
    const State after = execute(*program_, packet(), surroundings(), state_).state;
    if (after.ending == Ending::kRunning) {
      state_ = after;
      ++step_;
      continue;
    }
    const std::uint32_t number = packet_number();
    const bool more = leave_packet(after, true);
    if (finished_.size() == kMostFinished) finished_.erase(finished_.begin());
    finished_.push_back({number, after, !more});
    // The step over the packet's end arrives at the next packet's first instruction.
    fresh_ = false;
    if (!more) break;
  }
  return {};
}

bool Session::ends_now() const {
  return execute(*program_, packet(), surroundings(), state_).state.ending != Ending::kRunning;
}

bool Session::leave() { return leave_packet(finish(*program_, packet(), surroundings(), state_), false); }

void Session::go_to(std::uint64_t step) {
  state_ = {};
  for (step_ = 0; step_ < step; ++step_) state_ = execute(*program_, packet(), surroundings(), state_).state;
}

std::uint64_t Session::length_of_current() const {
  std::uint64_t length = 1;
  for (State state = execute(*program_, packet(), surroundings(), {}).state; state.ending == Ending::kRunning; ++length)
    state = execute(*program_, packet(), surroundings(), state).state;
  return length;
}

Stop Session::back(std::uint64_t steps) {
  finished_.clear();
  const std::uint32_t old_packet = packet_;
  const std::uint64_t wanted = steps;
  std::uint64_t step = step_;
  while (steps > step) {
    if (packet_ == run_start_) {
      const std::uint64_t available = wanted - steps + step;
      packet_ = old_packet;
      surroundings_ = surroundings_for(packet_);
      return {.reason = Stop::Reason::kStart, .steps_back = available};
    }
    steps -= step + 1;
    --packet_;
    surroundings_ = surroundings_for(packet_);
    step = length_of_current() - 1;
  }
  // The packets gone back over have not ended yet.
  while (counted_.size() > packet_ - run_start_) {
    const auto undone = static_cast<std::uint32_t>(run_start_ + counted_.size() - 1);
    if (counted_.back()) {
      const State end = finish(*program_, (*packets_)[undone], surroundings_for(undone), {});
      --(end.verdict != 0 ? counts_.passes : counts_.fails);
    }
    counted_.pop_back();
  }
  go_to(step - steps);
  fresh_ = false;
  return {};
}

std::vector<bool> Session::held_conditions() const {
  std::vector<bool> held;
  for (const Breakpoint& breakpoint : breakpoints_)
    held.push_back(breakpoint.kind == BreakKind::kCondition && breakpoint.condition->holds(view()));
  return held;
}

const Breakpoint* Session::hit_before(const std::vector<bool>& held) const {
  for (std::size_t i = 0; i < breakpoints_.size(); ++i) {
    const Breakpoint& b = breakpoints_[i];
    if (b.kind == BreakKind::kInstruction && b.instruction == state_.pc && (!b.condition || b.condition->holds(view())))
      return &b;
    if (b.kind == BreakKind::kCondition && !(i < held.size() && held[i]) && b.condition->holds(view())) return &b;
  }
  return nullptr;
}

const Breakpoint* Session::hit_at_end(const State& end) const {
  for (const Breakpoint& b : breakpoints_)
    if (b.kind == (end.verdict != 0 ? BreakKind::kPass : BreakKind::kFail) &&
        (!b.condition || b.condition->holds(view())))
      return &b;
  return nullptr;
}

std::vector<std::optional<std::uint32_t>> Session::watched_values() const {
  std::vector<std::optional<std::uint32_t>> values;
  for (const Watch& watch : watches_) {
    const Result<std::uint32_t> value = watch.expression.value(view());
    values.push_back(value ? std::optional(*value) : std::nullopt);
  }
  return values;
}

Stop Session::run(std::uint32_t packets) {
  std::uint32_t ended = 0;
  bool resuming = !fresh_;  // what was stopped at is gone past
  std::vector<bool> held = resuming ? held_conditions() : std::vector<bool>{};
  for (;;) {
    const Breakpoint* hit = resuming ? nullptr : hit_before(held);
    if (!breakpoints_.empty()) held = held_conditions();
    const Step next = execute(*program_, packet(), surroundings(), state_);
    const bool ends = next.state.ending != Ending::kRunning;
    if (hit == nullptr && ends && !resuming) hit = hit_at_end(next.state);
    fresh_ = resuming = false;
    if (hit != nullptr) return {.reason = Stop::Reason::kBreakpoint, .number = hit->number};
    if (ends) {
      Counts counts = counts_;
      ++(next.state.verdict != 0 ? counts.passes : counts.fails);
      if (!leave_packet(next.state, true) || ++ended == packets) {
        begin_run(0);
        return {.reason = Stop::Reason::kRunEnded, .counts = counts};
      }
      held.clear();
      continue;
    }
    if (watches_.empty()) {
      state_ = next.state;
      ++step_;
      continue;
    }
    const auto before = watched_values();
    state_ = next.state;
    ++step_;
    const auto after = watched_values();
    for (std::size_t i = 0; i < watches_.size(); ++i)
      if (before[i] != after[i])
        return {.reason = Stop::Reason::kWatch,
                .number = watches_[i].number,
                .old_value = before[i],
                .new_value = after[i]};
  }
}

std::vector<Executed> Session::past() const {
  std::vector<Executed> out;
  State state;
  for (std::uint64_t i = 0; i < step_; ++i) {
    const Step step = execute(*program_, packet(), surroundings(), state);
    out.push_back({state, step.state, step.effect});
    state = step.state;
  }
  return out;
}

std::vector<Executed> Session::whole_run() const {
  std::vector<Executed> out;
  for (State state; state.ending == Ending::kRunning; state = out.back().after) {
    const Step step = execute(*program_, packet(), surroundings(), state);
    out.push_back({state, step.state, step.effect});
  }
  return out;
}

State Session::end() const { return finish(*program_, packet(), surroundings(), state_); }

Result<std::uint32_t> Session::add_breakpoint(BreakKind kind, std::uint32_t instruction,
                                              std::optional<Expression> condition) {
  if (kind == BreakKind::kInstruction && instruction >= program().size())
    return fail(fmt::format("there is no instruction {}", instruction), {},
                fmt::format("the program has instructions 0 to {}", program().size() - 1));
  if (kind == BreakKind::kCondition && !condition) return fail("a condition is missing");
  const std::string condition_text = condition ? condition->text() : "";
  for (const Breakpoint& b : breakpoints_)
    if (b.kind == kind && (kind != BreakKind::kInstruction || b.instruction == instruction) &&
        (b.condition ? b.condition->text() : "") == condition_text)
      return fail("breakpoint already set!");
  breakpoints_.push_back({next_number_, kind, instruction, std::move(condition)});
  return next_number_++;
}

std::uint32_t Session::add_watch(Expression expression) {
  watches_.push_back({next_number_, std::move(expression)});
  return next_number_++;
}

bool Session::remove_stop(std::uint32_t number) {
  const auto is_it = [number](const auto& stop) { return stop.number == number; };
  return std::erase_if(breakpoints_, is_it) + std::erase_if(watches_, is_it) > 0;
}

void Session::clear_stops() {
  breakpoints_.clear();
  watches_.clear();
}

void Session::set_extension(cbpf::Extension extension, std::uint32_t value) {
  set_[extension] = value;
  begin_run(packet_);
}

bool Session::unset_extension(cbpf::Extension extension) {
  const bool was_set = set_.erase(extension) > 0;
  begin_run(packet_);
  return was_set;
}

void Session::set_guessing(bool guess) {
  guess_ = guess;
  begin_run(packet_);
}

}  // namespace weir::debug
