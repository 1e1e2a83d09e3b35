// The loop over packets. Exports make_scalar_x86.
//
// Nearly all packets are longer than what a filter looks at in fixed places, so the code has no checks of such loads.
// It ends at a shorter packet, which another engine runs. So it does at a packet that ends among the loads at one
// varying address (the ports behind an IP header): one check stands for all of these.
//
// Where the code has no branches, or nearly all packets are rejected by a few tests (of a VLAN tag, of an address),
// four packets are run in a row with one check of all their lengths. Before the code for four stands one for a single
// packet. It is run until the number of packets left is a multiple of four, for four of which one is shorter, and for
// what those tests do not reject.
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

constexpr int kFour = 4;  // packets in a row
constexpr std::uint32_t kLongestCompared = 0x7fffffff;

constexpr std::uint32_t kMaximumWords = 700;  // keeps the frame within one page, so that no guard page is jumped over

// The same in every function but for the size of the frame, and therefore assembled once.
struct EndsOfFunction {
  std::vector<std::uint8_t> enter;
  std::vector<std::uint8_t> leave;
  std::size_t enter_frame = 0;  // where the frame's size, four bytes, stands in each
  std::size_t leave_frame = 0;
};

std::size_t assemble_enter(x86::Assembler& a) {
  for (const x86::Gp& saved : kSavedRegisters) a.push(saved);
  a.long_().sub(x86::rsp, 0x1000);
  const std::size_t frame_at = a.offset() - 4;
  const auto column = [](std::size_t offset) { return x86::qword_ptr(x86::rdi, static_cast<std::int32_t>(offset)); };
  a.mov(x86::qword_ptr(x86::rsp, X86Frame::kColumns), x86::rdi);
  a.mov(x86::rax, column(offsetof(packet::Columns, base)));
  a.mov(x86::qword_ptr(x86::rsp, X86Frame::kBase), x86::rax);
  a.mov(x86::r12, column(offsetof(packet::Columns, count)));
  a.mov(x86::qword_ptr(x86::rsp, X86Frame::kCount), x86::r12);
  a.mov(x86::rax, column(offsetof(packet::Columns, metadata)));
  a.lea(x86::rcx, x86::ptr(x86::rax, x86::r12, 3));
  a.test(x86::rax, x86::rax);
  a.cmovnz(x86::rax, x86::rcx);
  a.mov(x86::qword_ptr(x86::rsp, X86Frame::kMetadata), x86::rax);
  a.mov(x86::r14, column(offsetof(packet::Columns, offsets)));
  a.mov(x86::r13, column(offsetof(packet::Columns, lengths)));
  a.mov(x86::rax, column(offsetof(packet::Columns, wire_lengths)));
  a.test(x86::rax, x86::rax);
  a.cmovz(x86::rax, x86::r13);
  // Columns are reached from their ends, by an index that rises to 0.
  const auto end_of = [](const x86::Gp& start) { return x86::ptr(start, x86::r12, 2); };
  a.lea(x86::rax, end_of(x86::rax));
  a.mov(x86::qword_ptr(x86::rsp, X86Frame::kWireLengths), x86::rax);
  a.lea(x86::rbp, end_of(x86::rsi));
  a.lea(x86::r13, end_of(x86::r13));
  a.lea(x86::r14, end_of(x86::r14));
  a.neg(x86::r12);
  a.mov(x86::rdi, x86::qword_ptr(x86::rsp, X86Frame::kBase));
  return frame_at;
}

std::size_t assemble_leave(x86::Assembler& a) {
  a.mov(x86::rax, x86::qword_ptr(x86::rsp, X86Frame::kCount));
  a.add(x86::rax, x86::r12);
  a.long_().add(x86::rsp, 0x1000);
  const std::size_t frame_at = a.offset() - 4;
  for (std::size_t i = std::size(kSavedRegisters); i-- > 0;) a.pop(kSavedRegisters[i]);
  a.ret();
  return frame_at;
}

template <typename Assemble>
std::size_t assemble_into(std::vector<std::uint8_t>& to, const Assemble& assemble) {
  asmjit::CodeHolder holder;
  holder.init(asmjit::Environment::host());
  x86::Assembler assembler(&holder);
  const std::size_t frame_at = assemble(assembler);
  to.assign(assembler.bufferData(), assembler.bufferPtr());
  return frame_at;
}

const EndsOfFunction& ends_of_function() {
  static const EndsOfFunction ends = [] {
    EndsOfFunction made;
    made.enter_frame = assemble_into(made.enter, assemble_enter);
    made.leave_frame = assemble_into(made.leave, assemble_leave);
    return made;
  }();
  return ends;
}

