// weir prog dump: a loaded program's instructions as the kernel runs them, or its machine code.
//
// The verifier rewrites programs: calls of helpers become distances from a symbol of the kernel, maps their ids. Both
// are put back as far as the kernel's symbols tell, so that most dumps assemble again.
#include <algorithm>
#include <fstream>
#include <memory>
#include <sstream>
#include <unordered_map>

#include <fmt/format.h>

#include <weir/base/file.h>
#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/text.h>
#include <weir/kernel/program_image.h>

#include "extended_input.h"
#include "jit_view.h"
#include "kernel_find.h"
#include "prog_verbs.h"
#include "terminal.h"

namespace weir::tool {
namespace {

using Json = nlohmann::json;

struct Options {
  std::string program;
  std::string form = "listing";
  bool machine = false;
  bool opcodes = false;
  bool json = false;
};

// Names of what a program may call, by distance from the symbol that calls are counted from.
class Symbols {
 public:
  Symbols() {
    std::ifstream file("/proc/kallsyms");
    std::uint64_t base = 0;
    std::unordered_map<std::uint64_t, std::string> all;
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::uint64_t address = 0;
      std::string kind;
      std::string name;
      if (!(words >> std::hex >> address >> kind >> name) || address == 0) continue;
      if (name == "__bpf_call_base") base = address;
      if (name.find("bpf") != std::string::npos || name.find("map") != std::string::npos) all.emplace(address, name);
    }
    if (base == 0) return;
    for (auto& [address, name] : all) names_.emplace(static_cast<std::int32_t>(address - base), std::move(name));
  }
  std::string at(std::int32_t distance) const {
    const auto found = names_.find(distance);
    return found == names_.end() ? std::string() : found->second;
  }

 private:
  std::unordered_map<std::int32_t, std::string> names_;
};

// Puts helpers and maps back; what the text does not show goes into notes, by instruction.
class Restorer {
 public:
  explicit Restorer(ebpf::Program& program) : program_(program) {}

  void run() {
    for (std::size_t i = 0; i < program_.size(); ++i) {
      ebpf::Instruction& slot = program_.instructions[i];
      if (slot.dst < ebpf::kRegisters && slot == ebpf::make(0xbc, slot.dst, slot.dst, 0, 1))
        remarks_[i] = "added by the verifier: the upper half is 0";
      const ebpf::OpcodeInfo* const row = ebpf::find(slot);
      if (row == nullptr) continue;
      if (row->shape == ebpf::OperandShape::kCallHelper) call(slot, i);
      if (!ebpf::is_wide(row->shape)) continue;
      if (slot.src == ebpf::kPseudoMapDescriptor || slot.src == ebpf::kPseudoMapValue) map(slot, i);
      ++i;
    }
  }
  // The symbol that is called, where it is no helper.
  const std::unordered_map<std::size_t, std::string>& notes() const { return notes_; }
  // What else is to be said of an instruction.
  const std::unordered_map<std::size_t, std::string>& remarks() const { return remarks_; }

 private:
  void call(ebpf::Instruction& slot, std::size_t at) {
    const auto known = static_cast<std::uint32_t>(slot.immediate);
    if (known < ebpf::helper_names().size()) return;  // tail calls stay numbers of helpers
    if (!symbols_) symbols_.emplace();
    const std::string symbol = symbols_->at(slot.immediate);
    if (symbol.empty()) return;
    if (const auto helper = ebpf::find_helper(symbol)) slot.immediate = static_cast<std::int32_t>(*helper);
    else notes_[at] = symbol;
  }
  void map(ebpf::Instruction& slot, std::size_t at) {
    const Result<kernel::Map> open = kernel::Map::open_id(static_cast<std::uint32_t>(slot.immediate));
    if (!open) return;
    const auto known = std::find(ids_.begin(), ids_.end(), open->id());
    const auto index = static_cast<std::uint32_t>(known - ids_.begin());
    if (known == ids_.end()) {
      ids_.push_back(open->id());
      program_.maps.push_back(open->definition());
      std::string& name = program_.maps.back().name;
      // Names are cut by the kernel, and may be alike.
      if (name.empty() || std::count_if(program_.maps.begin(), program_.maps.end(),
                                        [&](const ebpf::MapDefinition& one) { return one.name == name; }) > 1)
        name = fmt::format("map_{}", open->id());
    }
    slot.immediate = 0;
    program_.map_references.push_back({static_cast<std::uint32_t>(at), index});
  }

