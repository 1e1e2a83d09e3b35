// Random extended programs whose functions are called back by bpf_loop and bpf_for_each_map_elem: nested, with local
// calls, loops and helpers inside, and now and then an access outside, a bad flag, or a call that is too deep.
#pragma once

#include <random>
#include <string>

#include <weir/ebpf/text.h>

namespace weir::tests {

class CallbackPrograms {
 public:
  explicit CallbackPrograms(std::uint64_t seed) : random_(seed) {}

  std::string next() {
    text_ = ".map h, hash, key 4, value 8, entries 6\n.map a, array, key 4, value 16, entries 2\n";
    labels_ = 0;
    for (const char* reg : {"r6", "r7", "r8", "r9"}) line(std::string(reg) + " = " + number());
    for (int i = 1; i <= 3; ++i) line("*(u64 *)(r10 - " + std::to_string(8 * i) + ") = " + number());
    for (unsigned i = below(5); i > 0; --i) fill();
    for (unsigned i = 1 + below(3); i > 0; --i) {
      body(2);
      call_back("r10", "-24", "one", below(40));
      line("r6 += r0");
      if (below(2) == 0) each("r10", "-24");
    }
    for (const char* place : {"8", "16", "24"})
      line(std::string("r0 = *(u64 *)(r10 - ") + place + ")\nr6 *= 31\nr6 ^= r0");
    for (const char* reg : {"r7", "r8", "r9"}) line(std::string("r6 *= 31\nr6 ^= ") + reg);
    line("r0 = r6\nexit");
    function("one", "two");
    function("two", below(30) == 0 ? "one" : "");  // now and then they call one another without end
    each_function();
    text_ += "local: ";
    // Where the memory is too short the function ends.
    if (below(3) == 0) line("r0 = *(u16 *)skb[" + std::to_string(below(100)) + "]\nr1 += r0");
    line("r0 = r1\nr0 *= 7\nr6 = r0\nr9 = 3\n*(u64 *)(r10 - 8) = r6\nr0 = *(u64 *)(r10 - 8)\nexit");
    return text_;
  }

 private:
  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }
  void line(const std::string& text) { text_ += text + "\n"; }
  std::string number() {
    return std::to_string(below(3) == 0 ? static_cast<std::int32_t>(random_()) : static_cast<std::int32_t>(below(9)));
  }
  std::string data() {
    constexpr const char* kRegisters[] = {"r0", "r6", "r7", "r8", "r9"};
    return kRegisters[below(5)];
  }
  void fill() {
    line("*(u32 *)(r10 - 28) = " + std::to_string(below(6)) + "\n*(u64 *)(r10 - 40) = " + number());
    line("r2 = r10\nr2 += -28\nr3 = r10\nr3 += -40\nr1 = map[h]\nr4 = 0\ncall bpf_map_update_elem");
  }
  void call_back(const std::string& base, const std::string& offset, const std::string& function, std::uint32_t count) {
    line("r1 = " + std::to_string(count) + "\nr2 = subprog[" + function + "]\nr3 = " + base + "\nr3 += " + offset);
    line("r4 = " + std::string(below(20) == 0 ? "1" : "0") + "\ncall bpf_loop");
  }
  void each(const std::string& base, const std::string& offset) {
    line(std::string("r1 = map[") + (below(3) == 0 ? "a" : "h") + "]\nr2 = subprog[each]\nr3 = " + base);
    line("r3 += " + offset + "\nr4 = 0\ncall bpf_for_each_map_elem\nr7 += r0");
  }
  // Arithmetic, branches forward and counted loops on numbers; r5 is free.
  void body(std::uint32_t size) {
    constexpr const char* kOperations[] = {"+=", "-=", "*=", "^=", "|=", "&=", "/=", "%=", "<<=", ">>=", "s>>="};
    for (std::uint32_t i = 0; i < size; ++i) {
      switch (below(5)) {
        case 0: {
          const std::string over = "l" + std::to_string(labels_++);
          line("if " + data() + (below(2) == 0 ? " > " : " s< ") + number() + " goto " + over);
          line(data() + " += " + number());
          text_ += over + ": ";
          break;
        }
        case 1: {
          const std::string again = "l" + std::to_string(labels_++);
          line("r5 = " + std::to_string(1 + below(5)));
          text_ += again + ": ";
          line(data() + " *= 3\nr5 += -1\nif r5 != 0 goto " + again);
          break;
        }
        default: line(data() + " " + kOperations[below(11)] + " " + (below(2) == 0 ? data() : number()));
      }
    }
  }
  // function(index, context)
  void function(const std::string& name, const std::string& nested) {
    text_ += name + ": ";
    line("r0 = r1\n*(u64 *)(r10 - 8) = r2\n*(u64 *)(r10 - 16) = r1");
    body(1 + below(4));
    line("r2 = *(u64 *)(r10 - 8)\nr6 = *(u64 *)(r2 + " + std::to_string(8 * below(3)) + ")");
    body(1 + below(3));
    line("*(u64 *)(r2 + " + std::to_string(8 * below(3)) + ") = " + data());
    switch (below(10)) {
      case 0: line("r1 = r6\ncall local local"); break;
      case 1: line("call bpf_get_prandom_u32\nr9 += r0"); break;
      case 2: line("lock *(u64 *)(r2 + 8) += r6"); break;
      case 3: fill(); break;
      case 4:
        if (below(4) == 0) line("r0 = *(u8 *)(r2 + 4000)");
        else if (below(3) == 0) line("r0 = *(u32 *)skb[" + std::to_string(60 + below(4)) + "]");
        break;
      default: break;
    }
    if (!nested.empty() && below(3) == 0) {
      line("r2 = *(u64 *)(r10 - 8)");
      call_back("r2", "0", nested, below(5));
      if (below(3) == 0) line("r2 = *(u64 *)(r10 - 8)"), each("r2", "0");
    }
    body(below(3));
    if (below(2) == 0) line("r0 = *(u64 *)(r10 - 16)\nr0 >>= 3");
    else if (below(3) != 0) line("r0 = 0");
    line("exit");
  }
  // function(map, key, value, context)
  void each_function() {
    text_ += "each: ";
    line("r6 = *(u32 *)(r2 + 0)\nr7 = *(u64 *)(r3 + 0)\nr8 = *(u64 *)(r4 + 8)\nr0 = 0");
    body(2 + below(4));
    line("*(u64 *)(r4 + 8) = r8");
    if (below(3) == 0) line("*(u64 *)(r3 + 0) = r7");
    if (below(20) == 0) line("*(u32 *)(r2 + 0) = 1");  // keys are not to be written
    if (below(5) == 0) line("call bpf_map_delete_elem");
    if (below(3) != 0) line("r0 = 0");
    line("exit");
  }

  std::mt19937_64 random_;
  std::string text_;
  int labels_ = 0;
};

}  // namespace weir::tests
