// A debugging session over an extended program: the packets of a capture or one piece of memory, and a point in time.
//
// Time is made of the instructions that a run executes, packet after packet; maps keep what they hold from packet to
// packet. A run begins at packet 1, or at the packet that was selected, with fresh maps. Going back works over the
// whole run: it is executed again from its start up to the instruction wanted; clocks give again what they gave, random
// numbers come from one seed. Addresses may differ after going back: address_text() names them as what they point to.
// Packets are numbered from 1. Not synchronised.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <weir/engine/stepper.h>
#include <weir/runtime/packet_buffer.h>

namespace weir::debug {

enum class Sight : std::uint8_t {
  kMemory,  // r1 the address, r2 the length
  kXdp,     // struct xdp_md
  kSocket,  // struct __sk_buff
};
// What a program of this type sees.
Sight sight_of(ebpf::ProgramType type);

struct ExtendedInputs {
  std::vector<std::vector<std::uint8_t>> packets{};  // for Sight::kMemory: pieces of memory; at least one
  Sight sight = Sight::kMemory;
  bool register_calls = false;  // callx is legal: it calls the helper whose number the register holds
  // Fills maps at the start of each run: slots of program arrays and of maps of maps. Programs for it are loaded with
  // these options, which have the run's maps and the session's clocks.
  std::function<Status(const engine::ExtendedOptions& options)> prepare{};
};

// if rN OPERATOR value, 64 bits without a sign.
struct ExtendedCondition {
  std::uint8_t reg = 0;
  std::string_view operation{};  // ==, !=, <, <=, >, >=, &
  std::uint64_t value = 0;
};
struct ExtendedBreakpoint {
  std::uint32_t number = 0;  // from 1
  std::uint32_t instruction = 0;
  std::optional<ExtendedCondition> condition{};
};

// A register, or memory by what it belongs to, so that it is found again when time has gone back.
struct ExtendedWatch {
  std::uint32_t number = 0;  // of breakpoints and watches together
  std::optional<std::uint8_t> reg{};
  std::string place{};  // "fp-8", "packet+12", "counts[07 00 00 00]"
  std::uint32_t size = 0;
  enum class Base : std::uint8_t { kPacket, kContext, kStack, kMap } base = Base::kPacket;
  std::int64_t offset = 0;             // from the base; kStack: from the frame pointer of the function
  std::uint32_t level = 0;             // kStack: how many functions waited for it
  std::size_t map = 0;                 // kMap
  std::vector<std::uint8_t> key{};     // kMap
  std::vector<std::uint8_t> value{};   // as last seen; empty: it was not there
  std::vector<std::uint8_t> before{};  // before it changed
};

struct ExtendedStop {
  enum class Reason : std::uint8_t {
    kStep,        // all steps were made
    kBreakpoint,  // before an instruction: `number`
    kWatch,       // a watch's value has changed: `number`
    kPacketEnd,   // the program ended on the packet: outcome() says how; the next step begins the next packet
    kFault,       // the program did what it must not do: outcome()
    kRunEnd,      // the program ended on the last packet; the next step begins a new run
    kStart,       // the run begins less far back; nothing has moved
  };
  Reason reason = Reason::kStep;
  std::uint32_t number = 0;
};

// The number that at most 8 bytes are on this machine.
std::uint64_t number_in(ByteSpan bytes);

class ExtendedSession {
 public:
  static Result<std::unique_ptr<ExtendedSession>> create(ebpf::Program program, ExtendedInputs inputs);
  ~ExtendedSession();
  ExtendedSession(const ExtendedSession&) = delete;
  ExtendedSession& operator=(const ExtendedSession&) = delete;

  const ebpf::Program& program() const { return checked_.program(); }
  // The program that runs: after a tail call another than the session's.
  const ebpf::Program& active_program() const { return outcome().program != nullptr ? *outcome().program : program(); }
  const std::vector<std::shared_ptr<runtime::Map>>& maps() const { return stepper_->maps(); }
  std::size_t packet_count() const { return inputs_.packets.size(); }

