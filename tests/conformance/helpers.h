// What the bpf_conformance suite expects of a virtual machine: its helper functions, registers and memory.
#pragma once

#include <cmath>
#include <cstring>
#include <string_view>
#include <vector>

#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>

namespace weir::tests {

inline Result<std::vector<std::uint8_t>> bytes_of_hex(std::string_view text) {
  std::vector<std::uint8_t> bytes;
  std::size_t digits = 0;
  for (const char c : text) {
    if (c == ' ' || c == '\n' || c == '\t' || c == '\r') continue;
    const int value = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (value < 0) return fail("not a hexadecimal digit");
    if (digits++ % 2 == 0) bytes.push_back(0);
    bytes.back() = static_cast<std::uint8_t>(bytes.back() << 4 | value);
  }
  if (digits % 2 != 0) return fail("an odd number of hexadecimal digits");
  return bytes;
}

// The functions of uBPF's tests, by number.
inline const runtime::Helpers& conformance_helpers() {
  using Word = std::uint64_t;
  using Run = runtime::Invocation;
  using runtime::ArgumentKind;
  constexpr auto kAny = ArgumentKind::kAnything;
  static const runtime::Helpers helpers = [] {
    runtime::Helpers made;
    made.add(0, {"gather_bytes", {kAny, kAny, kAny, kAny, kAny}},
             [](Run&, Word a, Word b, Word c, Word d, Word e) -> Word {
               return (a & 0xff) << 32 | (b & 0xff) << 24 | (c & 0xff) << 16 | (d & 0xff) << 8 | (e & 0xff);
             });
    made.add(1, {"memfrob", {ArgumentKind::kMemoryOut, ArgumentKind::kSizeOrZero}},
             [](Run&, Word at, Word size, Word, Word, Word) -> Word {
               for (Word i = 0; i < size; ++i) reinterpret_cast<std::uint8_t*>(at)[i] ^= 42;
               return at;
             });
    made.add(2, {"no_op", {}}, [](Run&, Word, Word, Word, Word, Word) -> Word { return 0; });
    made.add(3, {"sqrti", {kAny}}, [](Run&, Word a, Word, Word, Word, Word) -> Word {
      return static_cast<Word>(std::sqrt(static_cast<double>(a)));
    });
    made.add(
        4, {"strcmp", {ArgumentKind::kText, ArgumentKind::kText}}, [](Run&, Word a, Word b, Word, Word, Word) -> Word {
          return static_cast<Word>(std::strcmp(reinterpret_cast<const char*>(a), reinterpret_cast<const char*>(b)));
        });
    made.add(5, {"unwind", {kAny}}, [](Run&, Word a, Word, Word, Word, Word) -> Word { return a; });
    return made;
  }();
  return helpers;
}

inline engine::ExtendedOptions conformance_options() {
  engine::ExtendedOptions options;
  options.helpers = &conformance_helpers();
  options.register_calls = true;
  options.unwind_helper = 5;
  return options;
}

inline Result<engine::Outcome> run_conformance(ebpf::Program program, std::vector<std::uint8_t>& memory,
                                               const engine::ExtendedOptions& options) {
  WEIR_TRY(const ebpf::Checked checked, ebpf::check(std::move(program), {.register_calls = true}));
  WEIR_TRY(const engine::ExtendedEnginePointer loaded, engine::load_extended(checked, options));
  runtime::Invocation run;
  if (!memory.empty()) {
    const auto address = reinterpret_cast<std::uint64_t>(memory.data());
    run.arguments = {address, memory.size(), 0, 0, 0};
    run.regions = {{address, memory.size(), true}};
  }
  engine::Outcome outcome = loaded->run(run);
  outcome.program = nullptr;
  return outcome;
}

}  // namespace weir::tests
