// Random extended programs that come close to the verifier's rules: most parts are what a compiler would write, with an
// offset, a size or a missing test that may be wrong. For the comparison of what verify accepts with what then runs.
#pragma once

#include <random>
#include <string>
#include <utility>
#include <vector>

#include <weir/ebpf/assembler.h>
#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/program.h>
#include <weir/runtime/helpers.h>

namespace weir::tests {

class VerifiedPrograms {
 public:
  // `callbacks`: some programs have functions that helpers call back; the kernel wants type information for them.
  explicit VerifiedPrograms(std::uint64_t seed, bool callbacks = true) : random_(seed), callbacks_(callbacks) {}

  // A program for memory (kUnspec), XDP, tc or sockets.
  ebpf::Program next() {
    for (;;) {
      constexpr ebpf::ProgramType kTypes[] = {ebpf::ProgramType::kUnspec, ebpf::ProgramType::kXdp,
                                              ebpf::ProgramType::kSchedCls, ebpf::ProgramType::kSocketFilter};
      type_ = kTypes[random_() % 4];
      Result<ebpf::Program> made = make();
      if (!made) continue;
      made->type = type_;
      mutate(*made);
      return std::move(*made);
    }
  }

 private:
  using A = ebpf::AluOperation;
  using C = ebpf::Condition;
  using R = ebpf::Register;
  using W = ebpf::Width;

  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }
  bool often() { return below(10) != 0; }
  template <typename T, std::size_t kSize>
  T one_of(const T (&list)[kSize]) {
    return list[below(kSize)];
  }
  R saved() { return static_cast<R>(6 + below(4)); }
  R any() { return static_cast<R>(below(10)); }
  W width() { return one_of({W::kByte, W::kHalf, W::kWord, W::kDouble}); }
  static int bytes(W width) { return width == W::kByte ? 1 : width == W::kHalf ? 2 : width == W::kWord ? 4 : 8; }
  std::int32_t constant() {
    constexpr std::int32_t kOften[] = {0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 63, 64, 255, -1, -8, INT32_MAX, INT32_MIN};
    return below(4) != 0 ? one_of(kOften) : static_cast<std::int32_t>(random_());
  }
  std::int16_t stack_place(int size) {
    return static_cast<std::int16_t>(-size * static_cast<int>(1 + below(static_cast<std::uint32_t>(48 / size))));
  }
  std::string label() { return "l" + std::to_string(labels_++); }

  Result<ebpf::Program> make() {
    a_ = ebpf::Assembler{};
    labels_ = 0;
    outs_.clear();
    a_.map({.name = "hash", .type = ebpf::MapType::kHash, .key_size = 4, .value_size = 16, .max_entries = 8});
    a_.map({.name = "array", .type = ebpf::MapType::kArray, .key_size = 4, .value_size = 24, .max_entries = 4});
    a_.map({.name = "variables", .type = ebpf::MapType::kArray, .key_size = 4, .value_size = 24, .max_entries = 1});
    a_.map({.name = "ring", .type = ebpf::MapType::kRingbuf, .max_entries = 4096});
    // r9: what is needed again: the context or the memory. r6 to r8 are numbers at first.
    a_.mov64_reg(R::kR9, R::kR1);
    if (type_ == ebpf::ProgramType::kUnspec) a_.mov64_reg(R::kR8, R::kR2);
    else a_.mov64_imm(R::kR8, constant());
    a_.mov64_imm(R::kR6, constant()).mov64_imm(R::kR7, constant());
    for (int i = 1; i <= 6; ++i)
      if (below(4) != 0) a_.mem_store_imm(W::kDouble, R::kR10, static_cast<std::int16_t>(-8 * i), constant());
    const bool has_function = below(3) == 0;
    has_loops_ = callbacks_ && below(3) == 0;
    calls_turn_ = calls_each_ = calls_inner_ = false;
    const std::uint32_t parts = 1 + below(9);
    for (std::uint32_t i = 0; i < parts; ++i) {
      if (has_function && below(4) == 0) call();
      else if (has_loops_ && below(3) == 0) call_back(below(2) == 0);
      else part();
    }
    close();
    if (has_function) function();
    if (calls_turn_) called_back("turn", false, true);
    if (calls_each_) called_back("each", true, true);
    if (calls_inner_) called_back("inner", false, false);
    return a_.assemble();
  }

