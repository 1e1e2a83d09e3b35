// A debugging session: a program, the packets of a capture, and a point in time.
//
// Time is made of the instructions that a run executes, packet after packet. A run begins at packet 1, or at the packet
// that was selected, and ends after the last packet; then a new run begins at packet 1. Going back works over the whole
// run: nothing is recorded, the packet is executed again up to the instruction wanted.
//
// A point in time lies before an instruction. At the start of a packet nothing was shown yet: the first step only
// arrives at instruction 0 (as in bpf_dbg). Packets are numbered from 1.
// Not synchronised.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>
#include <weir/debug/expression.h>
#include <weir/debug/machine.h>
#include <weir/debug/packets.h>

namespace weir::debug {

struct Counts {
  std::uint32_t passes = 0;  // packets whose verdict is not 0
  std::uint32_t fails = 0;
  friend bool operator==(const Counts&, const Counts&) = default;
};

enum class BreakKind : std::uint8_t {
  kInstruction,  // before the instruction, where the condition holds if there is one
  kCondition,    // before any instruction where the condition begins to hold
  kPass,         // before the instruction that ends a packet with a verdict that is not 0
  kFail,         // the same with a verdict of 0
};

struct Breakpoint {
  std::uint32_t number = 0;  // from 1, never used again within a session
  BreakKind kind = BreakKind::kInstruction;
  std::uint32_t instruction = 0;
  std::optional<Expression> condition{};
};

struct Watch {
  std::uint32_t number = 0;  // shares its numbers with breakpoints
  Expression expression;
};

// Why the session came to a halt.
struct Stop {
  enum class Reason : std::uint8_t {
    kStep,        // all steps were made
    kBreakpoint,  // before an instruction; `number` says which breakpoint
    kWatch,       // after an instruction that changed a watched value
    kRunEnded,    // all packets, or as many as were asked for: `counts`; a new run begins at packet 1
    kStart,       // the run begins less far back; nothing has moved
  };
  Reason reason = Reason::kStep;
  std::uint32_t number = 0;
  std::optional<std::uint32_t> old_value{};  // of the watch; empty where it had no value
  std::optional<std::uint32_t> new_value{};
  Counts counts{};
  std::uint64_t steps_back = 0;  // kStart: how far back the run begins
};

// A packet that ended while stepping.
struct Finished {
  std::uint32_t packet = 0;
  State end{};
  bool wrapped = false;  // it was the last: a new run begins at packet 1
};

// One instruction of a run over a packet.
struct Executed {
  State before;
  State after;
  Effect effect;
};

class Session {
 public:
  // Checks the program as weir's engines would; breakpoints, watches and the run start anew.
  Status set_program(cbpf::Program program);
  // The run starts anew. Never null.
  void set_packets(std::shared_ptr<const PacketList> packets);
  void clear_program();  // and its breakpoints and watches
  void clear_packets();

  bool has_program() const { return program_.has_value(); }
  bool has_packets() const { return packets_ != nullptr && !packets_->empty(); }
  bool ready() const { return has_program() && has_packets(); }
  const cbpf::Program& program() const { return program_->program(); }
  const PacketList& packets() const { return *packets_; }

  // ---- where the session is; all need ready() ----
  std::uint32_t packet_number() const { return packet_ + 1; }
  const packet::Packet& packet() const { return (*packets_)[packet_]; }
  const PacketInfo& packet_info() const { return packets_->info(packet_); }
  const State& state() const { return state_; }
  // Nothing was executed or shown of this packet yet.
  bool at_start() const { return fresh_; }
  Counts counts() const { return counts_; }
  View view() const { return {state_, packet(), packet_number(), surroundings()}; }

  // ---- moving in time; all need ready() ----
  // Begins a new run at this packet. False when there is none of this number.
  bool select(std::uint32_t packet_number);
  // At most over the end of the last packet, to the first instruction of the next run. Packets that end are counted.
  Stop step(std::uint64_t steps);
  Stop back(std::uint64_t steps);
  // Whether the instruction at this point ends the packet.
  bool ends_now() const;
  // Goes on to the start of the next packet, whose run is not counted. False after the last: a new run begins at the
  // first.
  bool leave();
  // Until a breakpoint, a watch, or `packets` packets have ended (0: all).
  Stop run(std::uint32_t packets = 0);
  // The packets that ended during the last step(), the last few only.
  const std::vector<Finished>& finished() const { return finished_; }

  // ---- what the current packet's run has done, and will do; need ready() ----
  std::vector<Executed> past() const;       // up to this point
  std::vector<Executed> whole_run() const;  // to the packet's end
  State end() const;                        // how the packet ends

  // ---- stops ----
  Result<std::uint32_t> add_breakpoint(BreakKind kind, std::uint32_t instruction, std::optional<Expression> condition);
  std::uint32_t add_watch(Expression expression);
  bool remove_stop(std::uint32_t number);
  void clear_stops();
  const std::vector<Breakpoint>& breakpoints() const { return breakpoints_; }
  const std::vector<Watch>& watches() const { return watches_; }

  // ---- extension values, for every packet; setting one begins a new run at this packet ----
  void set_extension(cbpf::Extension extension, std::uint32_t value);
  bool unset_extension(cbpf::Extension extension);
  const ExtensionValues& extensions() const { return set_; }
  // Whether extensions that were not set read what guess_metadata() says; else what the capture says, or 0.
  void set_guessing(bool guess);
  bool guessing() const { return guess_; }
  const Surroundings& surroundings() const { return surroundings_; }
  // Only with has_program().
  const cbpf::Checked& checked() const { return *program_; }

 private:
  Surroundings surroundings_for(std::uint32_t packet) const;
  void begin_run(std::uint32_t packet);
  void enter_packet(std::uint32_t packet);
  bool leave_packet(const State& end, bool count);
  void go_to(std::uint64_t step);
  std::uint64_t length_of_current() const;
  const Breakpoint* hit_before(const std::vector<bool>& held) const;
  const Breakpoint* hit_at_end(const State& end) const;
  std::vector<bool> held_conditions() const;
  std::vector<std::optional<std::uint32_t>> watched_values() const;

  std::optional<cbpf::Checked> program_;
  std::shared_ptr<const PacketList> packets_;
  std::vector<Breakpoint> breakpoints_;
  std::vector<Watch> watches_;
  std::uint32_t next_number_ = 1;
  ExtensionValues set_;
  bool guess_ = false;

  std::uint32_t run_start_ = 0;  // the packet where the run began, from 0
  std::uint32_t packet_ = 0;     // from 0
  std::uint64_t step_ = 0;       // instructions executed on the packet
  State state_;
  bool fresh_ = true;
  Counts counts_;
  std::vector<bool> counted_;  // of the packets from run_start_ to before packet_: not left by leave(), so in counts_
  std::vector<Finished> finished_;
  Surroundings surroundings_;  // of packet_
};

}  // namespace weir::debug