  ebpf::Program& program_;
  std::vector<std::uint32_t> ids_;
  std::optional<Symbols> symbols_;
  std::unordered_map<std::size_t, std::string> notes_;
  std::unordered_map<std::size_t, std::string> remarks_;
};

// A listing with source lines above the instructions that they became, and notes behind.
std::string with_lines(const ebpf::Program& program, const Restorer& restorer) {
  std::istringstream listing(ebpf::write(program, ebpf::Format::kListing));
  std::string out;
  auto next = program.lines.begin();
  std::uint32_t shown = 0;
  for (std::string line; std::getline(listing, line);) {
    const std::size_t digits = line.find_first_not_of(' ');
    if (digits == std::string::npos || line[digits] < '0' || line[digits] > '9') {
      out += line + "\n";
      continue;
    }
    const std::size_t at = std::stoul(line.substr(digits));
    for (; next != program.lines.end() && next->instruction <= at; ++next) {
      const std::size_t from = next->text.find_first_not_of(" \t");
      // One line of source often is many records.
      const bool same = next->line == shown;
      if (next->instruction != at || from == std::string::npos || same) continue;
      shown = next->line;
      out += fmt::format("; {} @ {}:{}\n", next->text.substr(from), next->file, next->line);
    }
    out += line;
    for (const auto* notes : {&restorer.notes(), &restorer.remarks()})
      if (const auto note = notes->find(at); note != notes->end()) out += "  ; " + note->second;
    out += "\n";
  }
  return out;
}

int dump_json(const kernel::Program& loaded, const ebpf::Program& program, const Restorer& restorer) {
  Json instructions = Json::array();
  auto next = program.lines.begin();
  for (std::size_t i = 0; i < program.size(); ++i) {
    const ebpf::Instruction& slot = program.instructions[i];
    const ebpf::Instruction& behind = i + 1 < program.size() ? program.instructions[i + 1] : slot;
    Json row = {{"slot", i}, {"text", ebpf::write_instruction(slot, behind)}};
    if (const ebpf::MapReference* const reference = program.map_reference(i))
      row["map"] = program.maps[reference->map].name;
    if (const auto note = restorer.notes().find(i); note != restorer.notes().end()) row["symbol"] = note->second;
    if (const auto note = restorer.remarks().find(i); note != restorer.remarks().end()) row["note"] = note->second;
    for (; next != program.lines.end() && next->instruction <= i; ++next)
      if (next->instruction == i) row["source"] = {{"file", next->file}, {"line", next->line}, {"text", next->text}};
    instructions.push_back(std::move(row));
    if (const ebpf::OpcodeInfo* const info = ebpf::find(slot); info != nullptr && ebpf::is_wide(info->shape)) ++i;
  }
  return print_prog_json({{"id", loaded.id()}, {"name", program.name}, {"instructions", instructions}});
}

int dump_machine(const kernel::Program& program, const Options& options) {
  const Result<kernel::ProgramImage> image = kernel::program_image(program.descriptor());
  if (!image) return report(image.error());
  const CodeView view{.source = image->name.empty() ? "kernel" : "kernel, " + image->name,
                      .code = image->code,
                      .address = image->address,
                      .in_kernel = true};
  return print(options.json ? listing_json(view) : listing(view, options.opcodes));
}

int dump(const Options& options) {
  const Result<kernel::Program> loaded = find_program(options.program);
  if (!loaded) return report(loaded.error());
  if (options.machine) return dump_machine(*loaded, options);
  Result<ebpf::Program> program = loaded->translated();
  if (!program) return report(program.error());
  Restorer restorer(*program);
  restorer.run();
  if (options.json) return dump_json(*loaded, *program, restorer);
  if (options.form == "listing") return print(with_lines(*program, restorer));
  return print(ebpf::write(*program, *extended_format_named(options.form)));
}

}  // namespace

void add_prog_dump(CLI::App& prog, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = prog.add_subcommand("dump", "a program's instructions as the kernel runs them, or its machine code");
  verb->add_option("program", options->program, "the program: its id, name, tag:TAG or pin")->required();
  CLI::Option* const form = verb->add_option("--form", options->form, "listing (with source lines), asm, ubpf, c, hex")
                                ->check(CLI::IsMember({"listing", "asm", "ubpf", "c", "hex"}))
                                ->capture_default_str();
  verb->add_flag("--jited", options->machine, "machine code")->excludes(form);
  verb->add_flag("--opcodes", options->opcodes, "with --jited: the bytes too");
  verb->add_flag("--json", options->json, "print JSON");
  verb->callback([options, &status] { status = dump(*options); });
}

}  // namespace weir::tool