  void close() {
    while (!outs_.empty()) land();
    if (often()) a_.mov64_imm(R::kR0, constant());
    if (type_ == ebpf::ProgramType::kUnspec || often()) a_.exit();
  }
  void land() {
    a_.label(outs_.back());
    outs_.pop_back();
  }

  void part() {
    if (!outs_.empty() && below(3) == 0) land();
    switch (below(18)) {
      case 0:
      case 1:
      case 2: return arithmetic();
      case 16: return walk();
      case 17: return moved_copy();
      case 3: return branch();
      case 4: return stack();
      case 5: return lookup();
      case 6:
      case 7: return packet();
      case 8: return loop();
      case 9: return record();
      case 10: return helper();
      case 11: return variable_stack();
      case 12: return direct_value();
      case 13: return context_field();
      case 14: return spill();
      default: return load_number();
    }
  }

  // What is learnt of a number is learnt of the one that is a constant more: an offset on the stack.
  void moved_copy() {
    const R from = static_cast<R>(6 + below(2));
    const std::string out = label();
    const auto small = [&] { return static_cast<std::int32_t>(below(40)) - 8; };
    if (below(2) == 0) a_.call(ebpf::Helper::kGetPrandomU32).mov64_reg(from, R::kR0);
    a_.mov64_reg(R::kR3, from).alu64_imm(A::kAdd, R::kR3, small());
    if (below(3) == 0) a_.alu64_imm(A::kSub, R::kR3, small());
    if (below(3) == 0) a_.alu64_imm(A::kAdd, from, small());
    if (below(4) == 0) a_.mem_store_reg(W::kDouble, R::kR10, R::kR3, -64).mem_load(W::kDouble, R::kR3, R::kR10, -64);
    const bool turned = below(2) == 0;
    const R known = turned ? R::kR3 : from, used = turned ? from : R::kR3;
    for (std::uint32_t i = 1 + below(2); i > 0; --i) {
      const C over = one_of({C::kGreater, C::kGreaterOrEqual, C::kSignedGreater, C::kSignedLess, C::kLess});
      if (below(3) == 0) a_.jump32_imm(over, known, small() + 8, out);
      else a_.jump_imm(over, known, small() + 8, out);
    }
    a_.mov64_reg(R::kR2, R::kR10).alu64_imm(A::kAdd, R::kR2, -48).alu64_reg(A::kAdd, R::kR2, used);
    if (below(2) == 0) a_.mem_store_imm(W::kByte, R::kR2, 0, 1);
    else a_.mem_load(W::kByte, R::kR6, R::kR2, static_cast<std::int16_t>(small()));
    a_.label(out);
  }

  void arithmetic() {
    constexpr A kAll[] = {A::kAdd, A::kSub, A::kMul, A::kDiv, A::kOr,  A::kAnd,
                          A::kLsh, A::kRsh, A::kMod, A::kXor, A::kMov, A::kArsh};
    for (std::uint32_t i = below(4) + 1; i > 0; --i) {
      const A operation = one_of(kAll);
      std::int32_t k = constant();
      const bool is_wide = below(2) == 0;
      if (operation == A::kLsh || operation == A::kRsh || operation == A::kArsh) k &= is_wide ? 63 : 31;
      if ((operation == A::kDiv || operation == A::kMod) && k == 0) k = 3;
      const R dst = below(4) == 0 ? saved() : static_cast<R>(6 + below(2)), src = static_cast<R>(6 + below(3));
      switch (below(8)) {
        case 0: a_.movsx64(dst, src, one_of({8u, 16u, 32u})); break;
        case 1: a_.neg64(dst); break;
        case 2: a_.byte_swap(dst, one_of({16u, 32u, 64u})); break;
        case 3: is_wide ? a_.alu64_reg(operation, dst, src) : a_.alu32_reg(operation, dst, src); break;
        default: is_wide ? a_.alu64_imm(operation, dst, k) : a_.alu32_imm(operation, dst, k);
      }
    }
  }

