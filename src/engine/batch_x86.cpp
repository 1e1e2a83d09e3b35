// Groups of eight or sixteen packets, and what becomes of the rest. Exports make_batch_x86 and join.
//
// The vector code runs groups from a given one on, and returns where it stopped: at a group with a packet shorter than
// what the code takes for granted, or at the last few packets. Those are run by scalar code, and the vector code goes
// on behind them. Verdicts are stored as words, or as one bit a packet. Several programs can be joined: one pass over
// the groups, in which what they load alike is loaded once, gives the bits of all.
#include "engine/batch_x86.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <optional>
#include <utility>

#include <asmjit/x86.h>

#include "engine/lane_body.h"
#include "engine/machine_code.h"
#include "engine/plan_passes.h"
#include "engine/scalar_x86.h"

namespace weir::engine {
namespace {

namespace x86 = asmjit::x86;

constexpr std::size_t kMostLanes = 16;

// Returns the first packet that it did not run. Stores a bit for each packet where `bits` is not null, else verdicts.
// begin: a multiple of the group's packets. Joined programs give bits only, `stride` bytes from program to program.
using GroupsFunction = std::uint64_t (*)(const packet::Columns* columns, std::uint32_t* verdicts, std::uint64_t begin,
                                         std::uint8_t* bits, std::uint64_t stride);

struct GroupsCode {
  CodeMemory memory;
  std::size_t size = 0;
  std::vector<CodeMark> marks;
  std::vector<SetTable> tables;
  GroupsFunction run = nullptr;
  std::size_t lanes = 1;  // packets of a group
};

class Function {
 public:
  // joined: how many programs the plan was joined of; 0: it is one.
  Function(const Plan& plan, std::uint32_t joined, std::uint32_t length, const BatchOptions& options)
      : plan_(plan),
        joined_(joined),
        length_(length),
        options_(options),
        lanes_(attach(), options.wide, options.fast_gather) {}

  Result<GroupsCode> make() {
    for (const std::vector<flow::Range>& set : plan_.sets) code_.tables.push_back(make_set_table(set));
    if (c_.code() == nullptr)
      return fail(Error{.code = ErrorCode::kUnsupported, .message = "machine code cannot be made here"});
    emit();
    if (c_.finalize() != asmjit::kErrorOk)
      return fail(Error{.code = ErrorCode::kUnsupported, .message = "the program is too large for vector code"});
    return place();
  }

 private:
  x86::Compiler& attach() {
    if (holder_.init(asmjit::Environment::host()) == asmjit::kErrorOk) holder_.attach(&c_);
    return c_;
  }

  void emit() {
    asmjit::FuncNode* function =
        c_.addFunc(asmjit::FuncSignatureT<std::uint64_t, const void*, void*, std::uint64_t, void*, std::uint64_t>());
    function->frame().setAvxEnabled();
    if (options_.wide) function->frame().setAvx512Enabled();
    function->frame().setAvxCleanup();
    const x86::Gp columns = c_.newUIntPtr();
    const x86::Gp verdicts = c_.newUIntPtr();
    const x86::Gp index = c_.newUInt64();
    function->setArg(0, columns);
    function->setArg(1, verdicts);
    function->setArg(2, index);
    const x86::Gp bits = c_.newUIntPtr();
    function->setArg(3, bits);
    const x86::Gp stride = c_.newUInt64();
    function->setArg(4, stride);
    LaneBody body(c_, lanes_, plan_, code_.tables, length_, options_.fast_gather);
    if (options_.marks) body.keep_marks();
    const auto column = [&](std::size_t offset) {
      const x86::Gp out = c_.newUIntPtr();
      c_.mov(out, x86::qword_ptr(columns, static_cast<std::int32_t>(offset)));
      return out;
    };
    const x86::Gp base = column(offsetof(packet::Columns, base));
    const x86::Gp offsets = column(offsetof(packet::Columns, offsets));
    const x86::Gp lengths = column(offsetof(packet::Columns, lengths));
    const x86::Gp wire_lengths = column(offsetof(packet::Columns, wire_lengths));
    const x86::Gp last = column(offsetof(packet::Columns, count));  // the last index at which a group starts
    const asmjit::Label loop = c_.newLabel();
    const asmjit::Label done = c_.newLabel();
    c_.test(wire_lengths, wire_lengths);
    c_.cmovz(wire_lengths, lengths);
    c_.sub(last, lanes_.count());
    c_.jb(done);
    c_.cmp(index, last);
    c_.ja(done);
    lanes_.keep_constants();
    c_.bind(loop);
    const auto of_group = [&](const x86::Gp& start) { return x86::ptr(start, index, 2); };
    const LaneGroup group{
        base, wire_lengths, index, offsets, done, lanes_.load(of_group(offsets)), lanes_.load(of_group(lengths))};
    if (length_ != 0)  // groups with shorter packets are not for this code
      lanes_.jump_unless_all(lanes_.signed_greater(group.lengths, lanes_.constant(length_ - 1)).lanes, done);
    const x86::Vec out = body.emit(group);
    if (joined_ != 0) {
      store_joined(out, bits, stride, index);
    } else {
      const asmjit::Label as_bits = c_.newLabel();
      const asmjit::Label stored = c_.newLabel();
      c_.test(bits, bits);
      c_.jnz(as_bits);
      lanes_.store(of_group(verdicts), out);
      c_.jmp(stored);
      c_.bind(as_bits);
      store_bits(out, bits, index);
      c_.bind(stored);
    }
    c_.add(index, lanes_.count());
    c_.cmp(index, last);
    c_.jbe(loop);
    c_.bind(done);
    c_.ret(index);
    c_.endFunc();
    end_ = c_.newLabel();
    c_.bind(end_);
    lanes_.embed_constants();
    marks_ = body.marks();
  }

