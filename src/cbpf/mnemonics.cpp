// The words of assembler language, as tables made once from the opcode table. Exports what mnemonics.h declares.
//
// Aliases are those of bpf_asm (Documentation/networking/filter.rst), of bpfc(8), and libpcap's names of extensions.
#include "cbpf/mnemonics.h"

#include <algorithm>
#include <map>
#include <vector>

namespace weir::cbpf {
namespace {

struct Alias {
  std::string_view word;
  std::string_view of;
};
constexpr Alias kAliases[] = {{"jmp", "ja"},  {"jne", "jeq"}, {"jneq", "jeq"}, {"jlt", "jge"},
                              {"jle", "jgt"}, {"ldi", "ld"},  {"ldxi", "ldx"}};
// The first is bpf_asm's own; then those of bpfc; then libpcap's.
constexpr Alias kLoadAliases[] = {{"vlan_pr", "vlan_avail"},  {"pto", "proto"},        {"ifx", "ifidx"},
                                  {"que", "queue"},           {"q", "queue"},          {"hat", "hatype"},
                                  {"rxh", "rxhash"},          {"vlant", "vlan_tci"},   {"vlana", "vlan_avail"},
                                  {"vlan_acc", "vlan_avail"}, {"vlanp", "vlan_avail"}, {"random", "rand"}};

struct Tables {
  std::map<std::string_view, Mnemonic> mnemonics;
  std::vector<std::string_view> mnemonic_names{".raw"};
  std::map<std::string_view, NamedLoad> loads{{"len", {.length = true}}, {"pktlen", {.length = true}}};
  std::vector<std::string_view> load_names{"len"};
  std::vector<std::string_view> reserved{"len", "vlan_pr"};

  Tables() {
    for (const OpcodeInfo& row : opcodes()) {
      if (mnemonics.count(row.mnemonic) == 0) mnemonic_names.push_back(row.mnemonic);
      mnemonics[row.mnemonic].opcodes[static_cast<std::size_t>(row.shape)] = row.opcode;
    }
    // ldx takes a header length too, by its own name only in Linux's table.
    mnemonics["ldx"].opcodes[static_cast<std::size_t>(OperandShape::kHeaderLength)] = Opcode::kLdxHeaderLength;
    for (const Alias& alias : kAliases) {
      Mnemonic& made = mnemonics[alias.word] = mnemonics[alias.of];
      made.immediate = alias.word[0] == 'l';
      made.inverted = alias.word != "jmp" && !made.immediate;
      mnemonic_names.push_back(alias.word);
    }
    reserved.insert(reserved.end(), mnemonic_names.begin(), mnemonic_names.end());
    for (const ExtensionInfo& row : extensions()) {
      loads[row.text] = {.offset = kExtensionBase + static_cast<std::uint32_t>(row.extension)};
      load_names.push_back(row.text);
      reserved.push_back(row.text);
    }
    for (const Alias& alias : kLoadAliases) loads[alias.word] = loads[alias.of];
    std::sort(reserved.begin(), reserved.end());
  }
};

const Tables& tables() {
  static const Tables made;
  return made;
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return out;
}

const Mnemonic* find_mnemonic(std::string_view word) {
  const auto found = tables().mnemonics.find(word);
  return found == tables().mnemonics.end() ? nullptr : &found->second;
}

std::span<const std::string_view> mnemonic_names() { return tables().mnemonic_names; }

std::optional<NamedLoad> find_named_load(std::string_view word) {
  const auto found = tables().loads.find(word);
  return found == tables().loads.end() ? std::nullopt : std::optional(found->second);
}

std::span<const std::string_view> named_loads() { return tables().load_names; }

bool is_reserved(std::string_view word) {
  return std::binary_search(tables().reserved.begin(), tables().reserved.end(), word);
}

}  // namespace weir::cbpf