  C condition() {
    return one_of({C::kEqual, C::kNotEqual, C::kGreater, C::kGreaterOrEqual, C::kLess, C::kLessOrEqual, C::kSet,
                   C::kSignedGreater, C::kSignedGreaterOrEqual, C::kSignedLess, C::kSignedLessOrEqual});
  }
  void branch() {
    outs_.insert(outs_.begin(), label());
    const std::string& to = outs_.front();
    const R dst = static_cast<R>(6 + below(3)), src = static_cast<R>(6 + below(3));
    switch (below(4)) {
      case 0: a_.jump_reg(condition(), dst, src, to); break;
      case 1: a_.jump32_imm(condition(), dst, constant(), to); break;
      case 2: a_.jump32_reg(condition(), dst, src, to); break;
      default: a_.jump_imm(condition(), dst, constant(), to);
    }
  }

  void stack() {
    const W size = width();
    const std::int16_t place = stack_place(bytes(size));
    switch (below(5)) {
      case 0: a_.mem_store_reg(size, R::kR10, saved(), place); break;
      case 1: a_.mem_store_imm(size, R::kR10, place, constant()); break;
      case 2:
        if (size == W::kDouble || size == W::kWord)
          a_.atomic(one_of({ebpf::AtomicOperation::kAdd, ebpf::AtomicOperation::kFetchAnd,
                            ebpf::AtomicOperation::kExchange, ebpf::AtomicOperation::kXor}),
                    size, R::kR10, static_cast<R>(6 + below(2)), place);
        break;
      default:
        if (size != W::kDouble && below(3) == 0) a_.mem_load_signed(size, static_cast<R>(6 + below(2)), R::kR10, place);
        else a_.mem_load(size, static_cast<R>(6 + below(2)), R::kR10, place);
    }
  }

  // Bounds a number, rightly or nearly.
  void bound(R reg, std::int32_t most) {
    switch (below(5)) {
      case 0: a_.alu64_imm(A::kAnd, reg, most); break;
      case 1: a_.alu32_imm(A::kAnd, reg, most); break;
      case 2: a_.alu64_imm(A::kMod, reg, most + 1); break;
      case 3: {
        const std::string over = label(), in = label();
        a_.jump_imm(one_of({C::kLessOrEqual, C::kLess, C::kSignedLessOrEqual}), reg, most + static_cast<int>(below(2)),
                    in);
        a_.mov64_imm(reg, 0).label(in);
        break;
      }
      default: a_.alu64_imm(A::kRsh, reg, 64 - (32 - __builtin_clz(static_cast<unsigned>(most) | 1)));
    }
  }

  void touch(R base, std::int32_t size) {  // a load or store that lies in size bytes, or nearly
    const W unit = width();
    const auto place = static_cast<std::int16_t>(below(static_cast<std::uint32_t>(size + 2)) - (below(6) == 0 ? 1 : 0));
    const bool fits = place + bytes(unit) <= size;
    if (!fits && often()) return;
    switch (below(5)) {
      case 0: a_.mem_store_reg(unit, base, static_cast<R>(6 + below(2)), place); break;
      case 1: a_.mem_store_imm(unit, base, place, constant()); break;
      case 2:
        if (bytes(unit) >= 4)
          a_.atomic(ebpf::AtomicOperation::kFetchAdd, unit, base, static_cast<R>(6 + below(2)), place);
        break;
      default: a_.mem_load(unit, static_cast<R>(6 + below(2)), base, place);
    }
  }

  void lookup() {
    const bool array = below(2) == 0;
    a_.mem_store_imm(W::kWord, R::kR10, -56, static_cast<std::int32_t>(below(6)));
    if (below(3) == 0) a_.mem_store_reg(W::kWord, R::kR10, static_cast<R>(6 + below(2)), -56);
    a_.mov64_reg(R::kR2, R::kR10).alu64_imm(A::kAdd, R::kR2, often() ? -56 : -4);
    a_.load_map(R::kR1, array ? "array" : "hash").call(ebpf::Helper::kMapLookupElem);
    const std::string null = label();
    if (often()) a_.jump_imm(C::kEqual, R::kR0, 0, null);
    const std::int32_t size = array ? 24 : 16;
    if (below(2) == 0) {
      a_.mov64_reg(R::kR3, static_cast<R>(6 + below(2)));
      bound(R::kR3, size - 1 - static_cast<std::int32_t>(below(12)));
      a_.alu64_reg(A::kAdd, R::kR0, R::kR3);
      touch(R::kR0, 1 + static_cast<std::int32_t>(below(12)));
    } else {
      touch(R::kR0, size);
    }
    if (below(3) == 0) a_.mem_load(W::kDouble, static_cast<R>(6 + below(2)), R::kR0, 0);
    a_.label(null);
  }