  void store_bits(const x86::Vec& out, const x86::Gp& bits, const x86::Gp& index) {
    const x86::Gp at = c_.newUInt64();
    c_.mov(at, index);
    c_.shr(at, 3);
    store_word(x86::ptr(bits, at), lanes_.compare(flow::Condition::kBitsSet, out, out));
  }

  // Bit i of each verdict goes to the bits of program i.
  void store_joined(const x86::Vec& out, const x86::Gp& bits, const x86::Gp& stride, const x86::Gp& index) {
    const x86::Gp at = c_.newUInt64();
    c_.mov(at, index);
    c_.shr(at, 3);
    c_.add(at, bits);
    for (std::uint32_t i = 0; i < joined_; ++i) {
      store_word(x86::ptr(at), lanes_.bit(out, i));
      if (i + 1 < joined_) c_.add(at, stride);
    }
  }

  void store_word(x86::Mem to, const Lanes::Test& test) {
    const x86::Gp word = lanes_.bits(test);
    to.setSize(lanes_.count() / 8);
    if (lanes_.wide()) {
      c_.mov(to, word.r16());
    } else {
      c_.mov(to, word.r8());
    }
  }

  Result<GroupsCode> place() {
    holder_.flatten();
    holder_.resolveUnresolvedLinks();
    const std::size_t size = holder_.codeSize();
    WEIR_TRY(code_.memory, CodeMemory::allocate(size));
    if (holder_.relocateToBase(reinterpret_cast<std::uint64_t>(code_.memory.start())) != asmjit::kErrorOk ||
        holder_.copyFlattenedData(code_.memory.writable(), size) != asmjit::kErrorOk)
      return fail("machine code cannot be placed");
    WEIR_CHECK(code_.memory.seal());
    const auto offset = [this](const asmjit::Label& at) { return static_cast<std::uint32_t>(holder_.labelOffset(at)); };
    code_.size = offset(end_);
    code_.lanes = lanes_.count();
    for (const LaneBody::Mark& mark : marks_)
      code_.marks.push_back({offset(mark.at), mark.instructions.begin, mark.instructions.end});
    code_.run = reinterpret_cast<GroupsFunction>(reinterpret_cast<std::uintptr_t>(code_.memory.start()));
    return std::move(code_);
  }

