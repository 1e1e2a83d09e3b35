// The walk over all paths of a program. Exports Walk.
//
// One Walk a verification. Its members are grouped by file: walk.cpp (paths), arithmetic.cpp, memory.cpp, stack.cpp,
// branch.cpp, call.cpp, callback.cpp, arguments.cpp, prune.cpp (checkpoints). A member that finds a broken rule calls
// refuse(), which keeps the refusal and gives false; all others go on while they get true.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <weir/ebpf/opcode_info.h>
#include <weir/verify/verify.h>

#include "verify/context.h"
#include "verify/flow.h"
#include "verify/state.h"

namespace weir::verify {

// A decision of the path, and the ones before.
struct PathStep {
  const PathStep* before = nullptr;
  std::uint32_t instruction = 0;
  bool taken = false;
  bool sure = false;
  std::size_t length = 0;
};

// A state that was met at a join, and what of it mattered to what followed.
struct Checkpoint {
  struct Marks {
    std::uint64_t read = 0;         // slots that were read afterwards
    std::uint64_t exact_slots = 0;  // whose numbers had to be what they are
    std::uint64_t overwritten = 0;  // slots written whole between the parent and this
    std::uint16_t exact_registers = 0;
    std::uint64_t assumed_slots = 0;  // the same where a path ended at a state that was not finished: it may matter
    std::uint16_t assumed_registers = 0;
  };
  State state{};
  Checkpoint* parent = nullptr;  // while branches is not 0
  std::uint32_t at = 0;          // the instruction
  std::uint32_t branches = 0;    // ways that go on from here and have not ended yet
  std::uint32_t hits = 0;
  std::uint32_t misses = 0;
  bool is_listed = false;      // among those that states are compared with
  std::vector<Marks> marks{};  // a frame each
};

// What an instruction does to memory.
struct Access {
  std::uint8_t base = 0;
  std::int32_t offset = 0;
  std::uint32_t size = 0;
  bool reads = false;
  bool writes = false;
  bool atomic = false;
  bool is_signed = false;
};

class Walk {
 public:
  Walk(const ebpf::Program& program, const Options& options, Flow flow);

  bool run();
  Refusal& refusal() { return *refusal_; }
  const Statistics& statistics() const { return statistics_; }
  bool reads_unwritten_stack() const { return reads_unwritten_stack_; }

 private:
  friend class Comparison;
  struct Pending {
    State state{};
    Checkpoint* parent = nullptr;
    const PathStep* path = nullptr;
    std::uint32_t at = 0;
  };

  // walk.cpp
  State first_state() const;
  bool constants_are_good();
  bool step();  // one instruction at at_; sets at_ to the next, or ended_
  void end_of_path();
  bool too_many_steps();
  bool push(State state, std::uint32_t at, std::uint32_t branch, bool taken);
  const ebpf::Instruction& slot() const { return code_[at_]; }
  Value& reg(unsigned number) { return state_.frames.back().registers[number]; }
  const Value& reg(unsigned number) const { return state_.frames.back().registers[number]; }
  bool readable(unsigned number);  // or a refusal
  std::uint32_t new_identity() { return next_identity_++; }
  void log_step(const State& before, std::uint32_t at);

  // arithmetic.cpp
  bool alu(const ebpf::OpcodeInfo& row);
  bool move(const ebpf::OpcodeInfo& row);
  bool combine(const ebpf::OpcodeInfo& row, const Value& operand);
  bool add_to_pointer(const Value& pointer, const Value& number, bool subtract, unsigned dst);
  void add_room(Value& pointer, const Value& number, bool subtract);
  bool wide_constant(const ebpf::OpcodeInfo& row);

  // memory.cpp
  bool memory(const ebpf::OpcodeInfo& row);
  bool atomic(const ebpf::OpcodeInfo& row);
  bool has_atomics(unsigned base);
  // Whether the access is allowed; what a read gives in `loaded`. `stored` is what a write leaves (null: anything).
  bool access(const Access& access, Value* loaded, const Value* stored);
  bool access_context(const Access& access, Value* loaded);
  bool access_structure(const Access& access, const Layout& layout, Value* loaded = nullptr);
  bool access_field(const Access& access, const Layout& layout, const Field& field, Value* loaded);
  Value behind_field(FieldKind kind);
  void load_constant(const Access& access, const ebpf::MapDefinition& map, Value& loaded);
  bool stands_for_others(const ebpf::MapDefinition& map) const;
  bool access_packet(const Access& access);
  bool access_sized(const Access& access, std::uint64_t size, Rule rule, const std::string& what);
  bool aligned(const Access& access, unsigned base_alignment);
  bool map_allows(const Access& access);
  bool refuse_key_write(unsigned base);
  // From where to where (exclusive) the access may go, from the start of what base points to; false: too far to tell.
  bool extent(const Access& access, std::int64_t& low, std::int64_t& high) const;

  // stack.cpp
  bool access_stack(const Access& access, Value* loaded, const Value* stored);
  bool read_stack(const Access& access, unsigned frame, std::int64_t low, std::int64_t high, Value* loaded);
  void write_stack(unsigned frame, std::int64_t low, std::int64_t high, bool exact, const Value* stored);
  bool stack_extent(const Access& access, std::int64_t& low, std::int64_t& high);
  std::optional<std::int64_t> unwritten_byte(unsigned frame, std::int64_t low, std::int64_t high);
  Slot& slot_at(unsigned frame, std::int64_t offset);