  void packet() {
    if (type_ == ebpf::ProgramType::kSocketFilter) return;
    const std::int32_t size = static_cast<std::int32_t>(1 + below(40));
    const std::string out = label();
    const bool memory = type_ == ebpf::ProgramType::kUnspec;
    if (memory) {
      a_.mov64_reg(R::kR2, R::kR9).mov64_reg(R::kR4, R::kR8);
      if (below(2) == 0) {
        a_.jump_imm(one_of({C::kLess, C::kLessOrEqual}), R::kR4, size - static_cast<std::int32_t>(below(2)), out);
        touch(R::kR2, size);
        a_.label(out);
        return;
      }
      if (below(3) == 0) {  // an index below the length
        a_.mov64_reg(R::kR3, static_cast<R>(6 + below(2)));
        a_.jump_reg(one_of({C::kGreaterOrEqual, C::kGreater}), R::kR3, R::kR4, out);
        a_.alu64_reg(A::kAdd, R::kR2, R::kR3);
        touch(R::kR2, 1);
        a_.label(out);
        return;
      }
      a_.mov64_reg(R::kR3, R::kR9).alu64_reg(A::kAdd, R::kR3, R::kR8);
    } else {
      const bool xdp = type_ == ebpf::ProgramType::kXdp;
      a_.mem_load(W::kWord, R::kR2, R::kR9, xdp ? 0 : 76).mem_load(W::kWord, R::kR3, R::kR9, xdp ? 4 : 80);
    }
    if (below(2) == 0) {
      a_.mov64_reg(R::kR4, static_cast<R>(6 + below(2)));
      bound(R::kR4, static_cast<std::int32_t>(below(64)));
      a_.alu64_reg(A::kAdd, R::kR2, R::kR4);
    }
    a_.mov64_reg(R::kR5, R::kR2).alu64_imm(A::kAdd, R::kR5, size);
    if (often()) {
      switch (below(4)) {
        case 0: a_.jump_reg(C::kGreater, R::kR5, R::kR3, out); break;
        case 1: a_.jump_reg(C::kLess, R::kR3, R::kR5, out); break;
        case 2: a_.jump_reg(C::kGreaterOrEqual, R::kR5, R::kR3, out); break;
        default: a_.jump_reg(C::kLessOrEqual, R::kR3, R::kR5, out);
      }
    }
    touch(R::kR2, size);
    touch(R::kR2, size);
    a_.label(out);
  }

  void loop() {
    const std::string again = label();
    a_.mem_store_imm(W::kDouble, R::kR10, -64, 0);
    if (below(2) == 0) {
      a_.mov64_imm(R::kR7, 0).label(again);
      arithmetic_on_six();
      a_.alu64_imm(A::kAdd, R::kR7, 1 + static_cast<std::int32_t>(below(3)));
      a_.jump_imm(one_of({C::kLess, C::kNotEqual, C::kSignedLess}), R::kR7, static_cast<std::int32_t>(2 + below(20)),
                  again);
    } else {  // counted on the stack
      a_.label(again);
      arithmetic_on_six();
      a_.mem_load(W::kDouble, R::kR3, R::kR10, -64).alu64_imm(A::kAdd, R::kR3, 1);
      a_.mem_store_reg(W::kDouble, R::kR10, R::kR3, -64);
      a_.jump_imm(C::kLess, R::kR3, static_cast<std::int32_t>(2 + below(12)), again);
    }
  }
  void arithmetic_on_six() {
    a_.alu64_imm(one_of({A::kAdd, A::kMul, A::kXor, A::kRsh}), R::kR6, static_cast<std::int32_t>(below(8)));
    if (below(3) == 0) {
      const std::string over = label();
      a_.jump_imm(condition(), R::kR6, constant(), over).alu64_imm(A::kAdd, R::kR6, 1).label(over);
    }
  }