  const Plan& plan_;
  const std::uint32_t joined_;
  const std::uint32_t length_;
  const BatchOptions options_;
  std::vector<LaneBody::Mark> marks_;
  GroupsCode code_;
  asmjit::CodeHolder holder_;
  x86::Compiler c_;
  Lanes lanes_;
  asmjit::Label end_;  // of the code
};

// The bits of a group of at most `lanes` packets, by scalar code.
void store_few_bits(const Engine& scalar, const packet::Columns& columns, std::size_t lanes, std::uint8_t* to) {
  std::uint32_t verdicts[kMostLanes] = {};
  scalar.run(columns, std::span(verdicts, columns.count));
  std::uint16_t word = 0;
  for (std::size_t i = 0; i < lanes; ++i) word = static_cast<std::uint16_t>(word | (verdicts[i] != 0) << i);
  static_assert(std::endian::native == std::endian::little);  // byte i of bits is that of packets 8 i to 8 i + 7
  std::memcpy(to, &word, lanes / 8);
}

class BatchEngine final : public Engine {
 public:
  BatchEngine(std::string_view name, GroupsCode groups, std::unique_ptr<Engine> scalar, Plan plan,
              const BatchOptions& options)
      : name_(name),
        groups_(std::move(groups)),
        scalar_(std::move(scalar)),
        plan_(std::move(plan)),
        options_(options) {}

  bool in_lanes() const { return groups_.run != nullptr; }
  const Engine& scalar() const { return *scalar_; }
  const Plan& plan() const { return plan_; }  // for packets of any length
  const BatchOptions& options() const { return options_; }

  std::string_view name() const override { return name_; }

  CodeListing code() const override {
    return groups_.run != nullptr ? listing_of(groups_.memory, groups_.size, groups_.marks) : scalar_->code();
  }

  std::uint32_t run(const packet::Packet& packet) const override { return scalar_->run(packet); }

  void run(packet::Batch batch, std::span<std::uint32_t> verdicts) const override {
    run_as_columns(*this, batch, verdicts,
                   [this](const packet::Columns& columns, std::uint32_t* out) { run_columns(columns, out); });
  }

  void run(const packet::Columns& columns, std::span<std::uint32_t> verdicts) const override {
    run_columns(columns, verdicts.data());
  }

  std::size_t match(const packet::Columns& columns, std::span<std::uint64_t> bits) const override {
    if (groups_.run == nullptr) return scalar_->match(columns, bits);
    if (!bits.empty()) bits.back() = 0;
    auto* const bytes = reinterpret_cast<std::uint8_t*>(bits.data());
    for (std::size_t at = 0; at < columns.count; at += groups_.lanes) {
      at = groups_.run(&columns, nullptr, at, bytes, 0);
      if (at >= columns.count) break;
      store_few_bits(*scalar_, part_of(columns, at, std::min(columns.count - at, groups_.lanes)), groups_.lanes,
                     bytes + at / 8);
    }
    std::size_t matched = 0;
    for (const std::uint64_t word : bits) matched += static_cast<std::size_t>(std::popcount(word));
    return matched;
  }

 private:
  void run_columns(const packet::Columns& columns, std::uint32_t* verdicts) const {
    std::size_t at = 0;
    while (at < columns.count) {
      if (groups_.run != nullptr) at = groups_.run(&columns, verdicts, at, nullptr, 0);
      const std::size_t left = columns.count - at;
      if (left == 0) return;
      const packet::Columns rest = part_of(columns, at, groups_.run != nullptr ? std::min(left, groups_.lanes) : left);
      scalar_->run(rest, std::span(verdicts + at, rest.count));
      at += rest.count;
    }
  }

