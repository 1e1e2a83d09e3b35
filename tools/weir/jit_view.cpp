// Machine code beside the instructions it was made from. Exports listing, listing_json.
#include "jit_view.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "json_text.h"

namespace weir::tool {
namespace {

// Names of the kernel's functions, read when the first one is asked for.
class Symbols {
 public:
  std::optional<std::string> at(std::uint64_t address) {
    if (!read_) read();
    const auto found = names_.find(address);
    return found == names_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  void read() {
    read_ = true;
    std::ifstream file("/proc/kallsyms");
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string address;
      std::string type;
      std::string name;
      words >> address >> type >> name;
      if (type == "t" || type == "T" || type == "W" || type == "w")
        names_.emplace(std::strtoull(address.c_str(), nullptr, 16), name);
    }
    names_.erase(0);  // hidden addresses
  }
  bool read_ = false;
  std::map<std::uint64_t, std::string> names_;
};

// Targets in the code are offsets; those outside are addresses, with the name of what is there.
void name_targets(const CodeView& view, std::vector<debug::MachineInstruction>& instructions) {
  Symbols symbols;
  for (debug::MachineInstruction& instruction : instructions) {
    if (!instruction.target || view.address == 0 || *instruction.target < view.code.size()) continue;
    const std::string relative = fmt::format("{:#010x}", *instruction.target);
    const std::uint64_t address = view.address + *instruction.target;
    std::string text = fmt::format("{:#x}", address);
    if (view.in_kernel)
      if (const auto name = symbols.at(address)) text += " <" + *name + ">";
    if (const std::size_t at = instruction.text.rfind(relative); at != std::string::npos)
      instruction.text.replace(at, relative.size(), text);
    instruction.target = address;
  }
}

std::vector<debug::MachineInstruction> instructions_of(const CodeView& view) {
  std::vector<debug::MachineInstruction> out = debug::disassemble(view.code, {.processor = view.processor});
  name_targets(view, out);
  return out;
}

// The text of each instruction's origin where its code begins.
std::vector<const CodeView::Origin*> beginnings(const CodeView& view,
                                                const std::vector<debug::MachineInstruction>& instructions,
                                                std::size_t at) {
  std::vector<const CodeView::Origin*> out;
  const std::uint64_t begin = instructions[at].offset;
  for (const CodeView::Origin& origin : view.origins)
    if (origin.offset >= begin && origin.offset < begin + instructions[at].size) out.push_back(&origin);
  return out;
}

std::string bytes_of(const CodeView& view, const debug::MachineInstruction& instruction) {
  std::string out;
  for (std::uint32_t n = 0; n < instruction.size; ++n)
    out += fmt::format("{}{:02x}", n == 0 ? "" : " ", view.code[instruction.offset + n]);
  return out;
}

}  // namespace

std::string listing(const CodeView& view, bool opcodes) {
  const std::vector<debug::MachineInstruction> instructions = instructions_of(view);
  std::size_t width = 0;
  for (const CodeView::Origin& origin : view.origins) width = std::max(width, origin.text.size());
  std::string out = fmt::format("{}: {} bytes", view.source, view.code.size());
  if (view.address != 0) out += fmt::format(" at {:#x}", view.address);
  out += "\n";
  for (std::size_t n = 0; n < instructions.size(); ++n) {
    std::string left;
    for (const CodeView::Origin* origin : beginnings(view, instructions, n)) {
      if (!left.empty()) out += left + "\n";  // this one made no code of its own
      left = origin->text;
    }
    if (width > 0) out += fmt::format("{:<{}}  ", left, width);
    out += fmt::format("{:4x}:  {}\n", instructions[n].offset, instructions[n].text);
    if (opcodes) out += fmt::format("{:<{}}{}\n", "", (width > 0 ? width + 2 : 0) + 7, bytes_of(view, instructions[n]));
  }
  return out;
}

std::string listing_json(const CodeView& view) {
  nlohmann::json rows = nlohmann::json::array();
  const std::vector<debug::MachineInstruction> instructions = instructions_of(view);
  for (std::size_t n = 0; n < instructions.size(); ++n) {
    const debug::MachineInstruction& instruction = instructions[n];
    nlohmann::json row = {
        {"offset", instruction.offset}, {"bytes", bytes_of(view, instruction)}, {"text", instruction.text}};
    if (instruction.target) row["target"] = *instruction.target;
    nlohmann::json from = nlohmann::json::array();
    for (const CodeView::Origin* origin : beginnings(view, instructions, n)) from.push_back(origin->instruction);
    if (!from.empty()) row["begins"] = from;
    rows.push_back(std::move(row));
  }
  const nlohmann::json out = {{"version", 1},
                              {"source", view.source},
                              {"processor", debug::name_of(view.processor)},
                              {"address", view.address},
                              {"size", view.code.size()},
                              {"instructions", rows}};
  return json_line(out);
}

}  // namespace weir::tool