  // A counted loop over the packet or the memory: an index, and pointers that are made of it or added to.
  void walk() {
    if (type_ == ebpf::ProgramType::kSocketFilter) return;
    const auto by = static_cast<std::int32_t>(1 + below(4)), rounds = static_cast<std::int32_t>(2 + below(12));
    const bool moves = below(3) == 0;  // the pointer goes along, too
    const std::int32_t size = by * rounds * (moves ? 2 : 1) + 8;
    const std::string out = label(), again = label();
    if (type_ == ebpf::ProgramType::kUnspec) {
      a_.mov64_reg(R::kR2, R::kR9).jump_imm(C::kLess, R::kR8, size, out);
    } else {
      const bool xdp = type_ == ebpf::ProgramType::kXdp;
      a_.mem_load(W::kWord, R::kR2, R::kR9, xdp ? 0 : 76).mem_load(W::kWord, R::kR3, R::kR9, xdp ? 4 : 80);
      a_.mov64_reg(R::kR5, R::kR2).alu64_imm(A::kAdd, R::kR5, size).jump_reg(C::kGreater, R::kR5, R::kR3, out);
    }
    a_.mov64_imm(R::kR5, 1).mov64_imm(R::kR0, 3).mov64_reg(R::kR4, R::kR2).mov64_imm(R::kR3, 0).label(again);
    for (std::uint32_t i = 1 + below(5); i > 0; --i) walk_step(out);
    if (moves) a_.alu64_imm(A::kAdd, R::kR2, by);
    a_.alu64_imm(A::kAdd, R::kR3, by);
    if (below(3) == 0) a_.alu64_reg(A::kXor, R::kR6, below(2) == 0 ? R::kR3 : R::kR5);
    const std::int32_t end = by * rounds + (often() ? 0 : 1);
    if (below(2) == 0) a_.jump_imm(C::kNotEqual, R::kR3, end, again);
    else a_.jump32_imm(below(3) == 0 ? C::kLess : C::kNotEqual, R::kR3, end, again);
    if (below(2) == 0) a_.alu64_reg(A::kAdd, R::kR6, below(2) == 0 ? R::kR3 : R::kR5);
    if (below(2) == 0) a_.alu64_imm(A::kAdd, R::kR2, -2).mem_load(W::kByte, R::kR7, R::kR2, 3);
    a_.label(out);
  }
  void walk_step(const std::string& out) {
    const R number = one_of({R::kR0, R::kR5, R::kR6, R::kR7});
    const W unit = width();
    const auto place = static_cast<std::int16_t>(below(8));
    switch (below(9)) {
      case 0:
      case 1: a_.mov64_reg(R::kR4, R::kR2).alu64_reg(A::kAdd, R::kR4, R::kR3); break;
      case 2: a_.mov64_reg(R::kR4, R::kR2).alu64_imm(A::kAdd, R::kR4, static_cast<std::int32_t>(below(3))); break;
      case 3: a_.mem_load(unit, number, R::kR4, place); break;
      case 4:
        if (below(2) == 0) a_.mem_store_reg(unit, R::kR4, below(3) == 0 ? R::kR3 : number, place);
        else a_.mem_load(W::kByte, number, R::kR2, place);
        break;
      case 5:
        a_.alu64_reg(one_of({A::kAdd, A::kXor, A::kSub}), number, one_of({R::kR0, R::kR5, R::kR3, R::kR6}));
        break;
      case 6: a_.alu64_imm(A::kAdd, number, static_cast<std::int32_t>(below(9)) - 4); break;
      case 7: a_.mov64_reg(number, one_of({R::kR0, R::kR3, R::kR5})).alu64_imm(A::kAdd, number, constant()); break;
      default: a_.jump_imm(condition(), number, constant(), out);
    }
  }

