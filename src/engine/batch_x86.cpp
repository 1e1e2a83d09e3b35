// Groups of eight packets, and what becomes of the rest. Exports make_batch_avx2.
//
// The vector code runs groups from a given one on, and returns where it stopped: at a group with a packet shorter than
// what the code takes for granted, or at the last few packets. Those are run by scalar code, and the vector code goes
// on behind them. Verdicts are stored as words, or as one bit a packet.
#include "engine/batch_x86.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <utility>

#include <asmjit/x86.h>

#include "engine/avx2_body.h"
#include "engine/machine_code.h"
#include "engine/plan_passes.h"
#include "engine/scalar_x86.h"

namespace weir::engine {
namespace {

namespace x86 = asmjit::x86;

constexpr std::size_t kLanes = 8;

// Returns the first packet that it did not run. Stores a byte of bits for each group where `bits` is not null, else
// verdicts. begin: a multiple of eight.
using GroupsFunction = std::uint64_t (*)(const packet::Columns* columns, std::uint32_t* verdicts, std::uint64_t begin,
                                         std::uint8_t* bits);

struct GroupsCode {
  CodeMemory memory;
  std::size_t size = 0;
  std::vector<CodeMark> marks;
  std::vector<SetTable> tables;
  GroupsFunction run = nullptr;
};

class Function {
 public:
  Function(const Plan& plan, std::uint32_t length, const BatchOptions& options)
      : plan_(plan), length_(length), options_(options) {}

  Result<GroupsCode> make() {
    for (const std::vector<flow::Range>& set : plan_.sets) code_.tables.push_back(make_set_table(set));
    if (holder_.init(asmjit::Environment::host()) != asmjit::kErrorOk)
      return fail(Error{.code = ErrorCode::kUnsupported, .message = "machine code cannot be made here"});
    holder_.attach(&c_);
    emit();
    if (c_.finalize() != asmjit::kErrorOk)
      return fail(Error{.code = ErrorCode::kUnsupported, .message = "the program is too large for vector code"});
    return place();
  }

 private:
  void emit() {
    asmjit::FuncNode* function =
        c_.addFunc(asmjit::FuncSignatureT<std::uint64_t, const void*, void*, std::uint64_t, void*>());
    function->frame().setAvxEnabled();
    function->frame().setAvxCleanup();
    const x86::Gp columns = c_.newUIntPtr();
    const x86::Gp verdicts = c_.newUIntPtr();
    const x86::Gp index = c_.newUInt64();
    function->setArg(0, columns);
    function->setArg(1, verdicts);
    function->setArg(2, index);
    const x86::Gp bits = c_.newUIntPtr();
    function->setArg(3, bits);
    Avx2Body body(c_, plan_, code_.tables, length_, options_.fast_gather);
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
    c_.sub(last, kLanes);
    c_.jb(done);
    c_.cmp(index, last);
    c_.ja(done);
    c_.bind(loop);
    const Avx2Group group{base, wire_lengths, index, offsets, done, c_.newYmm(), c_.newYmm()};
    c_.vmovdqu(group.offsets, x86::ymmword_ptr(offsets, index, 2));
    c_.vmovdqu(group.lengths, x86::ymmword_ptr(lengths, index, 2));
    if (length_ != 0) leave_short_groups(group, done);
    const x86::Ymm out = body.emit(group);
    const asmjit::Label as_bits = c_.newLabel();
    const asmjit::Label stored = c_.newLabel();
    c_.test(bits, bits);
    c_.jnz(as_bits);
    c_.vmovdqu(x86::ymmword_ptr(verdicts, index, 2), out);
    c_.jmp(stored);
    c_.bind(as_bits);
    store_bits(out, bits, index);
    c_.bind(stored);
    c_.add(index, kLanes);
    c_.cmp(index, last);
    c_.jbe(loop);
    c_.bind(done);
    c_.ret(index);
    c_.endFunc();
    body.embed_constants();
    marks_ = body.marks();
    end_ = body.constants();
  }

  void store_bits(const x86::Ymm& out, const x86::Gp& bits, const x86::Gp& index) {
    const x86::Ymm zero = c_.newYmm();
    const x86::Gp rejected = c_.newUInt32();
    const x86::Gp at = c_.newUInt64();
    c_.vpxor(zero, zero, zero);
    c_.vpcmpeqd(zero, zero, out);
    c_.vmovmskps(rejected, zero);
    c_.not_(rejected);
    c_.mov(at, index);
    c_.shr(at, std::countr_zero(kLanes));
    c_.mov(x86::byte_ptr(bits, at), rejected.r8());
  }

