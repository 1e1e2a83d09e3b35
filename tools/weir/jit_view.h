// A listing of machine code, with the instructions it was made from beside it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/debug/machine_code.h>

namespace weir::tool {

struct CodeView {
  std::string source;  // "kernel"
  debug::Processor processor = debug::native_processor();
  std::vector<std::uint8_t> code;
  std::uint64_t address = 0;  // where it lies; 0: unknown
  bool in_kernel = false;     // addresses outside of the code are looked up among the kernel's symbols
  // Where the code of each instruction begins: offset and the instruction's text, in order of offsets.
  struct Origin {
    std::uint64_t offset = 0;
    std::uint32_t instruction = 0;
    std::string text;
  };
  std::vector<Origin> origins{};
};

std::string listing(const CodeView& view, bool opcodes);
std::string listing_json(const CodeView& view);

}  // namespace weir::tool