  void record() {
    const std::int32_t size = static_cast<std::int32_t>(1 + below(32));
    a_.load_map(R::kR1, "ring").mov64_imm(R::kR2, size).mov64_imm(R::kR3, 0).call(ebpf::Helper::kRingbufReserve);
    const std::string null = label();
    if (often()) a_.jump_imm(C::kEqual, R::kR0, 0, null);
    touch(R::kR0, size);
    a_.mov64_reg(R::kR1, R::kR0).mov64_imm(R::kR2, 0);
    if (often()) a_.call(below(2) == 0 ? ebpf::Helper::kRingbufSubmit : ebpf::Helper::kRingbufDiscard);
    a_.label(null);
  }

  void helper() {
    switch (below(6)) {
      case 0: a_.call(ebpf::Helper::kGetPrandomU32).mov64_reg(static_cast<R>(6 + below(2)), R::kR0); break;
      case 1: a_.call(ebpf::Helper::kKtimeGetNs).mov64_reg(static_cast<R>(6 + below(2)), R::kR0); break;
      case 2:  // update
        a_.mov64_reg(R::kR2, R::kR10).alu64_imm(A::kAdd, R::kR2, -8 * static_cast<std::int32_t>(1 + below(6)));
        a_.mov64_reg(R::kR3, R::kR10).alu64_imm(A::kAdd, R::kR3, -8 * static_cast<std::int32_t>(1 + below(6)));
        a_.load_map(R::kR1, below(2) == 0 ? "array" : "hash").mov64_imm(R::kR4, static_cast<std::int32_t>(below(2)));
        a_.call(ebpf::Helper::kMapUpdateElem);
        break;
      case 3:  // bytes of the packet, of a size that is known within bounds
        if (type_ != ebpf::ProgramType::kSchedCls && type_ != ebpf::ProgramType::kSocketFilter) return;
        a_.mov64_reg(R::kR1, R::kR9).mov64_imm(R::kR2, static_cast<std::int32_t>(below(64)));
        a_.mov64_reg(R::kR3, R::kR10).alu64_imm(A::kAdd, R::kR3, -48);
        a_.mov64_reg(R::kR4, static_cast<R>(6 + below(2)));
        bound(R::kR4, static_cast<std::int32_t>(16 + below(40)));
        if (below(2) == 0) a_.alu64_imm(A::kAdd, R::kR4, 1);
        a_.call(ebpf::Helper::kSkbLoadBytes);
        break;
      case 4:
        if (type_ != ebpf::ProgramType::kXdp) return;
        a_.mov64_reg(R::kR1, R::kR9).mov64_imm(R::kR2, static_cast<std::int32_t>(below(64)) - 32);
        a_.call(ebpf::Helper::kXdpAdjustHead);
        break;
      default:
        a_.load_map(R::kR1, "ring").mov64_reg(R::kR2, R::kR10).alu64_imm(A::kAdd, R::kR2, -16);
        a_.mov64_reg(R::kR3, static_cast<R>(6 + below(2)));
        bound(R::kR3, static_cast<std::int32_t>(8 + below(10)));
        a_.mov64_imm(R::kR4, 0).call(ebpf::Helper::kRingbufOutput);
    }
  }

  void variable_stack() {
    a_.mov64_reg(R::kR3, static_cast<R>(6 + below(2)));
    a_.alu64_imm(A::kAnd, R::kR3, one_of({7, 8, 15, 16, 24, 31, 56}));
    a_.mov64_reg(R::kR2, R::kR10).alu64_imm(A::kAdd, R::kR2, one_of({-48, -32, -16, -40}));
    a_.alu64_reg(below(4) == 0 ? A::kSub : A::kAdd, R::kR2, R::kR3);
    const W unit = below(2) == 0 ? W::kByte : W::kDouble;
    if (below(2) == 0) a_.mem_load(unit, R::kR6, R::kR2, 0);
    else a_.mem_store_reg(unit, R::kR2, R::kR7, 0);
  }

  void direct_value() {
    a_.load_map_value(R::kR2, "variables", below(8) * 4);
    if (below(2) == 0) {
      a_.mov64_reg(R::kR3, static_cast<R>(6 + below(2)));
      bound(R::kR3, static_cast<std::int32_t>(below(24)));
      a_.alu64_reg(A::kAdd, R::kR2, R::kR3);
    }
    touch(R::kR2, static_cast<std::int32_t>(1 + below(20)));
  }

