// Time, stops and places of extended programs. Exports ExtendedSession, sight_of.
#include <weir/debug/extended_session.h>

#include <linux/bpf.h>
#include <time.h>

#include <algorithm>

#include <fmt/format.h>

#include <weir/runtime/dump.h>

namespace weir::debug {
namespace {

using Reason = ExtendedStop::Reason;

bool holds(const ExtendedCondition& condition, std::uint64_t left) {
  const std::uint64_t right = condition.value;
  if (condition.operation == "==") return left == right;
  if (condition.operation == "!=") return left != right;
  if (condition.operation == "<") return left < right;
  if (condition.operation == "<=") return left <= right;
  if (condition.operation == ">") return left > right;
  if (condition.operation == ">=") return left >= right;
  return (left & right) != 0;
}

std::string signed_offset(std::int64_t offset) {
  return offset == 0 ? "" : fmt::format("{}{}", offset > 0 ? "+" : "-", offset > 0 ? offset : -offset);
}

// The key of the value that holds this address, and how far into the value it is.
std::string place_in_map(runtime::Map& map, std::uint64_t address) {
  std::string out = map.definition().name;
  runtime::each_entry(map, [&](const std::vector<std::uint8_t>& key, const void* value) {
    const std::uint64_t offset = address - reinterpret_cast<std::uint64_t>(value);
    if (offset >= map.value_size()) return;
    const bool array = map.definition().type == ebpf::MapType::kArray;
    const std::string name = array ? std::to_string(load<std::uint32_t>(key.data(), std::endian::native))
                                   : runtime::hex_text(key.data(), key.size());
    out = fmt::format("{}[{}]{}", map.definition().name, name, signed_offset(static_cast<std::int64_t>(offset)));
  });
  return out;
}

}  // namespace

std::uint64_t number_in(ByteSpan bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size() && i < 8; ++i) {
    const std::size_t at = std::endian::native == std::endian::little ? bytes.size() - 1 - i : i;
    value = value << 8 | bytes[at];
  }
  return value;
}

Sight sight_of(ebpf::ProgramType type) {
  switch (type) {
    case ebpf::ProgramType::kXdp: return Sight::kXdp;
    case ebpf::ProgramType::kSocketFilter:
    case ebpf::ProgramType::kSchedCls:
    case ebpf::ProgramType::kSchedAct:
    case ebpf::ProgramType::kCgroupSkb:
    case ebpf::ProgramType::kSkSkb: return Sight::kSocket;
    default: return Sight::kMemory;
  }
}

ExtendedSession::ExtendedSession(ebpf::Checked checked, ExtendedInputs inputs)
    : checked_(std::move(checked)), inputs_(std::move(inputs)), helpers_(runtime::Helpers::standard()) {
  using ebpf::Helper;
  for (const Helper helper : {Helper::kKtimeGetNs, Helper::kKtimeGetBootNs, Helper::kKtimeGetCoarseNs,
                              Helper::kKtimeGetTaiNs, Helper::kJiffies64}) {
    const auto number = static_cast<std::int32_t>(helper);
    helpers_.add(number, helpers_.find(number)->prototype, clock);
  }
}
ExtendedSession::~ExtendedSession() { drop_references(); }

// Programs that stand in an array of their own would keep each other alive.
void ExtendedSession::drop_references() {
  if (stepper_ == nullptr) return;
  for (const auto& map : stepper_->maps())
    if (auto* const references = dynamic_cast<runtime::ReferenceMap*>(map.get())) references->clear();
}

// What the clock said when the run was here before, else what it says.
std::uint64_t ExtendedSession::clock(runtime::Invocation& run, std::uint64_t, std::uint64_t, std::uint64_t,
                                     std::uint64_t, std::uint64_t) {
  auto& self = *static_cast<ExtendedSession*>(run.user);
  if (self.next_clock_ == self.clocks_.size()) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    self.clocks_.push_back(static_cast<std::uint64_t>(now.tv_sec) * 1000000000u +
                           static_cast<std::uint64_t>(now.tv_nsec));
  }
  return self.clocks_[self.next_clock_++];
}

