// The loop over packets and the two bodies in it. Exports make_scalar_x86.
//
// Nearly all packets are longer than what a filter looks at in fixed places. The code for those has no checks of such
// loads; shorter packets go to a second body that has all of them. So do packets that end among the loads at one
// varying address (the ports behind an IP header): one check stands for all of these, and a packet that fails it is
// begun anew.
#include "engine/scalar_x86.h"

#include <algorithm>
#include <cstddef>

#include <asmjit/x86.h>

#include "engine/machine_code.h"
#include "engine/plan_passes.h"
#include "engine/x86_body.h"

namespace weir::engine {
namespace {

namespace x86 = asmjit::x86;

constexpr x86::Gp kSavedRegisters[] = {x86::rbx, x86::rbp, x86::r12, x86::r13, x86::r14, x86::r15};

constexpr int kCopies = 4;  // of code without branches, one for each of as many packets

constexpr std::uint32_t kMaximumWords = 700;  // keeps the frame within one page, so that no guard page is jumped over

class Function {
 public:
  Function(Plan long_plan, Plan short_plan, std::uint32_t length)
      : long_plan_(std::move(long_plan)), short_plan_(std::move(short_plan)), length_(length) {}

  Result<MachineCode> make() {
    for (const auto* plan : {&long_plan_, &short_plan_})
      for (const std::vector<flow::Range>& set : plan->sets) code_.tables.push_back(make_set_table(set));
    if (holder_.init(asmjit::Environment::host()) != asmjit::kErrorOk)
      return fail(Error{.code = ErrorCode::kUnsupported, .message = "machine code cannot be made here"});
    holder_.attach(&a_);
    if (!emit())
      return fail(
          Error{.code = ErrorCode::kUnsupported, .message = "the program computes too much at once for machine code"});
    return place();
  }

 private:
  bool emit() {
    const asmjit::Label loop = a_.newLabel();
    const asmjit::Label shorter = a_.newLabel();
    const asmjit::Label done = a_.newLabel();
    const asmjit::Label reject = a_.newLabel();
    enter();
    a_.align(asmjit::AlignMode::kCode, 32);
    a_.bind(loop);
    const std::span<const SetTable> tables(code_.tables);
    const bool lean = is_lean();
    const asmjit::Label outside = may_begin_anew(long_plan_) ? shorter : reject;
    std::uint32_t words = 0;
    for (int copy = 1;; ++copy) {
      begin_packet(lean, shorter);
      X86Body body(a_, long_plan_, tables.first(long_plan_.sets.size()), {reject, loop, done, outside},
                   {.known_length = length_, .base_in_rdi = lean});
      body.emit();
      if (copy == 1) add_marks(body);
      words = body.words_used();
      if (!body.is_straight()) break;
      a_.inc(x86::r12);
      if (copy == kCopies) {
        a_.jnz(loop);
        a_.jmp(done);
        break;
      }
      a_.jz(done);
    }
    a_.bind(reject);
    mark_rejections();
    a_.mov(x86::dword_ptr(x86::rbp, x86::r12, 2), 0);
    a_.inc(x86::r12);
    a_.jnz(loop);
    a_.bind(done);
    leave();
    if (a_.code()->labelEntry(shorter)->links() != nullptr || length_ != 0) {
      a_.bind(shorter);
      if (lean) {
        a_.mov(x86::ebx, x86::dword_ptr(x86::r14, x86::r12, 2));
        a_.add(x86::rbx, x86::rdi);
        a_.mov(x86::r15d, x86::dword_ptr(x86::r13, x86::r12, 2));
      }
      X86Body short_body(a_, short_plan_, tables.subspan(long_plan_.sets.size()), {reject, loop, done, reject},
                         {.base_in_rdi = lean, .seldom_run = true});
      short_body.emit();
      if (short_body.is_straight()) {
        a_.inc(x86::r12);
        a_.jnz(loop);
        a_.jmp(done);
      }
      add_marks(short_body);
      words = std::max(words, short_body.words_used());
    }
    set_frame(words);
    return words <= kMaximumWords;
  }

  // Code for long packets that asks for a length only once, at the start, and calls nothing: the columns' base gets a
  // register, and the length none.
  bool is_lean() const {
    if (length_ == 0 || !long_plan_.guards.empty()) return false;
    return std::none_of(short_plan_.nodes.begin(), short_plan_.nodes.end(),
                        [](const Node& node) { return node.op == flow::Op::kExtension; });
  }

  void begin_packet(bool lean, const asmjit::Label& shorter) {
    a_.mov(x86::ebx, x86::dword_ptr(x86::r14, x86::r12, 2));
    if (lean) {
      a_.cmp(x86::dword_ptr(x86::r13, x86::r12, 2), length_);
      a_.jb(shorter);
      a_.add(x86::rbx, x86::rdi);
      return;
    }
    a_.mov(x86::r15d, x86::dword_ptr(x86::r13, x86::r12, 2));
    a_.add(x86::rbx, x86::qword_ptr(x86::rsp, X86Frame::kBase));
    if (length_ == 0) return;
    a_.cmp(x86::r15d, length_);
    a_.jb(shorter);
  }