  void context_field() {
    if (type_ == ebpf::ProgramType::kUnspec) return;
    if (type_ == ebpf::ProgramType::kXdp) {
      a_.mem_load(W::kWord, R::kR6, R::kR9, static_cast<std::int16_t>(12 + 4 * below(3)));
      return;
    }
    const W unit = below(3) == 0 ? width() : W::kWord;
    const auto place = static_cast<std::int16_t>(4 * below(20));
    if (below(4) == 0) a_.mem_store_reg(unit, R::kR9, R::kR6, place);
    else a_.mem_load(unit, R::kR6, R::kR9, place);
  }

  void spill() {
    const std::int16_t place = stack_place(8);
    const R reg = below(2) == 0 ? R::kR9 : saved();
    a_.mem_store_reg(W::kDouble, R::kR10, reg, place);
    if (below(3) == 0) stack();
    if (below(3) == 0) branch();
    a_.mem_load(W::kDouble, reg, R::kR10, place);
  }

  void load_number() {
    if (below(2) == 0) a_.load_imm64(static_cast<R>(6 + below(2)), random_());
    else a_.mov64_imm(static_cast<R>(6 + below(3)), constant());
  }

  void call() {
    a_.mov64_reg(R::kR1, below(2) == 0 ? R::kR10 : saved());
    if (below(2) == 0) a_.alu64_imm(A::kAdd, R::kR1, -8 * static_cast<std::int32_t>(1 + below(6)));
    a_.mov64_reg(R::kR2, static_cast<R>(6 + below(3)));
    a_.call_local("function");
    if (below(2) == 0) a_.mov64_reg(R::kR6, R::kR0);
  }
  void function() {
    a_.function("function");
    const bool through = below(3) == 0;
    if (through) {
      if (below(2) == 0) a_.mem_load(W::kDouble, R::kR0, R::kR1, 0);
      else a_.mem_store_reg(W::kDouble, R::kR1, R::kR2, 0);
    }
    a_.mov64_reg(R::kR6, R::kR2).mov64_imm(R::kR7, constant()).mov64_reg(R::kR8, R::kR2).mov64_reg(R::kR9, R::kR2);
    for (std::uint32_t i = below(3); i > 0; --i) {
      switch (below(4)) {
        case 0: branch(); break;
        case 1:
          a_.mem_store_imm(W::kDouble, R::kR10, -8, 1);
          stack();
          break;
        default: arithmetic();
      }
    }
    while (!outs_.empty()) land();
    a_.mov64_reg(R::kR0, R::kR6).exit();
  }