Result<std::unique_ptr<ExtendedSession>> ExtendedSession::create(ebpf::Program program, ExtendedInputs inputs) {
  if (inputs.packets.empty()) return fail(Error{.code = ErrorCode::kUsage, .message = "there are no packets"});
  WEIR_TRY(ebpf::Checked checked, ebpf::check(std::move(program), {.register_calls = inputs.register_calls}));
  std::unique_ptr<ExtendedSession> session(new ExtendedSession(std::move(checked), std::move(inputs)));
  if (session->inputs_.sight != Sight::kMemory) {
    std::size_t largest = 0;
    for (const auto& packet : session->inputs_.packets) largest = std::max(largest, packet.size());
    WEIR_TRY(runtime::PacketBuffer buffer,
             runtime::PacketBuffer::create(std::max<std::uint32_t>(static_cast<std::uint32_t>(largest), 65536)));
    session->buffer_.emplace(std::move(buffer));
  }
  WEIR_CHECK(session->begin_run(0));
  return session;
}

Status ExtendedSession::begin_run(std::uint32_t packet) {
  drop_references();
  WEIR_TRY(stepper_, engine::make_stepper(checked_, {.helpers = &helpers_, .register_calls = inputs_.register_calls}));
  if (inputs_.prepare)
    WEIR_CHECK(inputs_.prepare({.kind = engine::ExtendedKind::kInterpreter,
                                .helpers = &helpers_,
                                .maps = stepper_->maps(),
                                .register_calls = inputs_.register_calls}));
  run_start_ = packet_ = packet;
  total_ = 0;
  next_clock_ = 0;
  begin_packet();
  return {};
}

void ExtendedSession::begin_packet() {
  const std::vector<std::uint8_t>& bytes = inputs_.packets[packet_];
  run_ = runtime::Invocation{};
  run_.user = this;
  run_.print = [this](std::string_view line) { printed_.emplace_back(line); };
  run_.perf_output = [](runtime::Map&, std::uint64_t, ByteSpan) {};  // the program sees what it sees in 'weir run'
  printed_.clear();
  step_ = 0;
  if (inputs_.sight == Sight::kMemory) {
    memory_ = bytes;
    const auto address = reinterpret_cast<std::uint64_t>(memory_.data());
    run_.arguments = {memory_.empty() ? 0 : address, memory_.size(), 0, 0, 0};
    run_.regions = {{address, memory_.size(), true}};
    run_.loads = memory_;
  } else {
    const bool xdp = inputs_.sight == Sight::kXdp;
    buffer_->set(bytes);
    run_.packet = &*buffer_;
    run_.arguments[0] = xdp ? reinterpret_cast<std::uint64_t>(buffer_->xdp_context())
                            : reinterpret_cast<std::uint64_t>(buffer_->socket_context());
    run_.regions = {{run_.arguments[0], xdp ? sizeof(xdp_md) : sizeof(__sk_buff), !xdp}};
  }
  stepper_->start(run_);
}

bool ExtendedSession::select(std::uint32_t packet_number) {
  if (packet_number == 0 || packet_number > inputs_.packets.size()) return false;
  clocks_.clear();
  if (!begin_run(packet_number - 1)) return false;
  is_new_ = true;
  refresh_watches();
  return true;
}

void ExtendedSession::restart() { select(run_start_ + 1); }

// One instruction; at the end of a packet, the beginning of the next.
ExtendedStop ExtendedSession::advance() {
  is_new_ = false;
  if (has_ended()) {
    if (outcome().fault != engine::Fault::kNone) return {Reason::kFault};
    if (packet_ + 1 == inputs_.packets.size()) {
      clocks_.clear();
      (void)begin_run(run_start_);
      return {Reason::kStep};
    }
    ++packet_;
    ++total_;
    begin_packet();
    return {Reason::kStep};
  }
  stepper_->step();
  ++step_;
  ++total_;
  if (!has_ended()) return {Reason::kStep};
  if (outcome().fault != engine::Fault::kNone) return {Reason::kFault};
  return {packet_ + 1 == inputs_.packets.size() ? Reason::kRunEnd : Reason::kPacketEnd};
}

const ExtendedBreakpoint* ExtendedSession::hit() const {
  if (has_ended() || outcome().program->instructions != program().instructions) return nullptr;
  for (const ExtendedBreakpoint& breakpoint : breakpoints_)
    if (breakpoint.instruction == instruction() &&
        (!breakpoint.condition || holds(*breakpoint.condition, registers()[breakpoint.condition->reg])))
      return &breakpoint;
  return nullptr;
}