class Function {
 public:
  struct Options {
    std::uint32_t length = 0;  // what every packet has that the code runs
    bool leaves = false;       // a packet whose guard at a varying address fails is left to another engine
    bool marks = false;
  };
  Function(Plan plan, const Options& options) : plan_(std::move(plan)), options_(options), length_(options.length) {}

  Result<MachineCode> make() {
    for (const std::vector<flow::Range>& set : plan_.sets) code_.tables.push_back(make_set_table(set));
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
    for (asmjit::Label* const label : {&single_, &resume_, &reject_, &done_}) *label = a_.newLabel();
    enter();
    a_.jmp(resume_);
    const std::uint32_t words = emit_loops();
    a_.bind(reject_);
    mark_rejections();
    a_.mov(of_packet(x86::rbp), 0);
    a_.inc(x86::r12);
    a_.jnz(resume_);
    a_.bind(done_);
    leave();
    set_frame(words);
    return words <= kMaximumWords;
  }

  // Returns the words of the frame that the code uses.
  std::uint32_t emit_loops() {
    const bool lean = is_lean();
    X86Body body(a_, plan_, code_.tables, {.known_length = length_, .base_in_rdi = lean});
    const bool comparable = length_ <= kLongestCompared;
    const asmjit::Label outside = options_.leaves ? done_ : reject_;
    a_.align(asmjit::AlignMode::kCode, 32);
    a_.bind(single_);
    begin_packet(lean, 0);
    check_length(lean);
    body.emit({reject_, resume_, done_, outside}, 0, marks());
    const bool scans = lean && comparable && body.find_scan();
    const bool in_fours = scans || (body.is_straight() && comparable && !may_call());
    if (body.is_straight()) {
      a_.inc(x86::r12);
      in_fours ? a_.jz(done_) : a_.jnz(single_);
    }
    if (!in_fours) {
      if (body.is_straight()) a_.jmp(done_);
      holder_.bindLabel(resume_, a_.currentSection()->id(), holder_.labelOffset(single_));
      return body.words_used();
    }
    a_.bind(resume_);
    a_.test(x86::r12b, kFour - 1);
    a_.jnz(single_);
    if (length_ != 0) {
      a_.mov(x86::eax, length_ - 1);
      a_.movd(x86::xmm1, x86::eax);
      a_.pshufd(x86::xmm1, x86::xmm1, 0);
    }
    if (scans) {
      emit_scan(body);
    } else {
      emit_copies(body, lean, outside);
    }
    return body.words_used();
  }

  // One copy of code without branches for each of four packets, with one count and one jump for all.
  void emit_copies(X86Body& body, bool lean, const asmjit::Label& outside) {
    const asmjit::Label four = a_.newLabel();
    a_.align(asmjit::AlignMode::kCode, 32);
    a_.bind(four);
    check_four_lengths();
    asmjit::Label rejected[kFour] = {reject_};
    asmjit::Label left[kFour] = {outside};
    for (int number = 0; number < kFour; ++number) {
      if (number > 0) {
        rejected[number] = a_.newLabel();
        left[number] = options_.leaves ? a_.newLabel() : rejected[number];
      }
      begin_packet(lean, number);
      body.emit({rejected[number], single_, done_, left[number]}, number);
    }
    a_.add(x86::r12, kFour);
    a_.jnz(four);
    a_.jmp(done_);
    for (int number = 1; number < kFour; ++number) {
      leave_copy(rejected[number], number, reject_);
      if (options_.leaves) leave_copy(left[number], number, outside);
    }
  }

  // A few tests alone, for each of four packets. What they do not reject is run as a single packet.
  void emit_scan(X86Body& body) {
    const asmjit::Label four = a_.newLabel();
    asmjit::Label found[kFour] = {single_};
    for (int number = 1; number < kFour; ++number) found[number] = a_.newLabel();
    a_.pxor(x86::xmm2, x86::xmm2);
    a_.align(asmjit::AlignMode::kCode, 32);
    a_.bind(four);
    check_four_lengths();
    for (int number = 0; number < kFour; ++number) {
      begin_packet(true, number);
      body.emit_scan(found[number]);
    }
    a_.movdqu(x86::xmmword_ptr(x86::rbp, x86::r12, 2), x86::xmm2);
    a_.add(x86::r12, kFour);
    a_.jnz(four);
    a_.jmp(done_);
    for (int number = 1; number < kFour; ++number) {
      a_.bind(found[number]);
      a_.movdqu(x86::xmmword_ptr(x86::rbp, x86::r12, 2), x86::xmm2);
      a_.add(x86::r12, number);
      a_.jmp(single_);
    }
  }