  // branch.cpp
  bool branch(const ebpf::OpcodeInfo& row);
  bool compare_numbers(ebpf::Condition condition, bool is_wide, const Value& left, const Value& right);
  bool is_never_null(const Value& pointer) const;
  bool compare_with_null(ebpf::Condition condition, const Value& left, const Value& right, bool& done);
  bool compare_pointers(ebpf::Condition condition, const Value& left, const Value& right, bool& done);
  bool compare_with_end(ebpf::Condition condition, const Value& left, const Value& right, bool& done);
  bool both_ways(State taken);
  void one_way(bool taken);
  void learn_numbers(State& state, const Value& left, const Range& left_range, const Value& right,
                     const Range& right_range);
  void learn_length(State& state, const Range& length, Origins origins);
  void learn_room(State& state, ebpf::Condition condition, bool holds, const Value& left, const Value& right);
  std::uint32_t target() const;

  struct Call {
    const runtime::Prototype* prototype = nullptr;
    std::int32_t number = 0;
    std::optional<std::uint16_t> map{};
    std::uint64_t record_size = 0;
    bool value_exists = false;  // an array's, of a known key
    std::uint32_t released = 0;
    std::uint32_t socket_reference = 0;     // of the socket that is an argument
    std::int64_t written_most = INT64_MAX;  // how many bytes of memory it writes at most
  };

  // call.cpp
  bool call_local();
  bool call_helper(std::int32_t number);
  bool leave();
  bool leave_early(const Value& result, bool packet_moves);
  bool packet_load(const ebpf::OpcodeInfo& row);
  bool find_helper(std::int32_t number, const runtime::Prototype*& prototype);
  bool give_result(const Call& call);
  bool give_value(const Call& call, bool may_be_null);
  void give_socket(Kind kind, std::uint32_t reference);
  bool nothing_held(const char* what);
  void forget_packet(State& state);
  void release(std::uint32_t reference);

  // callback.cpp
  bool calls_back(std::int32_t number) const;
  bool in_callback() const;
  bool call_with_function(std::int32_t number);
  bool enter_callback(const Call& call);
  bool leave_callback();
  void widen();
  void mark_all();

  // arguments.cpp
  bool argument(Call& call, unsigned index);
  bool map_argument(Call& call, unsigned reg);
  bool context_argument(unsigned reg);
  bool sized_memory(Call& call, unsigned index);
  // `size` bytes behind the register may be read or written; exact: all of them will be, else as many or fewer.
  bool helper_memory(unsigned reg, std::uint64_t size, bool reads, bool writes, bool exact);
  bool constant_size(Call& call, unsigned reg);
  bool key_argument(Call& call, unsigned reg);
  bool record_argument(Call& call, unsigned reg);
  bool socket_argument(Call& call, unsigned index);
  bool fixed_memory(Call& call, unsigned index);
  bool text_argument(Call& call, unsigned index);
  bool packet_may_be_taken(const Call& call, unsigned reg);

  // prune.cpp
  bool join(bool& known);  // at a join: known when what follows was seen before
  void checkpoint();
  Checkpoint* new_checkpoint();
  void give_back(Checkpoint& unused);
  bool is_round(std::uint32_t at) const;  // whether a helper that calls functions back is called there
  void shorten_way();
  void leave_out_parent(Checkpoint& of);
  void drop_single_identities();
  void mark_exact(Origins origins, bool assumed = false);
  void mark_exact(const Value& value, bool assumed = false) { mark_exact(value.origins, assumed); }
  void mark_read(unsigned frame, unsigned slot);
  void inherit_marks(const Checkpoint& old);

  // explain.cpp
  bool refuse(Rule rule, std::string message, std::string required, std::vector<unsigned> registers,
              std::string suggestion);
  std::string value_text(const Value& value) const;
  std::string known_text(unsigned number) const;
  std::string map_name(std::uint16_t map) const;
  std::string instruction_text(std::uint32_t at) const;

  const ebpf::Program& program_;
  const std::vector<ebpf::Instruction>& code_;
  const Options& options_;
  const runtime::Helpers& helpers_;
  const Flow flow_;
  bool on_memory_;  // the premise is memory and a length
  const std::optional<Layout> layout_;

  State state_;
  std::uint32_t at_ = 0;
  bool ended_ = false;
  Checkpoint* parent_ = nullptr;
  const PathStep* path_ = nullptr;
  std::vector<Pending> pending_;
  std::deque<PathStep> path_steps_;
  std::deque<Checkpoint> checkpoints_;
  std::vector<Checkpoint*> free_;
  std::uint64_t kept_bytes_ = 0;
  std::uint64_t kept_since_ = 0;                  // checkpoints since the way here was shortened
  std::uint64_t way_length_ = 64;                 // and how many it had then, at least
  std::vector<std::uint32_t> identities_;         // for drop_single_identities
  std::vector<std::vector<Checkpoint*>> listed_;  // by instruction
  std::uint32_t next_identity_ = 2;
  std::uint32_t calls_with_functions_ = 0;
  std::vector<std::uint32_t> visits_;  // by instruction
  std::uint64_t steps_at_checkpoint_ = 0;
  std::uint64_t jumps_ = 0;
  std::uint64_t jumps_at_checkpoint_ = 0;

  std::optional<Refusal> refusal_;
  Statistics statistics_;
  bool reads_unwritten_stack_ = false;
};

}  // namespace weir::verify