ExtendedStop ExtendedSession::step(std::uint64_t steps) {
  ExtendedStop stop;
  for (std::uint64_t i = 0; i < steps; ++i) {
    stop = advance();
    if (stop.reason != Reason::kStep) return stop;
    if (i + 1 == steps) break;
    if (const auto stopped_here = stopped()) return *stopped_here;
  }
  refresh_watches();
  return stop;
}

ExtendedStop ExtendedSession::back(std::uint64_t steps) {
  if (steps > total_) return {Reason::kStart};
  const std::uint64_t wanted = total_ - steps;
  if (const Status status = begin_run(run_start_); !status) return {Reason::kStart};
  is_new_ = false;
  while (total_ < wanted) advance();
  refresh_watches();
  return {Reason::kStep};
}

ExtendedStop ExtendedSession::go_on() {
  if (const ExtendedBreakpoint* here = is_new_ ? hit() : nullptr) {
    is_new_ = false;
    return {Reason::kBreakpoint, here->number};
  }
  for (;;) {
    const ExtendedStop stop = advance();
    if (stop.reason == Reason::kFault || stop.reason == Reason::kRunEnd) return stop;
    if (const auto stopped_here = stopped()) return *stopped_here;
  }
}

ExtendedStop ExtendedSession::next_line() {
  const auto line_here = [&] {
    const ebpf::SourceLine* line = has_ended() ? nullptr : outcome().program->line_of(instruction());
    return line != nullptr ? std::pair(line->file, line->line) : std::pair(std::string(), 0u);
  };
  const auto start = line_here();
  for (;;) {
    const ExtendedStop stop = advance();
    if (stop.reason != Reason::kStep) return stop;
    if (const auto stopped_here = stopped()) return *stopped_here;
    if (const auto here = line_here(); here.second != 0 && here != start) return stop;
  }
}

std::uint32_t ExtendedSession::add_breakpoint(std::uint32_t instruction, std::optional<ExtendedCondition> condition) {
  breakpoints_.push_back({next_number_, instruction, condition});
  return next_number_++;
}

bool ExtendedSession::remove_stop(std::uint32_t number) {
  return std::erase_if(breakpoints_, [&](const ExtendedBreakpoint& each) { return each.number == number; }) +
             std::erase_if(watches_, [&](const ExtendedWatch& each) { return each.number == number; }) !=
         0;
}

ByteSpan ExtendedSession::packet() const {
  return buffer_ ? buffer_->bytes() : ByteSpan(memory_.data(), memory_.size());
}
std::uint64_t ExtendedSession::packet_address() const { return reinterpret_cast<std::uint64_t>(packet().data()); }

std::string ExtendedSession::address_text(std::uint64_t value) const {
  for (std::uint32_t up = 0; up <= depth(); ++up) {
    const std::uint64_t frame = frame_pointer(depth() - up);
    if (value > frame || value < frame - ebpf::kStackSize) continue;
    const std::string whose = up == 0 ? "" : up == 1 ? "caller." : fmt::format("caller{}.", up);
    return whose + "fp" + signed_offset(static_cast<std::int64_t>(value - frame));
  }
  const ByteSpan bytes = packet();
  // Programs point beyond a packet's end before they compare with it.
  if (!bytes.empty() && value - packet_address() <= (buffer_ ? bytes.size() + 4096 : bytes.size()))
    return (buffer_ ? "packet" : "memory") + signed_offset(static_cast<std::int64_t>(value - packet_address()));
  if (buffer_ && value - context_address() < run_.regions[0].size)
    return "context" + signed_offset(static_cast<std::int64_t>(value - context_address()));
  for (const auto& map : maps()) {
    if (value == reinterpret_cast<std::uint64_t>(map.get())) return "map " + map->definition().name;
    if (map->contains(value, 1)) return place_in_map(*map, value);
  }
  return {};
}

std::vector<std::uint8_t> ExtendedSession::read(std::uint64_t address, std::uint64_t size) const {
  std::vector<std::uint8_t> out;
  while (out.size() < size && stepper_->may_read(address + out.size(), 1))
    out.push_back(*reinterpret_cast<const std::uint8_t*>(address + out.size()));
  return out;
}

}  // namespace weir::debug