  // bpf_loop or bpf_for_each_map_elem over a function, which gets some of the stack.
  void call_back(bool over_map) {
    (over_map ? calls_each_ : calls_turn_) = true;
    if (over_map) {
      a_.load_map(R::kR1, below(8) == 0 ? "ring" : below(2) == 0 ? "array" : "hash");
    } else if (below(2) == 0) {
      a_.mov64_imm(R::kR1, static_cast<std::int32_t>(below(9)));
    } else {
      a_.mov64_reg(R::kR1, static_cast<R>(6 + below(2))).alu64_imm(A::kAnd, R::kR1, 15);
    }
    a_.load_function(R::kR2, over_map ? "each" : "turn").mov64_reg(R::kR3, R::kR10);
    a_.alu64_imm(A::kAdd, R::kR3, -48).mov64_imm(R::kR4, 0);
    a_.call(over_map ? ebpf::Helper::kForEachMapElem : ebpf::Helper::kLoop);
    if (below(2) == 0) a_.mov64_reg(R::kR6, R::kR0);
    if (below(2) == 0) a_.mem_load(W::kDouble, static_cast<R>(6 + below(2)), R::kR10, stack_place(8));
    if (below(3) == 0) index_by(R::kR10, -48);
  }
  // A byte of the 48 at base + offset that a number on the stack tells.
  void index_by(R base, std::int16_t offset) {
    const std::string over = label();
    a_.mem_load(W::kDouble, R::kR3, base, static_cast<std::int16_t>(offset + 8 * below(6)));
    if (often()) a_.jump_imm(C::kGreater, R::kR3, static_cast<std::int32_t>(40 + below(9)), over);
    a_.mov64_reg(R::kR4, base).alu64_imm(A::kAdd, R::kR4, offset).alu64_reg(A::kAdd, R::kR4, R::kR3);
    if (below(2) == 0) a_.mem_load(W::kByte, R::kR6, R::kR4, 0);
    else a_.mem_store_reg(W::kByte, R::kR4, R::kR6, 0);
    a_.label(over);
  }
  // turn(index, stack), each(map, key, value, stack)
  void called_back(const char* name, bool over_map, bool nests) {
    a_.function(name).mov64_reg(R::kR9, over_map ? R::kR4 : R::kR2).mov64_imm(R::kR6, constant());
    a_.mov64_imm(R::kR8, constant());
    if (over_map) a_.mem_load(W::kWord, R::kR7, R::kR2, 0);
    else a_.mov64_reg(R::kR7, R::kR1);
    if (over_map && below(2) == 0) touch(R::kR3, below(2) == 0 ? 16 : 24);
    if (over_map && below(8) == 0) touch(R::kR2, 4);
    for (std::uint32_t i = below(6); i > 0; --i) {
      const auto place = static_cast<std::int16_t>(8 * below(6));
      switch (below(10)) {
        case 0: branch(); break;
        case 1: a_.mem_store_reg(W::kDouble, R::kR9, static_cast<R>(6 + below(3)), place); break;
        case 2:
          a_.mem_load(W::kDouble, R::kR6, R::kR9, place)
              .alu64_imm(A::kAdd, R::kR6, static_cast<std::int32_t>(below(9)));
          a_.mem_store_reg(W::kDouble, R::kR9, R::kR6, place);
          break;
        case 3: index_by(R::kR9, 0); break;
        case 4: touch(R::kR9, 48); break;
        case 5:
          a_.mem_store_imm(W::kDouble, R::kR10, -8, 1);
          stack();
          break;
        case 6: record(); break;
        case 7:
          if (!nests) break;
          calls_inner_ = true;
          a_.mov64_imm(R::kR1, static_cast<std::int32_t>(below(4))).load_function(R::kR2, "inner");
          a_.mov64_reg(R::kR3, R::kR9).mov64_imm(R::kR4, 0).call(ebpf::Helper::kLoop);
          break;
        default: arithmetic();
      }
    }
    while (!outs_.empty()) land();
    if (often()) a_.mov64_imm(R::kR0, static_cast<std::int32_t>(below(10) == 0 ? 2 : below(2)));
    else a_.mov64_reg(R::kR0, R::kR6).alu64_imm(A::kAnd, R::kR0, 1);
    a_.exit();
  }

  // A helper that only kernels have: accepted for their types of programs, and no program with it can be run here.
  static bool calls_what_is_not_here(const ebpf::Instruction& it) {
    return it.code == 0x85 && it.src == 0 && runtime::Helpers::standard().find(it.immediate) == nullptr;
  }

  // Now and then, a field of one instruction becomes something else.
  void mutate(ebpf::Program& program) {
    for (int tries = below(3) == 0 ? 1 + static_cast<int>(below(2)) : 0; tries > 0; --tries) {
      const std::size_t at = random_() % program.size();
      ebpf::Instruction& it = program.instructions[at];
      if (it.code == 0 || it.code == ebpf::kWideCode) continue;
      const ebpf::Instruction before = it;
      switch (below(5)) {
        case 0: it.dst = below(10) & 15; break;
        case 1: it.src = below(11) & 15; break;
        case 2: it.offset = static_cast<std::int16_t>(it.offset + static_cast<int>(below(17)) - 8); break;
        case 3:
          it.immediate = static_cast<std::int32_t>(static_cast<std::uint32_t>(it.immediate) + below(9) - 4);
          break;
        default: it.code = ebpf::opcodes()[below(static_cast<std::uint32_t>(ebpf::opcodes().size()))].code;
      }
      if (!ebpf::check(program) || calls_what_is_not_here(it)) program.instructions[at] = before;
    }
  }

  std::mt19937_64 random_;
  bool callbacks_;
  bool has_loops_ = false, calls_turn_ = false, calls_each_ = false, calls_inner_ = false;
  ebpf::Assembler a_;
  ebpf::ProgramType type_{};
  int labels_ = 0;
  std::vector<std::string> outs_;
};

}  // namespace weir::tests