  std::string_view name_;
  GroupsCode groups_;
  std::unique_ptr<Engine> scalar_;
  Plan plan_;
  BatchOptions options_;
};

bool has_loads(const Plan& plan) {
  return std::any_of(plan.nodes.begin(), plan.nodes.end(), [](const Node& node) { return node.op == flow::Op::kLoad; });
}

// What all packets of a group have at least.
std::uint32_t group_length(const Plan& plan) {
  return has_loads(plan) ? std::max(common_length(plan), LaneBody::kLeastLength) : 0;
}

// Some engines' programs in one pass, and the packets that lanes do not take.
struct JoinedPart {
  std::vector<const BatchEngine*> engines;
  GroupsCode groups;
};

void match_part(const JoinedPart& part, const packet::Columns& columns, std::span<std::uint64_t> bits) {
  const std::size_t words = (columns.count + 63) / 64;
  auto* const bytes = reinterpret_cast<std::uint8_t*>(bits.data());
  if (words > 0)
    for (std::size_t i = 0; i < part.engines.size(); ++i) bits[(i + 1) * words - 1] = 0;
  const std::size_t lanes = part.groups.lanes;
  for (std::size_t at = 0; at < columns.count; at += lanes) {
    at = part.groups.run(&columns, nullptr, at, bytes, 8 * words);
    if (at >= columns.count) break;
    const packet::Columns rest = part_of(columns, at, std::min(columns.count - at, lanes));
    for (std::size_t i = 0; i < part.engines.size(); ++i)
      store_few_bits(part.engines[i]->scalar(), rest, lanes, bytes + 8 * words * i + at / 8);
  }
}

// The longest run of engines from the front that can be joined, with their code: at least two, or none.
std::optional<JoinedPart> join_front(std::span<const Engine* const> engines) {
  constexpr std::size_t kMost = 32;  // bits of a verdict
  std::vector<const BatchEngine*> taken;
  std::uint32_t length = 0;
  for (const Engine* engine : engines.first(std::min(engines.size(), kMost))) {
    const auto* const batch = dynamic_cast<const BatchEngine*>(engine);
    if (batch == nullptr || !batch->in_lanes() || !can_join(batch->plan())) break;
    if (!taken.empty() && batch->options().wide != taken.front()->options().wide) break;
    taken.push_back(batch);
    length = std::max(length, group_length(batch->plan()));
  }
  for (; taken.size() > 1; taken.pop_back()) {
    std::vector<Plan> plans;
    std::vector<const Plan*> pointers;
    for (const BatchEngine* engine : taken) {
      plans.push_back(engine->plan());
      drop_implied_guards(plans.back(), length);
      find_sets(plans.back());
    }
    for (const Plan& plan : plans) pointers.push_back(&plan);
    const Plan joined = join(pointers, length);
    if (!LaneBody::takes(joined)) continue;
    BatchOptions options = taken.front()->options();
    options.marks = false;
    Result<GroupsCode> code = Function(joined, static_cast<std::uint32_t>(taken.size()), length, options).make();
    if (code) return JoinedPart{std::move(taken), std::move(*code)};
  }
  return std::nullopt;
}

class JoinedEngines final : public Joined {
 public:
  // Parts and single engines, in the engines' order.
  struct Step {
    std::optional<JoinedPart> part;
    const Engine* engine = nullptr;
  };

  void add(Step step) { steps_.push_back(std::move(step)); }

  void match(const packet::Columns& columns, std::span<std::uint64_t> bits) const override {
    const std::size_t words = (columns.count + 63) / 64;
    for (const Step& step : steps_) {
      const std::size_t used = words * (step.part ? step.part->engines.size() : 1);
      if (step.part) {
        match_part(*step.part, columns, bits.first(used));
      } else {
        step.engine->match(columns, bits.first(used));
      }
      bits = bits.subspan(used);
    }
  }

 private:
  std::vector<Step> steps_;
};

}  // namespace

std::unique_ptr<Joined> join(std::span<const Engine* const> engines) {
  auto out = std::make_unique<JoinedEngines>();
  bool any = false;
  while (!engines.empty()) {
    std::optional<JoinedPart> part = join_front(engines);
    const std::size_t used = part ? part->engines.size() : 1;
    any = any || part;
    out->add({std::move(part), engines.front()});
    engines = engines.subspan(used);
  }
  return any ? std::move(out) : nullptr;
}

Result<std::unique_ptr<Engine>> make_batch_x86(Plan plan, std::unique_ptr<Engine> any_length,
                                               const BatchOptions& options) {
  drop_implied_guards(plan, 0);
  find_sets(plan);
  WEIR_TRY(std::unique_ptr<Engine> scalar, make_scalar_x86(plan, std::move(any_length), options.marks));
  Plan original = plan;
  GroupsCode groups;
  const std::uint32_t length = group_length(plan);
  drop_implied_guards(plan, length);
  find_sets(plan);
  if (LaneBody::takes(plan)) {
    WEIR_TRY(groups, Function(plan, 0, length, options).make());
  }
  return std::make_unique<BatchEngine>(options.wide ? "avx512" : "avx2", std::move(groups), std::move(scalar),
                                       std::move(original), options);
}

}  // namespace weir::engine