  // One of four that is too short, or longer than signed numbers say, is for the code for a single packet. xmm1 has the
  // longest length that is too short, from before the loop: nothing in it calls.
  void check_four_lengths() {
    if (length_ == 0) return;
    a_.movdqu(x86::xmm0, x86::xmmword_ptr(x86::r13, x86::r12, 2));
    a_.pcmpgtd(x86::xmm0, x86::xmm1);
    a_.movmskps(x86::eax, x86::xmm0);
    a_.cmp(x86::eax, (1 << kFour) - 1);
    a_.jne(single_);
  }

  bool is_wanted(const asmjit::Label& label) const { return holder_.labelEntry(label)->links() != nullptr; }

  void leave_copy(const asmjit::Label& from, int number, const asmjit::Label& to) {
    if (!is_wanted(from)) return;
    a_.bind(from);
    a_.add(x86::r12, number);
    a_.jmp(to);
  }

  // Code that asks for a length only once, at the start, and calls nothing: the columns' base gets a register, and the
  // length none.
  bool is_lean() const { return length_ != 0 && plan_.guards.empty() && !may_call(); }

  // What is called may use all of xmm0 to xmm15, and rdi.
  bool may_call() const {
    return std::any_of(plan_.nodes.begin(), plan_.nodes.end(),
                       [](const Node& node) { return node.op == flow::Op::kExtension; });
  }

  static x86::Mem of_packet(const x86::Gp& end, int number = 0) { return x86::dword_ptr(end, x86::r12, 2, 4 * number); }

  void begin_packet(bool lean, int number) {
    a_.mov(x86::ebx, of_packet(x86::r14, number));
    if (lean) {
      a_.add(x86::rbx, x86::rdi);
      return;
    }
    a_.mov(x86::r15d, of_packet(x86::r13, number));
    a_.add(x86::rbx, x86::qword_ptr(x86::rsp, X86Frame::kBase));
  }

  void check_length(bool lean) {
    if (length_ == 0) return;
    if (lean) {
      a_.cmp(of_packet(x86::r13), length_);
    } else {
      a_.cmp(x86::r15d, length_);
    }
    a_.jb(done_);
  }

  std::vector<CodeMark>* marks() { return options_.marks ? &code_.marks : nullptr; }

  // Blocks that only reject have this place in common.
  void mark_rejections() {
    if (!options_.marks) return;
    for (const PlanBlock& block : plan_.blocks)
      if (!block.instructions.empty() && rejects(plan_, block))
        code_.marks.push_back(
            {static_cast<std::uint32_t>(a_.offset()), block.instructions.begin, block.instructions.end});
  }

  void enter() {
    frame_at_ = a_.offset() + ends_of_function().enter_frame;
    embed(ends_of_function().enter);
  }

  void leave() {
    unframe_at_ = a_.offset() + ends_of_function().leave_frame;
    embed(ends_of_function().leave);
  }

  void embed(const std::vector<std::uint8_t>& code) { a_.embed(code.data(), code.size()); }

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

  const Plan plan_;
  const Options options_;
  const std::uint32_t length_;
  MachineCode code_;
  asmjit::Label resume_;  // the next packets: the first of them is the one that r12 says
  asmjit::Label single_;  // this one alone
  asmjit::Label reject_;
  asmjit::Label done_;  // no more packets, or one that other code must run
  asmjit::CodeHolder holder_;
  x86::Assembler a_;
  std::size_t frame_at_ = 0;
  std::size_t unframe_at_ = 0;
};

}  // namespace

Result<std::unique_ptr<Engine>> make_scalar_x86(Plan plan, std::unique_ptr<Engine> any_length, bool marks) {
  if (any_length == nullptr) {
    Plan guarded = plan;
    drop_implied_guards(guarded, 0);
    find_sets(guarded);
    WEIR_TRY(MachineCode code, Function(std::move(guarded), {}).make());
    any_length = make_machine_engine("scalar", std::move(code), nullptr);
  }
  const Function::Options options{.length = common_length(plan), .leaves = may_begin_anew(plan), .marks = marks};
  drop_implied_guards(plan, options.length);
  gather_guards(plan);
  find_sets(plan);
  WEIR_TRY(MachineCode code, Function(std::move(plan), options).make());
  return make_machine_engine("scalar", std::move(code), std::move(any_length));
}

}  // namespace weir::engine