  // ---- where the session is ----
  std::uint32_t packet_number() const { return packet_ + 1; }
  std::uint64_t step_number() const { return step_; }  // instructions executed on this packet
  bool has_ended() const { return stepper_->has_ended(); }
  const engine::Outcome& outcome() const { return stepper_->outcome(); }
  std::uint32_t instruction() const { return outcome().instruction; }
  std::span<const std::uint64_t, ebpf::kRegisters> registers() const { return stepper_->registers(); }
  std::uint32_t depth() const { return stepper_->depth(); }
  std::uint32_t return_slot(std::uint32_t depth) const { return stepper_->return_slot(depth); }
  std::uint64_t frame_pointer(std::uint32_t depth) const { return stepper_->frame_pointer(depth); }
  ByteSpan packet() const;
  const std::vector<std::string>& printed() const { return printed_; }  // bpf_trace_printk, on this packet

  // ---- moving in time ----
  bool select(std::uint32_t packet_number);
  void restart();  // to where the run began, with fresh maps
  ExtendedStop step(std::uint64_t steps);
  ExtendedStop back(std::uint64_t steps);
  // To a breakpoint, a watch, a fault, or the end of the run; where the session was just begun, a breakpoint here
  // counts.
  ExtendedStop go_on();
  ExtendedStop next_line();  // to an instruction from another source line, or another stop

  // ---- stops ----
  std::uint32_t add_breakpoint(std::uint32_t instruction, std::optional<ExtendedCondition> condition);
  bool remove_stop(std::uint32_t number);  // a breakpoint or a watch
  const std::vector<ExtendedBreakpoint>& breakpoints() const { return breakpoints_; }
  std::uint32_t add_watch(std::uint8_t reg);
  // Nothing where the address belongs to nothing that lasts.
  std::optional<std::uint32_t> add_watch(std::uint64_t address, std::uint32_t size);
  const std::vector<ExtendedWatch>& watches() const { return watches_; }
  std::vector<std::uint8_t> current(const ExtendedWatch& watch) const;  // its value now; empty: it is not there

  // ---- memory ----
  // What lies at an address: "fp-8", "packet+14", "context+4", "counts[07 00 00 00]+0", "map counts"; empty for
  // numbers.
  std::string address_text(std::uint64_t value) const;
  // The bytes there; fewer than `size` where the program may not read more.
  std::vector<std::uint8_t> read(std::uint64_t address, std::uint64_t size) const;
  std::uint64_t packet_address() const;
  std::uint64_t context_address() const { return run_.arguments[0]; }

 private:
  ExtendedSession(ebpf::Checked checked, ExtendedInputs inputs);
  Status begin_run(std::uint32_t packet);
  void drop_references();
  void begin_packet();
  ExtendedStop advance();
  const ExtendedBreakpoint* hit() const;
  std::optional<ExtendedStop> stopped();  // a breakpoint or a watch
  void refresh_watches();
  static std::uint64_t clock(runtime::Invocation& run, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                             std::uint64_t);

  ebpf::Checked checked_;
  ExtendedInputs inputs_;
  runtime::Helpers helpers_;
  std::optional<runtime::PacketBuffer> buffer_;
  std::vector<std::uint8_t> memory_;
  runtime::Invocation run_;
  std::unique_ptr<engine::ExtendedStepper> stepper_;  // looks at run_
  std::uint32_t run_start_ = 0;                       // from 0
  std::uint32_t packet_ = 0;
  std::uint64_t step_ = 0;
  std::uint64_t total_ = 0;  // since the run began, ends of packets too
  bool is_new_ = true;       // nobody has moved since the run was begun by hand
  std::vector<std::uint64_t> clocks_;
  std::size_t next_clock_ = 0;
  std::vector<ExtendedBreakpoint> breakpoints_;
  std::vector<ExtendedWatch> watches_;
  std::uint32_t next_number_ = 1;
  std::vector<std::string> printed_;
};

}  // namespace weir::debug