  void leave_short_groups(const Avx2Group& group, const asmjit::Label& done) {
    const x86::Ymm least = c_.newYmm();
    const x86::Gp word = c_.newUInt32();
    c_.mov(word, length_ - 1);
    c_.vmovd(least.xmm(), word);
    c_.vpbroadcastd(least, least.xmm());
    c_.vpcmpgtd(least, group.lengths, least);
    c_.vmovmskps(word, least);
    c_.cmp(word, 0xff);
    c_.jne(done);
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
    for (const Avx2Body::Mark& mark : marks_)
      code_.marks.push_back({offset(mark.at), mark.instructions.begin, mark.instructions.end});
    code_.run = reinterpret_cast<GroupsFunction>(reinterpret_cast<std::uintptr_t>(code_.memory.start()));
    return std::move(code_);
  }

  const Plan& plan_;
  const std::uint32_t length_;
  const BatchOptions options_;
  std::vector<Avx2Body::Mark> marks_;
  asmjit::Label end_;
  GroupsCode code_;
  asmjit::CodeHolder holder_;
  x86::Compiler c_;
};

class BatchEngine final : public Engine {
 public:
  BatchEngine(std::string_view name, GroupsCode groups, std::unique_ptr<Engine> scalar)
      : name_(name), groups_(std::move(groups)), scalar_(std::move(scalar)) {}

  std::string_view name() const override { return name_; }

  CodeListing code() const override {
    return groups_.run != nullptr ? listing_of(groups_.memory, groups_.size, groups_.marks) : scalar_->code();
  }

  std::uint32_t run(const packet::Packet& packet) const override { return scalar_->run(packet); }

  void run(packet::Batch batch, std::span<std::uint32_t> verdicts) const override {
    run_as_columns(batch, verdicts,
                   [this](const packet::Columns& columns, std::uint32_t* out) { run_columns(columns, out); });
  }

  void run(const packet::Columns& columns, std::span<std::uint32_t> verdicts) const override {
    run_columns(columns, verdicts.data());
  }

  std::size_t match(const packet::Columns& columns, std::span<std::uint64_t> bits) const override {
    if (groups_.run == nullptr) return scalar_->match(columns, bits);
    static_assert(std::endian::native == std::endian::little);  // byte i of bits is that of group i
    if (!bits.empty()) bits.back() = 0;
    auto* const bytes = reinterpret_cast<std::uint8_t*>(bits.data());
    for (std::size_t at = 0; at < columns.count; at += kLanes) {
      at = groups_.run(&columns, nullptr, at, bytes);
      if (at >= columns.count) break;
      const packet::Columns rest = from(columns, at, std::min(columns.count - at, kLanes));
      std::uint32_t verdicts[kLanes] = {};
      scalar_->run(rest, std::span(verdicts, rest.count));
      std::uint8_t byte = 0;
      for (std::size_t i = 0; i < kLanes; ++i) byte = static_cast<std::uint8_t>(byte | (verdicts[i] != 0) << i);
      bytes[at / kLanes] = byte;
    }
    std::size_t matched = 0;
    for (const std::uint64_t word : bits) matched += static_cast<std::size_t>(std::popcount(word));
    return matched;
  }

 private:
  static packet::Columns from(packet::Columns columns, std::size_t begin, std::size_t count) {
    columns.offsets += begin;
    columns.lengths += begin;
    if (columns.wire_lengths != nullptr) columns.wire_lengths += begin;
    if (columns.metadata != nullptr) columns.metadata += begin;
    columns.count = count;
    return columns;
  }

  void run_columns(const packet::Columns& columns, std::uint32_t* verdicts) const {
    std::size_t at = 0;
    while (at < columns.count) {
      if (groups_.run != nullptr) at = groups_.run(&columns, verdicts, at, nullptr);
      const std::size_t left = columns.count - at;
      if (left == 0) return;
      const packet::Columns rest = from(columns, at, groups_.run != nullptr ? std::min(left, kLanes) : left);
      scalar_->run(rest, std::span(verdicts + at, rest.count));
      at += rest.count;
    }
  }

  std::string_view name_;
  GroupsCode groups_;
  std::unique_ptr<Engine> scalar_;
};

bool has_loads(const Plan& plan) {
  return std::any_of(plan.nodes.begin(), plan.nodes.end(), [](const Node& node) { return node.op == flow::Op::kLoad; });
}

}  // namespace

Result<std::unique_ptr<Engine>> make_batch_avx2(Plan plan, const BatchOptions& options) {
  WEIR_TRY(std::unique_ptr<Engine> scalar, make_scalar_x86(plan));
  GroupsCode groups;
  const std::uint32_t length = has_loads(plan) ? std::max(common_length(plan), 4u) : 0;
  drop_implied_guards(plan, length);
  find_sets(plan);
  if (Avx2Body::takes(plan)) {
    WEIR_TRY(groups, Function(plan, length, options).make());
  }
  return std::make_unique<BatchEngine>("avx2", std::move(groups), std::move(scalar));
}

}  // namespace weir::engine