  void add_marks(const X86Body& body) {
    code_.marks.insert(code_.marks.end(), body.marks().begin(), body.marks().end());
  }

  // Blocks that only reject have this place in common.
  void mark_rejections() {
    for (const PlanBlock& block : long_plan_.blocks)
      if (!block.instructions.empty() && rejects(long_plan_, block))
        code_.marks.push_back(
            {static_cast<std::uint32_t>(a_.offset()), block.instructions.begin, block.instructions.end});
  }

  void enter() {
    for (const x86::Gp& saved : kSavedRegisters) a_.push(saved);
    a_.long_().sub(x86::rsp, 0x1000);  // the frame's size is known only at the end
    frame_at_ = a_.offset() - 4;
    const auto column = [](std::size_t offset) { return x86::qword_ptr(x86::rdi, static_cast<std::int32_t>(offset)); };
    a_.mov(x86::qword_ptr(x86::rsp, X86Frame::kColumns), x86::rdi);
    a_.mov(x86::rax, column(offsetof(packet::Columns, base)));
    a_.mov(x86::qword_ptr(x86::rsp, X86Frame::kBase), x86::rax);
    a_.mov(x86::r12, column(offsetof(packet::Columns, count)));
    a_.mov(x86::qword_ptr(x86::rsp, X86Frame::kCount), x86::r12);
    a_.mov(x86::rax, column(offsetof(packet::Columns, metadata)));
    a_.lea(x86::rcx, x86::ptr(x86::rax, x86::r12, 3));
    a_.test(x86::rax, x86::rax);
    a_.cmovnz(x86::rax, x86::rcx);
    a_.mov(x86::qword_ptr(x86::rsp, X86Frame::kMetadata), x86::rax);
    a_.mov(x86::r14, column(offsetof(packet::Columns, offsets)));
    a_.mov(x86::r13, column(offsetof(packet::Columns, lengths)));
    a_.mov(x86::rax, column(offsetof(packet::Columns, wire_lengths)));
    a_.test(x86::rax, x86::rax);
    a_.cmovz(x86::rax, x86::r13);
    // Columns are reached from their ends, by an index that rises to 0.
    const auto end_of = [](const x86::Gp& start) { return x86::ptr(start, x86::r12, 2); };
    a_.lea(x86::rax, end_of(x86::rax));
    a_.mov(x86::qword_ptr(x86::rsp, X86Frame::kWireLengths), x86::rax);
    a_.lea(x86::rbp, end_of(x86::rsi));
    a_.lea(x86::r13, end_of(x86::r13));
    a_.lea(x86::r14, end_of(x86::r14));
    a_.neg(x86::r12);
    a_.mov(x86::rdi, x86::qword_ptr(x86::rsp, X86Frame::kBase));
  }

  void leave() {
    a_.long_().add(x86::rsp, 0x1000);
    unframe_at_ = a_.offset() - 4;
    for (std::size_t i = std::size(kSavedRegisters); i-- > 0;) a_.pop(kSavedRegisters[i]);
    a_.ret();
  }

  // Six pushes and the return address leave rsp 8 beyond a multiple of 16: the frame makes up for it.
  void set_frame(std::uint32_t words) {
    const std::uint32_t size = (X86Frame::kWords + 4 * words + 15) / 16 * 16 + 8;
    const std::size_t end = a_.offset();
    for (const std::size_t at : {frame_at_, unframe_at_}) {
      a_.setOffset(at);
      a_.embedUInt32(size);
    }
    a_.setOffset(end);
  }

  Result<MachineCode> place() {
    holder_.flatten();
    holder_.resolveUnresolvedLinks();
    const std::size_t size = holder_.codeSize();
    code_.size = size;
    WEIR_TRY(code_.memory, CodeMemory::allocate(size));
    if (holder_.relocateToBase(reinterpret_cast<std::uint64_t>(code_.memory.start())) != asmjit::kErrorOk ||
        holder_.copyFlattenedData(code_.memory.writable(), size) != asmjit::kErrorOk)
      return fail("machine code cannot be placed");
    WEIR_CHECK(code_.memory.seal());
    code_.filter = reinterpret_cast<FilterFunction>(reinterpret_cast<std::uintptr_t>(code_.memory.start()));
    return std::move(code_);
  }

  const Plan long_plan_;
  const Plan short_plan_;
  const std::uint32_t length_;
  MachineCode code_;
  asmjit::CodeHolder holder_;
  x86::Assembler a_;
  std::size_t frame_at_ = 0;
  std::size_t unframe_at_ = 0;
};

}  // namespace

Result<std::unique_ptr<Engine>> make_scalar_x86(Plan plan) {
  const std::uint32_t length = common_length(plan);
  Plan shorter = plan;
  drop_implied_guards(plan, length);
  gather_guards(plan);
  find_sets(plan);  // again: without guards, chains are longer
  Function function(std::move(plan), std::move(shorter), length);
  WEIR_TRY(MachineCode code, function.make());
  return make_machine_engine("scalar", std::move(code));
}

}  // namespace weir::engine
